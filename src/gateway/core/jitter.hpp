// Durations with a random part, and durations that grow. Plain functions: the random number comes
// in.
#pragma once

#include <chrono>
#include <cstdint>

#include "gateway/core/mixing.hpp"

namespace corral::gateway {

// `base` and a random part of `most`; never shorter than `base`.
inline std::chrono::milliseconds stretched(std::chrono::milliseconds base,
                                           std::chrono::milliseconds most, std::uint64_t random) {
  double extra = static_cast<double>(most.count()) * to_unit(random);
  return base + std::chrono::milliseconds(static_cast<std::int64_t>(extra));
}

// `first` doubled `times` times, at most `longest`; without overflow.
inline std::chrono::milliseconds doubled(std::chrono::milliseconds first, unsigned times,
                                         std::chrono::milliseconds longest) {
  auto result = first;
  for (; times > 0 && result < longest; --times) result *= 2;
  return result < longest ? result : longest;
}

}  // namespace corral::gateway
