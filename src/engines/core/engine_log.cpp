#include "engines/core/engine_log.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"

namespace corral::engines {
namespace {

struct Symptom {
  std::string_view sign;  // in a line of the log
  Fault fault;
  std::string_view meaning;
  std::string_view hint;
};

constexpr std::string_view kLoadFailed = "failed to load model";

// The causes come before their consequences: an engine that cannot open its model also reports that
// it failed to load it.
constexpr std::array kSymptoms{
    Symptom{"couldn't bind HTTP server socket", Fault::port_taken, "its port was taken", ""},
    Symptom{"error: invalid argument", Fault::permanent, "it refused an argument",
            "check engines.llama_server.extra_arguments and the engine's version"},
    Symptom{
        "failed to load multimodal model", Fault::permanent,
        "it could not load the projector, which may be of another model",
        "correct models.settings.MODEL.projector, or take the mmproj file beside the model away"},
    Symptom{"unknown model architecture", Fault::permanent,
            "it does not know the model's architecture", "use a newer llama-server"},
    Symptom{"invalid magic", Fault::permanent, "the model's file is not a GGUF file",
            "fetch the model again"},
    Symptom{"corrupted or incomplete", Fault::permanent, "the model's file is cut short or damaged",
            "fetch the model again"},
    Symptom{"failed to open GGUF file", Fault::permanent, "it could not open the model's file",
            "check that the file is there and readable"},
    Symptom{"failed to allocate", Fault::crash, "it could not get the memory that it needs",
            "lower the context or the number of slots, or stop other models"},
    Symptom{"failed to create_context", Fault::crash, "it could not set up its context",
            "lower the context or the number of slots, or stop other models"},
    Symptom{kLoadFailed, Fault::permanent, "it could not load the model", "its log lines say why"},
};

// What an engine says before it ends itself.
constexpr std::array kLastWords{
    Symptom{"Remote RPC server crashed", Fault::crash, "one of its rpc-servers is gone",
            "see that all of models.settings.MODEL.rpc run and are of the engine's version"},
    Symptom{"RPC handshake failed", Fault::crash, "one of its rpc-servers is of another version",
            "run the ggml-rpc-server that was built with this engine"},
    Symptom{"Failed to connect to ", Fault::crash, "one of its rpc-servers cannot be reached",
            "see that all of models.settings.MODEL.rpc run"},
};

std::string_view hint_for_signal(int number) {
  switch (number) {
    case 4:  // SIGILL
      return "this engine was built for another kind of CPU: build it with GGML_NATIVE=OFF";
    case 9:  // SIGKILL
      return "somebody killed it, or the system ran out of memory: see the kernel's log";
    default: return "its log lines may say more";
  }
}

// What the engine itself gives as the reason; empty when it gives none, or one that names a file.
std::string load_reason(const LogTail& tail) {
  constexpr std::string_view kBefore = "error loading model";
  constexpr std::size_t kLongest = 200;
  for (const std::string& line : tail.lines()) {
    const auto at = line.rfind(kBefore);
    if (at == std::string::npos) continue;
    const auto colon = line.find(": ", at + kBefore.size());
    if (colon == std::string::npos) continue;
    const std::string_view rest = trim(std::string_view(line).substr(colon + 2));
    if (!rest.empty() && rest.size() <= kLongest && !rest.contains('/')) return std::string(rest);
  }
  return {};
}

}  // namespace

void LineSplitter::feed(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    std::size_t end = bytes.find('\n');
    std::string_view part = bytes.substr(0, end);
    std::size_t room = kMaxLine - line_.size();
    if (part.size() > room) cut_ = true;
    line_.append(part.substr(0, room));
    if (end == std::string_view::npos) return;
    emit(sink);
    bytes.remove_prefix(end + 1);
  }
}

void LineSplitter::finish(const Sink& sink) { emit(sink); }

void LineSplitter::emit(const Sink& sink) {
  if (line_.ends_with('\r')) line_.pop_back();
  if (cut_) line_ += " [cut]";
  if (!line_.empty()) sink(line_);
  line_.clear();
  cut_ = false;
}

EngineLine parse_engine_line(std::string_view line) {
  std::size_t space = line.find(' ');
  bool timed = space != std::string_view::npos && space > 0 &&
               line.substr(0, space).find_first_not_of("0123456789.") == std::string_view::npos;
  if (!timed || line.size() < space + 2 || (line.size() > space + 2 && line[space + 2] != ' '))
    return {EngineLevel::warning, line};
  EngineLine parsed{EngineLevel::info, trim(line.substr(space + 2))};
  switch (line[space + 1]) {
    case 'E': parsed.level = EngineLevel::error; break;
    case 'W': parsed.level = EngineLevel::warning; break;
    case 'I': break;
    case 'D':
    case 'T': parsed.level = EngineLevel::debug; break;
    default: return {EngineLevel::warning, line};
  }
  return parsed;
}

void LogTail::add(std::string_view line) {
  if (lines_.size() == kLines) lines_.pop_front();
  lines_.emplace_back(line);
}

std::string LogTail::text() const {
  std::string joined;
  for (const std::string& line : lines_) joined.append(joined.empty() ? "" : "\n").append(line);
  return joined;
}

bool LineBudget::take(sys::Steady now, unsigned& dropped) {
  dropped = 0;
  if (now - window_ >= std::chrono::seconds(1)) {
    window_ = now;
    used_ = 0;
    dropped = std::exchange(dropped_, 0);
  }
  if (used_ < per_second_) {
    ++used_;
    return true;
  }
  ++dropped_;
  return false;
}

Diagnosis diagnose(const Ending& ending, const LogTail& tail) {
  std::string message = "the engine ended with " + ending.text;
  std::span<const Symptom> known;
  if (ending.by_signal) known = kLastWords;
  if (!ending.by_signal && ending.code != 0) known = kSymptoms;
  for (const Symptom& symptom : known) {
    auto shows = [&](const std::string& line) { return line.contains(symptom.sign); };
    if (std::ranges::none_of(tail.lines(), shows)) continue;
    message.append(": ").append(symptom.meaning);
    std::string hint(symptom.hint);
    if (symptom.sign == kLoadFailed) {
      if (auto why = load_reason(tail); !why.empty()) {
        message.append(": ").append(why);
        hint = "the file is damaged, or made for another version of the engine";
      }
    }
    Error reason =
        fail(ErrorCode::unavailable, std::move(message)).hint(std::move(hint)).because(tail.text());
    return {std::move(reason), symptom.fault};
  }
  std::string_view hint =
      ending.by_signal ? hint_for_signal(ending.code) : "its log lines may say more";
  Error reason =
      fail(ErrorCode::unavailable, std::move(message)).hint(std::string(hint)).because(tail.text());
  return {std::move(reason), Fault::crash};
}

}  // namespace corral::engines
