// Events per second, as a moving average over about ten seconds of the time in which they could
// happen: `resume` after a pause leaves the pause out. Pure; the time comes in.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>

namespace corral::gateway {

class RateMeter {
 public:
  using Time = std::chrono::steady_clock::time_point;

  void resume(Time now) { last_ = now; }

  void count(Time now) {
    auto passed = since(now);
    events_ = events_ * std::exp(-passed / kMemory) + 1;
    watched_ += passed;
    last_ = now;
    ++seen_;
  }

  // None before a few events have been seen, or when they ceased.
  std::optional<double> per_second(Time now) const {
    auto passed = since(now);
    auto watched = watched_ + passed;
    if (seen_ < kFew || watched <= 0) return std::nullopt;
    auto rate = events_ * std::exp(-passed / kMemory) / (kMemory * -std::expm1(-watched / kMemory));
    return rate > kLeast ? std::optional(rate) : std::nullopt;
  }

 private:
  static constexpr double kMemory = 10;  // seconds
  static constexpr double kLeast = 1e-4;
  static constexpr std::uint64_t kFew = 4;

  double since(Time now) const {
    return now > last_ ? std::chrono::duration<double>(now - last_).count() : 0;
  }

  Time last_{};
  double events_ = 0;   // each weighs less the older it is
  double watched_ = 0;  // seconds
  std::uint64_t seen_ = 0;
};

}  // namespace corral::gateway
