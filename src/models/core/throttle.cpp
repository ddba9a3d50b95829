#include "models/core/throttle.hpp"

#include <algorithm>

namespace corral::models {
namespace {

constexpr std::chrono::milliseconds kBurst{250};

}  // namespace

std::chrono::nanoseconds Throttle::take(std::uint64_t bytes, sys::Steady now) {
  if (rate_ == 0) return {};
  // Time that nobody used is not saved up.
  free_at_ = std::max(free_at_, now);
  double seconds = static_cast<double>(bytes) / static_cast<double>(rate_);
  free_at_ += std::chrono::duration_cast<sys::Steady::duration>(
      std::chrono::duration<double>(std::min(seconds, 3600.0)));
  auto ahead = free_at_ - now;
  return ahead > kBurst ? std::chrono::nanoseconds(ahead - kBurst) : std::chrono::nanoseconds(0);
}

}  // namespace corral::models
