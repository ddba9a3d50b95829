#include "gateway/endpoint.hpp"

#include <fmt/core.h>

namespace corral::gateway {
namespace {

Slots::Time now() { return std::chrono::steady_clock::now(); }

Error closed_error(const EndpointName& name) {
  return fail(ErrorCode::conflict, fmt::format("endpoint '{}' is closed", name.str()));
}

}  // namespace

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    give_back();
    endpoint_ = std::move(other.endpoint_);
  }
  return *this;
}

void Lease::give_back() {
  if (auto endpoint = std::move(endpoint_)) endpoint->release();
}

Endpoint::Endpoint(EndpointName name, const bindings::Binding& binding,
                   bindings::EndpointAddress address, EndpointLimits limits, bool managed)
    : name_(std::move(name)),
      binding_(binding),
      address_(std::move(address)),
      managed_(managed),
      slots_(limits.capacity, limits.queue_limit) {
  slots_.touch(now());
}

net::Task<Result<Lease>> Endpoint::acquire() {
  std::shared_ptr<Turn> turn;
  Slots::Ticket ticket = 0;
  {
    std::lock_guard lock(mutex_);
    Slots::Answer answer = slots_.acquire(now());
    switch (answer.outcome) {
      case Slots::Outcome::granted: co_return Lease(shared_from_this());
      case Slots::Outcome::closed: co_return std::unexpected(closed_error(name_));
      case Slots::Outcome::full:
        co_return std::unexpected(
            fail(ErrorCode::unavailable, "too many requests are waiting for this model")
                .hint("try again in a few seconds")
                .after(std::chrono::seconds(5)));
      case Slots::Outcome::queued: break;
    }
    ticket = answer.ticket;
    turn = Turn::create();
    turns_.emplace(ticket, turn);
  }
  auto granted = co_await turn->wait();
  if (granted && *granted) co_return Lease(shared_from_this());
  if (granted) co_return std::unexpected(std::move(granted->error()));
  // The caller left. abandon() won, so a slot handed over from now on goes to the next (release()).
  std::lock_guard lock(mutex_);
  turns_.erase(ticket);
  slots_.cancel(ticket);
  co_return std::unexpected(fail(ErrorCode::cancelled, "the client left the queue"));
}

void Endpoint::release() {
  std::lock_guard lock(mutex_);
  // A waiter that gave up in the meantime passes its turn on.
  while (auto next = slots_.release(now())) {
    auto node = turns_.extract(*next);
    if (!node.empty() && node.mapped()->fulfil(Result<void>{})) return;
  }
}

void Endpoint::wake(const std::vector<Slots::Ticket>& tickets, const Error& error) {
  for (auto ticket : tickets) {
    auto node = turns_.extract(ticket);
    if (!node.empty()) node.mapped()->fulfil(std::unexpected(error));
  }
}

void Endpoint::close() {
  std::lock_guard lock(mutex_);
  wake(slots_.close(), closed_error(name_));
}

bool Endpoint::close_if_idle(std::chrono::milliseconds idle) {
  std::lock_guard lock(mutex_);
  return slots_.close_if_idle(now(), idle);
}

void Endpoint::expire(std::chrono::milliseconds queue_timeout) {
  std::lock_guard lock(mutex_);
  wake(slots_.expire(now(), queue_timeout),
       fail(ErrorCode::timeout, "waited too long for a free place at this model")
           .hint("try again later")
           .after(std::chrono::seconds(10)));
}

bool Endpoint::closed() const {
  std::lock_guard lock(mutex_);
  return slots_.closed();
}

EndpointLoad Endpoint::load() const {
  std::lock_guard lock(mutex_);
  return {slots_.in_flight(), slots_.waiting(), slots_.served(), slots_.last_used()};
}

}  // namespace corral::gateway
