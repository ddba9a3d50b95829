// Bytes a second over the last few seconds, and how long the rest will take. No clock of its own.
// Thread rule: one owner.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "sys/clock.hpp"

namespace corral::models {

class TransferRate {
 public:
  // So many bytes are there at this time. A smaller number than before begins anew.
  void observe(std::uint64_t bytes, sys::Steady now);
  void reset() { seen_.clear(); }
  std::uint64_t bytes_per_second() const;
  // Nothing while the rate is not known, or zero.
  std::optional<std::chrono::seconds> remaining(std::uint64_t bytes_left) const;

 private:
  struct Seen {
    sys::Steady at;
    std::uint64_t bytes;
  };
  std::deque<Seen> seen_;
};

}  // namespace corral::models
