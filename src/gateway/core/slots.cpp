#include "gateway/core/slots.hpp"

#include "base/bug.hpp"

namespace corral::gateway {

Slots::Answer Slots::acquire(Time now) {
  if (closed_) return {Outcome::closed};
  last_used_ = now;
  if (in_flight_ < capacity_) {
    ++in_flight_;
    return {Outcome::granted};
  }
  if (waiting_.size() >= queue_limit_) return {Outcome::full};
  Ticket ticket = next_ticket_++;
  waiting_.emplace(ticket, now);
  return {Outcome::queued, ticket, waiting_.size()};
}

std::optional<Slots::Ticket> Slots::release(Time now) {
  if (in_flight_ == 0) {
    BUG("a slot was released that nobody held");
    return std::nullopt;
  }
  last_used_ = now;
  ++served_;
  if (waiting_.empty()) {
    --in_flight_;
    return std::nullopt;
  }
  Ticket next = waiting_.begin()->first;
  waiting_.erase(waiting_.begin());
  return next;
}

bool Slots::cancel(Ticket ticket) { return waiting_.erase(ticket) != 0; }

std::vector<Slots::Ticket> Slots::expire(Time now, std::chrono::milliseconds limit) {
  std::vector<Ticket> result;
  while (!waiting_.empty() && now - waiting_.begin()->second > limit) {
    result.push_back(waiting_.begin()->first);
    waiting_.erase(waiting_.begin());
  }
  return result;
}

std::vector<Slots::Ticket> Slots::close() {
  closed_ = true;
  std::vector<Ticket> result;
  result.reserve(waiting_.size());
  for (const auto& [ticket, since] : waiting_) result.push_back(ticket);
  waiting_.clear();
  return result;
}

bool Slots::close_if_idle(Time now, std::chrono::milliseconds idle) {
  if (closed_ || in_flight_ != 0 || !waiting_.empty() || now - last_used_ < idle) return false;
  closed_ = true;
  return true;
}

}  // namespace corral::gateway
