// One deployment with its instance: performs the actions of the pure core (core/deployment.hpp).
// Thread rule: belongs to the control shard. Lifecycle: `co_await stop()` before destruction.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engines/instance.hpp"
#include "gateway/endpoint_source.hpp"
#include "net/one_shot.hpp"
#include "scheduler/core/deployment.hpp"
#include "telemetry/metrics.hpp"

namespace corral::scheduler {

// What all deployments share.
struct DeploymentParts {
  engines::InstanceServices engine;
  telemetry::Metrics& metrics;
  const bindings::Binding& binding;
  std::function<void()> place_freed;
  std::function<void()> changed;  // state or endpoint are different now
};

class DeployedModel {
 public:
  using Waiter = std::shared_ptr<net::OneShot<Result<gateway::Target>>>;

  DeployedModel(DeploymentParts parts, std::string model, engines::InstanceSpec spec,
                std::chrono::milliseconds idle_timeout);

  void want(Waiter waiter);
  void unload(Error why);
  // Unloads when nobody used it for the idle time; replaces an endpoint that a caller closed
  // because the connection was refused, though the instance says it is well. Called every second or
  // so.
  void sweep();
  // The next start uses this; another file unloads the model at once.
  void update(engines::InstanceSpec spec, std::chrono::milliseconds idle_timeout);

  const std::string& model() const { return model_; }
  engines::Purpose purpose() const { return spec_.purpose; }
  const Deployment& state() const { return core_; }
  const std::shared_ptr<gateway::Endpoint>& endpoint() const { return endpoint_; }
  const engines::InstanceSpec& spec() const { return spec_; }
  std::chrono::milliseconds idle_timeout() const { return idle_timeout_; }
  engines::InstanceInfo instance_info() const { return instance_->info(); }
  bool has_instance() const { return instance_ != nullptr; }
  net::Task<void> stop();

 private:
  void perform(DeploymentActions actions);
  void open_endpoint();
  void wake(const std::optional<Error>& error);
  void make_instance();

  struct Meters {
    telemetry::Counter starts, crashes;
    telemetry::Gauge ready, in_flight, waiting;
  };
  static Meters make_meters(telemetry::Metrics& metrics, const std::string& model,
                            engines::Purpose purpose);
  void measure() const;

  DeploymentParts parts_;
  std::string model_;
  engines::InstanceSpec spec_;
  std::chrono::milliseconds idle_timeout_;
  Meters meters_;
  Deployment core_;
  std::unique_ptr<engines::Instance> instance_;
  std::vector<std::unique_ptr<engines::Instance>> retired_;  // made for an earlier spec
  std::optional<engines::InstanceAddress> address_;
  std::shared_ptr<gateway::Endpoint> endpoint_;
  std::vector<Waiter> waiters_;
  std::optional<std::chrono::steady_clock::time_point> closed_seen_;
};

}  // namespace corral::scheduler
