#include "engines/engine_devices.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "base/text.hpp"
#include "engines/llama_server.hpp"
#include "sys/fd.hpp"

namespace corral::engines {
namespace {

constexpr std::size_t kMostDevices = 64;
constexpr std::size_t kMostOutput = 64 * 1024;
constexpr std::size_t kMostName = 32;
constexpr std::size_t kMostDescription = 96;
constexpr std::uint64_t kDeviceUnit = 1ull << 20;

// A name goes onto a command line, where commas part several of them.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMostName && text != "none" &&
         std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '_' || c == '-' || c == '.' || c == ':';
         });
}

std::string printable(std::string_view text) {
  std::string out(text.substr(0, kMostDescription));
  std::ranges::replace_if(out, [](unsigned char c) { return c < 0x20 || c >= 0x7F; }, '?');
  return out;
}

// "23500 MiB" -> bytes.
std::optional<std::uint64_t> mebibytes(std::string_view text) {
  text = trim(text);
  if (!text.ends_with(" MiB")) return std::nullopt;
  text.remove_suffix(4);
  const auto value = parse_int(text);
  if (!value || *value < 0 || *value > (1ll << 26)) return std::nullopt;
  return static_cast<std::uint64_t>(*value) * kDeviceUnit;
}

// "  CUDA0: NVIDIA H200 (143771 MiB, 143200 MiB free)"
std::optional<EngineDevice> parse_line(std::string_view line) {
  line = trim(line);
  const auto colon = line.find(": ");
  const auto open = line.rfind('(');
  if (colon == std::string_view::npos || open == std::string_view::npos || open < colon + 2 ||
      !line.ends_with(" free)")) {
    return std::nullopt;
  }
  std::string_view inside = line.substr(open + 1);
  inside.remove_suffix(std::string_view(" free)").size());
  const auto comma = inside.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const auto total = mebibytes(inside.substr(0, comma));
  const auto free = mebibytes(inside.substr(comma + 1));
  const std::string_view name = line.substr(0, colon);
  if (!total || *total == 0 || !free || !is_name(name)) return std::nullopt;
  return EngineDevice{std::string(name), printable(trim(line.substr(colon + 2, open - colon - 2))),
                      *total, std::min(*free, *total)};
}

void read_what_is_there(const sys::ChildProcess& child, std::string& out) {
  std::array<char, 4096> piece{};
  for (;;) {
    const auto count = sys::read_available(child.stdout_fd(), piece);
    if (!count || *count == 0) return;
    if (out.size() < kMostOutput) out.append(piece.data(), *count);
  }
}

}  // namespace

std::vector<EngineDevice> parse_engine_devices(std::string_view listing) {
  std::vector<EngineDevice> out;
  for (std::string_view line : split(listing, '\n')) {
    auto device = parse_line(line);
    if (device && out.size() < kMostDevices) out.push_back(std::move(*device));
  }
  return out;
}

net::Task<Result<std::vector<EngineDevice>>> ask_engine_devices(
    sys::Processes& processes, sys::Path program, std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kStep{20};
  auto environment = llama_server_environment(sys::environment_without({}), {});
  CORRAL_CO_TRY(auto child, processes.spawn({.program = std::move(program),
                                             .arguments = {"--list-devices"},
                                             .environment = std::move(environment),
                                             .capture_stdout = true}));
  std::string said;
  for (auto waited = std::chrono::milliseconds(0);; waited += kStep) {
    const auto ended = child->try_wait();
    read_what_is_there(*child, said);
    if (ended && !ended->by_signal && ended->code == 0) co_return parse_engine_devices(said);
    if (ended) {
      co_return fail(ErrorCode::upstream, "the engine did not list its devices")
          .because(ended->describe());
    }
    if (waited >= patience) break;
    CORRAL_CO_CHECK(co_await net::sleep_for(kStep));
  }
  child->kill_group();
  co_return fail(ErrorCode::timeout, "the engine took too long to list its devices");
}

}  // namespace corral::engines
