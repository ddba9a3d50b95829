#include "gateway/queue_place.hpp"

#include <fmt/core.h>

#include "base/text.hpp"

namespace corral::gateway {
namespace {

double seconds(std::chrono::milliseconds value) {
  return std::chrono::duration<double>(value).count();
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
