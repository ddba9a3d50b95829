#include "models/core/transfer_rate.hpp"

#include <cmath>

namespace corral::models {
namespace {

constexpr std::chrono::seconds kWindow{5};
constexpr std::chrono::milliseconds kStep{200};  // closer observations replace each other

}  // namespace

void TransferRate::observe(std::uint64_t bytes, sys::Steady now) {
  if (!seen_.empty() && bytes < seen_.back().bytes) seen_.clear();
  if (seen_.size() > 1 && now - seen_[seen_.size() - 2].at < kStep) {
    seen_.back() = {now, bytes};
  } else {
    seen_.push_back({now, bytes});
  }
  while (seen_.size() > 2 && now - seen_[1].at >= kWindow) seen_.pop_front();
}

std::uint64_t TransferRate::bytes_per_second() const {
  if (seen_.size() < 2) return 0;
  std::chrono::duration<double> took = seen_.back().at - seen_.front().at;
  if (took.count() < 0.001) return 0;
  return static_cast<std::uint64_t>(
      std::llround(static_cast<double>(seen_.back().bytes - seen_.front().bytes) / took.count()));
}

std::optional<std::chrono::seconds> TransferRate::remaining(std::uint64_t bytes_left) const {
  std::uint64_t rate = bytes_per_second();
  if (rate == 0) return std::nullopt;
  return std::chrono::seconds((bytes_left + rate - 1) / rate);
}

}  // namespace corral::models
