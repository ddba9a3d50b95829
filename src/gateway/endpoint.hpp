// One place that answers inference: a binding, an address, and how many may use it at once.
//
// Thread rule: thread-safe; shared by all shards. Lifecycle: made ready by its owner, used through
// leases, closed once; leases outlive the closing.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/ids.hpp"
#include "bindings/binding.hpp"
#include "gateway/core/slots.hpp"

namespace corral::gateway {

class Endpoint;

// The right to one request at an endpoint; given back when it ends.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept = default;
  Lease& operator=(Lease&& other) noexcept;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() { give_back(); }

  explicit operator bool() const { return endpoint_ != nullptr; }
  const std::shared_ptr<Endpoint>& endpoint() const { return endpoint_; }
  void give_back() { end(true); }
  void give_back_unused() { end(false); }  // does not count as served

 private:
  friend class Endpoint;
  explicit Lease(std::shared_ptr<Endpoint> endpoint) : endpoint_(std::move(endpoint)) {}
  void end(bool used);
  std::shared_ptr<Endpoint> endpoint_;
};

struct EndpointLoad {
  std::size_t in_flight = 0;
  std::size_t capacity = 0;
  std::uint64_t served = 0;
  std::chrono::steady_clock::time_point last_used;
};

struct EndpointOptions {
  std::size_t capacity = 1;
  bool managed = false;  // an instance of ours, which may be gone and come back elsewhere
  std::function<void()> place_freed;  // called after a place became free, on any thread
  bool spared = false;  // others answer for it: it is left out when it fails a few times in a row
};

class Endpoint : public std::enable_shared_from_this<Endpoint> {
 public:
  Endpoint(EndpointName name, const bindings::Binding& binding, bindings::EndpointAddress address,
           EndpointOptions options);

  const EndpointName& name() const { return name_; }
  const bindings::Binding& binding() const { return binding_; }
  const bindings::EndpointAddress& address() const { return address_; }
  bool managed() const { return options_.managed; }

  // Empty when it is full or closed.
  Lease try_acquire();
  bool has_place() const;
  bool may_have_place() const;  // the same without a lock; may be wrong a moment later

  void close();
  bool close_if_idle(std::chrono::milliseconds idle);
  void reopen();  // closed too early: its owner lets requests in again
  bool closed() const { return closed_.load(std::memory_order_relaxed); }
  EndpointLoad load() const;
  std::uint32_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  // How many requests failed in a row, through no fault of theirs.
  unsigned failures() const { return failures_.load(std::memory_order_relaxed); }
  unsigned failed() { return failures_.fetch_add(1, std::memory_order_relaxed) + 1; }
  void answered() {
    if (failures() != 0) failures_.store(0, std::memory_order_relaxed);
  }
  // It failed too often in a row to get more requests.
  static constexpr unsigned kFailuresOfSpared = 3;
  bool failing() const { return options_.spared && failures() >= kFailuresOfSpared; }
  std::uint32_t capacity() const { return static_cast<std::uint32_t>(options_.capacity); }

  // What the health checks say: a down endpoint gets no requests; one that comes back gets only a
  // share (0..1) of its capacity for a while.
  void set_health(bool up, double share);
  bool up() const { return up_.load(std::memory_order_relaxed); }
  // Why whoever runs it lets no request in, for people; empty: it does not.
  void set_held(std::string reason);
  std::string held() const;
  double share() const { return share_.load(std::memory_order_relaxed); }

 private:
  friend class Lease;
  void release(bool used);

  EndpointName name_;
  const bindings::Binding& binding_;
  bindings::EndpointAddress address_;
  EndpointOptions options_;
  // Mirrors for those who choose among many without a lock.
  std::atomic<std::uint32_t> in_flight_{0};
  std::atomic<unsigned> failures_{0};
  std::atomic<bool> closed_{false};
  std::atomic<bool> up_{true};
  std::atomic<double> share_{1.0};
  mutable std::mutex mutex_;
  Slots slots_;
  std::string held_;
};

}  // namespace corral::gateway
