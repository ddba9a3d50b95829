// A limit on bytes a second that several takers share: a bucket of a quarter of a second. No clock
// of its own, no sleeping.
//
// Thread rule: one owner.
// Example:
//   Throttle throttle(1 << 20);
//   auto pause = throttle.take(bytes.size(), clock.now());  // sleep so long, then take more
#pragma once

#include <chrono>
#include <cstdint>

#include "sys/clock.hpp"

namespace corral::models {

class Throttle {
 public:
  explicit Throttle(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}  // 0: no limit

  void set_rate(std::uint64_t bytes_per_second) { rate_ = bytes_per_second; }
  std::uint64_t rate() const { return rate_; }
  // `bytes` have come: how long to wait before any more are taken.
  std::chrono::nanoseconds take(std::uint64_t bytes, sys::Steady now);

 private:
  std::uint64_t rate_;
  sys::Steady free_at_{};  // when all that was taken has been paid for
};

}  // namespace corral::models
