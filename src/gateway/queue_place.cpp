#include "gateway/queue_place.hpp"

#include <fmt/core.h>

namespace corral::gateway {
namespace {

constexpr std::size_t kLongestReason = 300;

double seconds(std::chrono::milliseconds value) {
  return std::chrono::duration<double>(value).count();
}

std::string one_line(std::string_view text) {
  std::string line(text.substr(0, kLongestReason));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return line;
}

}  // namespace

std::string describe(const QueuePlace& place) {
  using Stage = QueuePlace::Stage;
  std::string_view stage = place.stage == Stage::queue  ? "queued"
                           : place.stage == Stage::room ? "waiting for room"
                                                        : "loading";
  std::string text = fmt::format("{}, position {}", stage, place.position);
  if (place.estimate) {
    text += fmt::format(", about {:.1f} s{}", seconds(*place.estimate),
                        place.stage == Stage::loading ? " left" : "");
  } else if (place.stage == Stage::loading) {
    text += fmt::format(", for {:.1f} s now", seconds(place.passed));
  }
  if (!place.why.empty()) text += ": " + one_line(place.why);
  return text;
}

}  // namespace corral::gateway
