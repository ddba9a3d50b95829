// How many requests are at an endpoint: at most `capacity` at once. Pure: no clock, no threads, no
// sockets; the driver is Endpoint. Who waits for a place stands in the queue of its route
// (fair_queue.hpp).
//
// A closed endpoint takes nobody; those inside finish.
#pragma once

#include <chrono>
#include <cstdint>

namespace corral::gateway {

class Slots {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Slots(std::size_t capacity) : capacity_(capacity) {}

  // Takes a place if fewer than `share` (0..1) of all are taken; one is always allowed.
  bool acquire(Time now, double share = 1.0);
  // `served` counts it; a place that was not used after all does not count.
  void release(Time now, bool used = true);
  void close() { closed_ = true; }
  void open() { closed_ = false; }
  // Closes if nobody is inside and the last one left at least `idle` ago.
  bool close_if_idle(Time now, std::chrono::milliseconds idle);

  bool closed() const { return closed_; }
  bool full(double share = 1.0) const { return in_flight_ >= limit(capacity_, share); }
  // How many places that share is.
  static std::size_t limit(std::size_t capacity, double share);
  std::size_t capacity() const { return capacity_; }
  std::size_t in_flight() const { return in_flight_; }
  std::uint64_t served() const { return served_; }
  Time last_used() const { return last_used_; }
  void touch(Time now) { last_used_ = now; }

 private:
  std::size_t capacity_;
  std::size_t in_flight_ = 0;
  bool closed_ = false;
  std::uint64_t served_ = 0;
  Time last_used_{};
};

}  // namespace corral::gateway
