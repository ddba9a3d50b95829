// How long requests wait for a place, worked out from how long the work takes that is done and that
// waits before them.
//
//   RunningWork   what is under way at one target, since when
//   WaitForecast  when the places of a route become free, and from that the wait of whoever stands
//                 behind others
//
// A place is given to whoever is next as soon as one is free (list scheduling). Those before are
// taken to be of equal length: their mean. What runs longer than expected is taken to go on for an
// eighth of its age: the longer something has lasted beyond what is usual, the longer it will.
// Of more than 64 places a sample stands for all.
//
// Thread rule: plain values; one owner, or a lock around them. Lifecycle: a forecast holds for a
// moment; what passed since is subtracted.
// Example:
//   std::vector<double> left;
//   running.append_left(estimate, now, left);
//   WaitForecast forecast(std::move(left), now);
//   auto wait = forecast.wait(3, 4.5, now);  // behind three who take 4.5 s together
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "gateway/core/work_estimate.hpp"

namespace corral::gateway {

class RunningWork {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Number = std::uint32_t;  // names one that is under way; never 0
  struct Item {
    Work work;
    Time begun{};
    bool running = false;
  };

  Number begin(const Work& work, Time now);
  Item end(Number number);
  std::size_t size() const { return count_; }
  // Seconds that each of them still takes; false: of some it is not known.
  bool append_left(const WorkEstimate& estimate, Time now, std::vector<double>& left) const;

 private:
  std::vector<Item> items_;
  std::vector<Number> free_;
  std::size_t count_ = 0;
};

class WaitForecast {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Wait = std::chrono::milliseconds;

  static constexpr std::size_t kMostPlaces = 64;

  WaitForecast() = default;  // of nothing: knows no wait
  // `left`: seconds until each place becomes free.
  WaitForecast(std::vector<double> left, Time now);

  bool known() const { return places_ > 0; }
  // Behind `before` requests, which take `work` seconds together. None where nothing is known.
  std::optional<Wait> wait(std::size_t before, double work, Time now) const;

 private:
  double start_of(double number, double each) const;

  std::vector<double> left_;  // shortest first; at most kMostPlaces
  std::size_t places_ = 0;
  Time at_{};
};

}  // namespace corral::gateway
