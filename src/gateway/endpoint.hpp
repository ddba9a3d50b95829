// One place that answers inference: a binding, an address, and how many may use it at once.
//
// Thread rule: thread-safe; shared by all shards. Lifecycle: made ready by its owner, used through
// leases, closed once; leases outlive the closing.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/ids.hpp"
#include "bindings/binding.hpp"
#include "gateway/core/slots.hpp"
#include "net/one_shot.hpp"

namespace corral::gateway {

class Endpoint;

// The right to one request at an endpoint; given back when it ends.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept : endpoint_(std::move(other.endpoint_)) {}
  Lease& operator=(Lease&& other) noexcept;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() { give_back(); }

  explicit operator bool() const { return endpoint_ != nullptr; }
  const std::shared_ptr<Endpoint>& endpoint() const { return endpoint_; }
  void give_back();

 private:
  friend class Endpoint;
  explicit Lease(std::shared_ptr<Endpoint> endpoint) : endpoint_(std::move(endpoint)) {}
  std::shared_ptr<Endpoint> endpoint_;
};

struct EndpointLimits {
  std::size_t capacity = 1;
  std::size_t queue_limit = 512;
};

struct EndpointLoad {
  std::size_t in_flight = 0;
  std::size_t waiting = 0;
  std::uint64_t served = 0;
  std::chrono::steady_clock::time_point last_used;
};

class Endpoint : public std::enable_shared_from_this<Endpoint> {
 public:
  // `managed`: an instance of ours, which may be gone and come back at another address.
  Endpoint(EndpointName name, const bindings::Binding& binding, bindings::EndpointAddress address,
           EndpointLimits limits, bool managed);

  const EndpointName& name() const { return name_; }
  const bindings::Binding& binding() const { return binding_; }
  const bindings::EndpointAddress& address() const { return address_; }
  bool managed() const { return managed_; }

  // Waits for its turn. conflict: closed meanwhile, ask for the model's endpoint again;
  // unavailable (with Retry-After): the queue is full; timeout: waited too long; cancelled.
  net::Task<Result<Lease>> acquire();

  void close();
  bool close_if_idle(std::chrono::milliseconds idle);
  void expire(std::chrono::milliseconds queue_timeout);  // called now and then by the owner
  bool closed() const;
  EndpointLoad load() const;

 private:
  friend class Lease;
  using Turn = net::OneShot<Result<void>>;
  void release();
  void wake(const std::vector<Slots::Ticket>& tickets, const Error& error);

  EndpointName name_;
  const bindings::Binding& binding_;
  bindings::EndpointAddress address_;
  bool managed_;
  mutable std::mutex mutex_;
  Slots slots_;
  std::map<Slots::Ticket, std::shared_ptr<Turn>> turns_;
};

}  // namespace corral::gateway
