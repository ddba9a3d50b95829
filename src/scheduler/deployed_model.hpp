// One deployment with its instance: performs what the placement and the pure core
// (core/deployment.hpp) decide, and reports what becomes of it.
// Thread rule: belongs to the control shard. Lifecycle: `co_await stop()` before destruction.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engines/instance.hpp"
#include "gateway/endpoint_source.hpp"
#include "scheduler/core/deployment.hpp"
#include "scheduler/core/placement.hpp"
#include "telemetry/metrics.hpp"

namespace corral::scheduler {

// One way to start it: what the engine is told, and where its memory is.
struct StartOption {
  engines::InstanceSpec spec;
  Place place;
};

// What all deployments share.
struct DeploymentParts {
  engines::InstanceServices engine;
  telemetry::Metrics& metrics;
  const bindings::Binding& binding;
  std::function<void()> place_freed;
};

// Which of its deployment's instances it is.
struct Replica {
  unsigned number = 0;
  bool of_several = false;  // there are, or may be, others
};

// What became of it. May be told while one of its functions runs.
struct DeploymentReports {
  std::function<void()> ready;  // or open again
  std::function<void()> down;   // crashed, and is started again
  std::function<void(const Error&)> failed;
  std::function<void(const Error*)> leaving;  // callers who wait are told, if there is a reason
  std::function<void()> gone;
  std::function<void()> changed;  // state or endpoint are different now
};

class DeployedModel {
 public:
  DeployedModel(DeploymentParts parts, DeploymentReports reports, UnitId unit, std::string model,
                engines::Purpose purpose, std::vector<StartOption> options,
                std::chrono::milliseconds idle_timeout, Replica replica = {});

  // As the placement decides.
  void start(std::size_t option);
  void close_for_turn();
  void reopen();
  void make_room();
  // For another reason. Callers who wait are told why, or wait until it is loaded again.
  void unload(const Error* why);
  // Not needed any more: those inside finish, then it goes. Or it is needed after all.
  void retire();
  void bring_back();

  enum class WhenIdle { unload, stay };
  // Unloads when nobody used it for the idle time; replaces an endpoint that a caller closed
  // because the connection was refused, though the instance says it is well. Called every second or
  // so.
  void sweep(WhenIdle when_idle);
  // The next start uses these; another file unloads the model at once.
  void update(std::vector<StartOption> options, std::chrono::milliseconds idle_timeout);

  UnitId unit() const { return unit_; }
  const std::string& model() const { return model_; }
  engines::Purpose purpose() const { return purpose_; }
  unsigned replica() const { return replica_.number; }
  bool retiring() const { return retiring_; }
  void set_several(bool several) { replica_.of_several = several; }  // of the next endpoint on
  const Deployment& state() const { return core_; }
  const std::shared_ptr<gateway::Endpoint>& endpoint() const { return endpoint_; }
  const std::vector<StartOption>& options() const { return options_; }
  std::chrono::milliseconds idle_timeout() const { return idle_timeout_; }
  engines::InstanceInfo instance_info() const { return instance_->info(); }
  bool has_instance() const { return instance_ != nullptr; }
  bool has_served() const { return endpoint_ != nullptr && endpoint_->load().served > 0; }
  void measure(std::size_t waiting) const;
  net::Task<void> stop();

 private:
  void perform(const DeploymentActions& actions);
  void open_endpoint();
  void make_instance(const engines::InstanceSpec& spec);

  struct Meters {
    telemetry::Counter starts, crashes;
    telemetry::Gauge ready, in_flight, waiting;
  };
  static Meters make_meters(telemetry::Metrics& metrics, const std::string& model,
                            engines::Purpose purpose, unsigned replica);

  DeploymentParts parts_;
  DeploymentReports reports_;
  UnitId unit_;
  std::string model_;
  engines::Purpose purpose_;
  std::vector<StartOption> options_;
  std::chrono::milliseconds idle_timeout_;
  Replica replica_;
  Meters meters_;
  Deployment core_;
  std::unique_ptr<engines::Instance> instance_;
  std::vector<std::unique_ptr<engines::Instance>> retired_;  // made for an earlier spec
  std::optional<engines::InstanceAddress> address_;
  std::shared_ptr<gateway::Endpoint> endpoint_;
  bool turn_over_ = false;
  bool retiring_ = false;
  std::optional<std::chrono::steady_clock::time_point> closed_seen_;
};

}  // namespace corral::scheduler
