#include "gateway/endpoint.hpp"

namespace corral::gateway {
namespace {

Slots::Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    give_back();
    endpoint_ = std::move(other.endpoint_);
  }
  return *this;
}

void Lease::end(bool used) {
  if (auto endpoint = std::move(endpoint_)) endpoint->release(used);
}

Endpoint::Endpoint(EndpointName name, const bindings::Binding& binding,
                   bindings::EndpointAddress address, EndpointOptions options)
    : name_(std::move(name)),
      binding_(binding),
      address_(std::move(address)),
      options_(std::move(options)),
      slots_(options_.capacity) {
  slots_.touch(now());
}

Lease Endpoint::try_acquire() {
  std::lock_guard lock(mutex_);
  if (!slots_.acquire(now(), share())) return {};
  in_flight_.store(static_cast<std::uint32_t>(slots_.in_flight()), std::memory_order_relaxed);
  return Lease(shared_from_this());
}

bool Endpoint::has_place() const {
  std::lock_guard lock(mutex_);
  return !slots_.closed() && !slots_.full(share());
}

bool Endpoint::may_have_place() const {
  return !closed() && in_flight() < Slots::limit(options_.capacity, share());
}

void Endpoint::release(bool used) {
  {
    std::lock_guard lock(mutex_);
    slots_.release(now(), used);
    in_flight_.store(static_cast<std::uint32_t>(slots_.in_flight()), std::memory_order_relaxed);
  }
  if (options_.place_freed) options_.place_freed();
}

void Endpoint::close() {
  std::lock_guard lock(mutex_);
  slots_.close();
  closed_.store(true, std::memory_order_relaxed);
}

bool Endpoint::close_if_idle(std::chrono::milliseconds idle) {
  std::lock_guard lock(mutex_);
  bool done = slots_.close_if_idle(now(), idle);
  if (done) closed_.store(true, std::memory_order_relaxed);
  return done;
}

void Endpoint::reopen() {
  {
    std::lock_guard lock(mutex_);
    slots_.open();
    closed_.store(false, std::memory_order_relaxed);
  }
  if (options_.place_freed) options_.place_freed();
}

EndpointLoad Endpoint::load() const {
  std::lock_guard lock(mutex_);
  return {slots_.in_flight(), slots_.capacity(), slots_.served(), slots_.last_used()};
}

void Endpoint::set_held(std::string reason) {
  std::lock_guard lock(mutex_);
  held_ = std::move(reason);
}

std::string Endpoint::held() const {
  std::lock_guard lock(mutex_);
  return held_;
}

void Endpoint::set_health(bool up, double share) {
  up_.store(up, std::memory_order_relaxed);
  share_.store(share, std::memory_order_relaxed);
}

}  // namespace corral::gateway
