// Who may use an endpoint now, and who waits: at most `capacity` at once, the rest in order of
// arrival up to `queue_limit`. Pure: no clock, no threads, no sockets; the driver is Endpoint.
//
// A released slot is handed to the first in the queue, so a newcomer never overtakes. A closed
// endpoint takes nobody; those inside finish.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace corral::gateway {

class Slots {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Ticket = std::uint64_t;  // names one waiting caller

  enum class Outcome { granted, queued, full, closed };
  struct Answer {
    Outcome outcome;
    Ticket ticket = 0;         // for `queued`
    std::size_t position = 0;  // 1 is next; for `queued`
  };

  Slots(std::size_t capacity, std::size_t queue_limit)
      : capacity_(capacity), queue_limit_(queue_limit) {}

  Answer acquire(Time now);
  // Gives a slot back. The ticket returned now holds it (in_flight stays as it is).
  std::optional<Ticket> release(Time now);
  // The caller left the queue. False when it was not waiting any more.
  bool cancel(Ticket ticket);
  // Tickets that have waited longer than `limit`; they leave the queue.
  std::vector<Ticket> expire(Time now, std::chrono::milliseconds limit);
  // Nobody is let in any more; the waiting ones leave the queue and are returned.
  std::vector<Ticket> close();
  // Closes if nobody is inside or waiting and the last one left at least `idle` ago.
  bool close_if_idle(Time now, std::chrono::milliseconds idle);

  bool closed() const { return closed_; }
  std::size_t capacity() const { return capacity_; }
  std::size_t in_flight() const { return in_flight_; }
  std::size_t waiting() const { return waiting_.size(); }
  std::uint64_t served() const { return served_; }
  Time last_used() const { return last_used_; }
  void touch(Time now) { last_used_ = now; }

 private:
  std::size_t capacity_;
  std::size_t queue_limit_;
  std::size_t in_flight_ = 0;
  bool closed_ = false;
  Ticket next_ticket_ = 1;
  std::map<Ticket, Time> waiting_;  // in order of arrival, with the time of arrival
  std::uint64_t served_ = 0;
  Time last_used_{};
};

}  // namespace corral::gateway
