// All queues in which somebody waits. When a place becomes free anywhere, those who may want it are
// asked in turn.
//
// Thread rule: thread-safe. While nobody waits, `poke` is one load of an atomic.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "gateway/route_queue.hpp"

namespace corral::gateway {

class RouteState;

class WaitingRoom {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // nullptr: the queue is full.
  std::unique_ptr<Turn> join(const std::shared_ptr<RouteState>& route, QueueRequest request);
  void poke();
  void tick();
  std::size_t waiting() const;

 private:
  std::vector<std::shared_ptr<RouteState>> busy() const;

  std::atomic<std::size_t> routes_{0};  // in which somebody may wait
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<RouteState>> busy_;
  Time updated_{};
};

}  // namespace corral::gateway
