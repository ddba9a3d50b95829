// Time behind an interface, so that tests can move it by hand.
// Thread rule: implementations are thread-safe.
#pragma once

#include <chrono>

namespace corral::sys {

using Steady = std::chrono::steady_clock::time_point;  // for durations and deadlines
using Wall = std::chrono::system_clock::time_point;    // for people and records

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Steady now() const = 0;
  virtual Wall wall() const = 0;
};

class RealClock final : public Clock {
 public:
  Steady now() const override { return std::chrono::steady_clock::now(); }
  Wall wall() const override { return std::chrono::system_clock::now(); }
};

// Stands still until told to move.
class ManualClock final : public Clock {
 public:
  Steady now() const override { return now_; }
  Wall wall() const override { return wall_; }
  void advance(std::chrono::nanoseconds by) {
    now_ += std::chrono::duration_cast<Steady::duration>(by);
    wall_ += std::chrono::duration_cast<Wall::duration>(by);
  }

 private:
  Steady now_{std::chrono::hours(1)};
  Wall wall_{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};
};

}  // namespace corral::sys
