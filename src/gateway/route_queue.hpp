// The requests that wait for a place on one route, with their turns: drives the pure FairQueue.
//
// Thread rule: thread-safe. While the queue's lock is held it calls the `take` of requests, which
// must not call back into the queue.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "config/settings.hpp"
#include "gateway/core/fair_queue.hpp"
#include "gateway/core/wait_forecast.hpp"
#include "gateway/placement.hpp"
#include "gateway/queue_place.hpp"
#include "net/one_shot.hpp"
#include "net/task.hpp"

namespace corral::gateway {

struct QueueSignal {
  enum class Kind {
    granted,    // with `place`; an empty one says: choose again, you need not wait
    update,     // with `where`
    expired,    // its deadline passed
    displaced,  // a request of a higher priority took its place in a full queue
    left,       // the caller was cancelled
  };
  Kind kind = Kind::left;
  std::shared_ptr<Placement> place;
  QueuePlace where;
};

struct QueueRequest {
  using Time = std::chrono::steady_clock::time_point;
  std::uint64_t principal = 0;
  config::Priority priority = config::Priority::normal;
  std::uint32_t cost = 1;                               // tokens, roughly
  std::optional<WorkEstimate::Duration> expected = {};  // how long it takes once it has a place
  Time deadline;
  bool updates = false;                                // wants to know its position now and then
  std::function<std::optional<Placement>(Time)> take;  // a place, if there is one for it now
};

class RouteQueue;

// One request's turn. Belongs to the coroutine of its request; leaves the queue when destroyed.
class Turn {
 public:
  Turn(RouteQueue& queue, FairQueue::Ticket ticket, std::size_t position)
      : queue_(queue), ticket_(ticket), position_(position) {}
  ~Turn();
  Turn(const Turn&) = delete;
  net::Task<QueueSignal> wait();
  std::size_t position() const { return position_; }  // when it joined; 1: next

 private:
  friend class RouteQueue;
  using Slot = net::OneShot<QueueSignal>;
  RouteQueue& queue_;
  FairQueue::Ticket ticket_;
  std::size_t position_;
  std::optional<QueueSignal> pending_;  // came while nobody waited for it
  std::shared_ptr<Slot> slot_;
};

class RouteQueue {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit RouteQueue(std::size_t limit);

  std::size_t limit() const { return limit_; }
  std::size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  // nullptr: the queue is full.
  std::unique_ptr<Turn> join(QueueRequest request, Time now);
  // When places become free; from then on waits are told by it. Without one, or where nothing was
  // learned yet, they follow from how many were let in lately.
  void set_forecast(WaitForecast forecast);
  // Lets in whoever can be let in now.
  void pump(Time now);
  // Ends what waited too long; tells positions to those who want to know.
  void tick(Time now, bool updates);
  // How long a newcomer would wait, where that is known.
  std::optional<std::chrono::milliseconds> wait_of_newcomer(Time now) const;

 private:
  friend class Turn;
  struct Waiter {
    QueueRequest request;
    Turn* turn = nullptr;
  };
  // All with the lock held.
  std::optional<std::chrono::milliseconds> wait_of(const FairQueue::Place& place, Time now) const;
  void deliver(FairQueue::Ticket ticket, QueueSignal signal);
  static void hand_over(Turn& turn, QueueSignal signal);
  void leave(FairQueue::Ticket ticket);
  void count() { waiting_.store(waiters_.size(), std::memory_order_relaxed); }

  const std::size_t limit_;
  std::atomic<std::size_t> waiting_{0};
  mutable std::mutex mutex_;
  FairQueue queue_;
  WaitForecast forecast_;
  std::unordered_map<FairQueue::Ticket, Waiter> waiters_;
};

}  // namespace corral::gateway
