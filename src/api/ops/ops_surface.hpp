// For those who run the server: /health, /health/ready, /metrics (Prometheus text on GET, live
// numbers once a second on a WebSocket), and a word at /.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "api/api.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::api::ops {

struct OpsParts {
  Api& api;
  scheduler::Scheduler& scheduler;
  telemetry::Metrics& metrics;
  net::BlockingPool& pool;
  std::string version;
  const std::atomic<bool>& ready;     // models are known and listeners are open
  const std::atomic<bool>& draining;  // shutting down
  std::function<std::size_t()> connections;
  std::function<std::size_t()> requests_in_flight;
};

class OpsSurface {
 public:
  explicit OpsSurface(OpsParts parts) : parts_(std::move(parts)) {}

  void add_routes(Router& router);
  void add_root(Router& router);  // unless a web root has a page for it

 private:
  net::Task<void> health(Call& call);
  net::Task<void> readiness(Call& call);
  net::Task<void> metrics(Call& call);
  net::Task<void> live_metrics(Call& call);
  net::Task<void> root(Call& call);
  net::Task<std::string> live_document(double cpu_percent);

  OpsParts parts_;
};

}  // namespace corral::api::ops
