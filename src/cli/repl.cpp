#include "cli/repl.hpp"

#include <fmt/core.h>

#include <charconv>

#include "base/text.hpp"

namespace corral::cli {

namespace {

constexpr std::string_view kQuotes = "\"\"\"";
constexpr std::string_view kHelp =
    R"(/set system TEXT      what the model should be; empty takes it away
/set temperature X    0 is the most likely answer; empty is the server's own
/set max_tokens N     longest answer
/set seed N           same seed, same answer
/show                 the model and what is set
/clear                forget what was said
/bye                  leave (also Ctrl-D)
"""                   begins and ends a message of several lines
Ctrl-C                stops the answer, or gives up the line
)";

const std::vector<std::string>& command_names() {
  static const std::vector<std::string> kNames = {"/bye",  "/clear", "/exit", "/help",
                                                  "/quit", "/set",   "/show"};
  return kNames;
}

// The first word, and what follows it without the space between.
std::pair<std::string_view, std::string_view> first_word(std::string_view text) {
  std::size_t space = text.find_first_of(" \t");
  if (space == std::string_view::npos) return {text, {}};
  return {text.substr(0, space), trim(text.substr(space))};
}

template <class T>
bool read_number(std::string_view text, std::optional<T>& into, T least, T most) {
  if (text.empty()) {
    into.reset();
    return true;
  }
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if (!(value >= least && value <= most)) return false;
  into = value;
  return true;
}

std::string or_default(const auto& value) {
  return value ? fmt::format("{}", *value) : "the server's own";
}

}  // namespace

void Repl::say(std::string_view text) {
  context_.console.out(context_.out_paint(Tone::dim, text) + "\n");
}

void Repl::complain(std::string message, std::string hint) {
  print_failure(context_.console, context_.err_paint,
                {ExitCode::usage, std::move(message), std::move(hint)});
}

void Repl::talk() {
  say(fmt::format("{} is listening. /help lists the commands, Ctrl-D leaves.",
                  safe_line(conversation_.model())));
  while (true) {
    LineRead line = reader_.read(">>> ");
    if (line.kind == LineRead::Kind::end) return;
    if (line.kind == LineRead::Kind::interrupted) {
      say("Ctrl-D or /bye leaves.");
      continue;
    }
    if (trim(line.text).empty()) continue;
    reader_.remember(line.text);
    if (take_line(line.text) == Next::leave) return;
  }
}

Repl::Next Repl::take_line(const std::string& line) {
  std::string_view text = trim(line);
  if (text.starts_with(kQuotes)) {
    if (auto block = read_block(text.substr(kQuotes.size()))) answer(std::move(*block));
    return Next::go_on;
  }
  if (text.starts_with('/')) return command(text);
  answer(std::string(text));
  return Next::go_on;
}

std::optional<std::string> Repl::read_block(std::string_view first) {
  std::string text;
  std::string line(first);
  while (true) {
    std::string_view end = trim(line);
    if (end.ends_with(kQuotes)) {
      std::size_t last = line.rfind(kQuotes);
      text += line.substr(0, last);
      return text;
    }
    if (!text.empty() || !line.empty()) text += line + '\n';
    LineRead next = reader_.read("... ");
    if (next.kind != LineRead::Kind::line) {
      say("The message was given up.");
      return std::nullopt;
    }
    line = std::move(next.text);
  }
}

Repl::Next Repl::command(std::string_view line) {
  auto [name, rest] = first_word(line);
  if (name == "/bye" || name == "/exit" || name == "/quit") return Next::leave;
  if (name == "/clear") {
    conversation_.clear();
    say("What was said is forgotten.");
  } else if (name == "/set") {
    set(rest);
  } else if (name == "/show") {
    show();
  } else if (name == "/help" || name == "/?") {
    context_.console.out(kHelp);
  } else {
    auto close = nearest(name, command_names(), 1);
    complain(fmt::format("there is no command {}", name),
             close.empty() ? "/help lists them" : fmt::format("did you mean {}?", close[0]));
  }
  return Next::go_on;
}

void Repl::set(std::string_view rest) {
  auto [name, value] = first_word(rest);
  ChatParameters& parameters = conversation_.parameters;
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 30;
  bool understood = true;
  if (name == "system") {
    parameters.system = value;
  } else if (name == "temperature") {
    understood = read_number(value, parameters.temperature, 0.0, 100.0);
  } else if (name == "max_tokens") {
    understood = read_number(value, parameters.max_tokens, std::int64_t{1}, kMostTokens);
  } else if (name == "seed") {
    understood = read_number(value, parameters.seed, std::int64_t{-1},
                             std::numeric_limits<std::int64_t>::max());
  } else {
    complain("/set what?", "/set system TEXT, temperature X, max_tokens N, or seed N");
    return;
  }
  if (understood) {
    say(value.empty() ? fmt::format("{} is taken away.", name) : fmt::format("{} is set.", name));
  } else {
    complain(fmt::format("\"{}\" is no value for {}", value, name), "/help says what it takes");
  }
}

void Repl::show() {
  const ChatParameters& parameters = conversation_.parameters;
  context_.console.out(render_fields({{"model", conversation_.model()},
                                      {"system", parameters.system},
                                      {"temperature", or_default(parameters.temperature)},
                                      {"max_tokens", or_default(parameters.max_tokens)},
                                      {"seed", or_default(parameters.seed)},
                                      {"messages", fmt::format("{}", conversation_.size())}},
                                     context_.out_paint));
}

void Repl::answer(std::string text) {
  if (trim(text).empty()) return;
  conversation_.add_user(std::move(text));
  AnswerPrinter printer(context_.console, context_.out_paint);
  auto end = ask(context_, conversation_, printer);
  if (!end) {
    if (end.error().exit == ExitCode::interrupted) {
      say("(stopped)");
    } else {
      print_failure(context_.console, context_.err_paint, end.error());
    }
  }
  // What was shown was said; a question without any answer can be asked again.
  if (printer.answer().empty() && !end) {
    conversation_.drop_last();
  } else {
    conversation_.add_assistant(printer.answer());
  }
}

}  // namespace corral::cli
