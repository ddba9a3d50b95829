#include "engines/core/engine_limits.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/text.hpp"

namespace corral::engines {
namespace {

constexpr std::uint64_t kMebibyte = 1ull << 20;
constexpr std::uint64_t kLeastMargin = 128 * kMebibyte;
constexpr std::uint64_t kDriverMargin = 2048 * kMebibyte;

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  return a > std::numeric_limits<std::uint64_t>::max() - b
             ? std::numeric_limits<std::uint64_t>::max()
             : a + b;
}

}  // namespace

std::uint64_t memory_limit(const InstanceSpec& spec) {
  if (!spec.settings.limits || spec.memory == 0) return 0;
  std::uint64_t margin = sum(kLeastMargin, spec.memory / 5);
  if (!spec.device.empty() && spec.rpc.empty()) margin = sum(margin, kDriverMargin);
  return sum(spec.memory, margin);
}

sys::LimitWishes limits_of(const InstanceSpec& spec) {
  return {.memory = memory_limit(spec),
          .processors = spec.settings.cpu_limit,
          .io_weight = spec.settings.io_weight};
}

unsigned threads_within(unsigned threads, double processors) {
  if (processors <= 0) return threads;
  // Two threads at three quarters each use 1.5 processors up; a third would only make them wait.
  const auto most = static_cast<unsigned>(std::clamp(std::ceil(processors), 1.0, 4096.0));
  return std::min(threads, most);
}

unsigned io_level(unsigned weight) {
  constexpr std::array kUpTo{15u, 30u, 60u, 150u, 300u, 500u, 800u};  // levels 7 to 1
  const auto above = std::ranges::count_if(kUpTo, [&](unsigned most) { return weight > most; });
  return 7u - static_cast<unsigned>(above);
}

Error passed_memory_limit(const InstanceSpec& spec) {
  return fail(ErrorCode::unavailable,
              fmt::format("the engine needed more than {} of memory: {} were counted for it",
                          format_bytes(memory_limit(spec)), format_bytes(spec.memory)))
      .hint(fmt::format("set models.settings.{}.memory to what it takes, or give it less context "
                        "or fewer slots",
                        spec.name));
}

}  // namespace corral::engines
