// The endpoints that the configuration names, with their health, and what is known about each model
// at each endpoint (also at our own engines). Keeps what did not change when it is applied anew.
//
// Thread rule: belongs to the control shard, but for state(), which any thread may call.
// Lifecycle: construct, apply() whenever the configuration changes, start(), `co_await stop()`.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bindings/binding.hpp"
#include "config/settings.hpp"
#include "gateway/core/health.hpp"
#include "gateway/endpoint.hpp"
#include "gateway/learned_work.hpp"
#include "gateway/target_state.hpp"
#include "net/shard.hpp"
#include "telemetry/log.hpp"

namespace corral::gateway {

struct RegistryParts {
  net::Shard& control;
  const bindings::BindingSet& bindings;
  telemetry::Logger log;
  std::function<void()> poke;  // somebody who waits may be let in now; any thread
  // Control shard.
  std::function<void(const std::string& endpoint, const std::string& model,
                     const BreakerTransition& change)>
      breaker_changed;
};

// What people see of an endpoint.
struct EndpointView {
  config::EndpointSettings settings;
  std::shared_ptr<const Endpoint> endpoint;
  HealthState health = HealthState::healthy;
  std::string last_probe_error;
  std::string held;  // why it gets no requests, whatever its health
  std::vector<std::shared_ptr<const TargetState>> models;
};

class EndpointRegistry {
 public:
  explicit EndpointRegistry(RegistryParts parts);
  ~EndpointRegistry();

  void apply(const std::vector<config::EndpointSettings>& endpoints,
             const config::GatewaySettings& gateway);
  // Endpoints that get no requests and are not probed until they are let go, by name, with the
  // reason. What is not named any more is let go, and begins as healthy.
  void hold(std::map<std::string, std::string> held);
  void start();  // the health checks
  net::Task<void> stop();

  std::shared_ptr<Endpoint> find(const std::string& name) const;
  std::shared_ptr<TargetState> state(const std::string& endpoint, const std::string& model);
  // What was learned before this process began; before the first apply(). It counts for targets
  // that come later, unless their endpoint leads elsewhere now.
  void recall(std::vector<LearnedWork> learned);
  // Of the targets that learned something since this was asked last. Control shard.
  std::vector<LearnedWork> take_learned();
  std::vector<EndpointView> view() const;  // control shard
  std::vector<std::shared_ptr<TargetState>> states_of(const std::string& endpoint) const;
  // It is far worse than the others of its group, and rests for a while.
  void eject(const std::string& endpoint);
  // By hand: of one model, or of all when `model` is empty. not_found.
  Result<void> force_breakers(const std::string& endpoint, const std::string& model, bool open);

 private:
  struct Entry;
  using Names = std::pair<std::string, std::string>;  // endpoint, model
  // Learned by a target that is not there, or not yet.
  struct Recalled {
    std::string place;
    WorkEstimate estimate;
    bool noted = true;
  };
  void forget_states(const std::map<std::string, std::shared_ptr<Entry>>& gone, bool all);
  std::string place_of(const std::string& endpoint) const;
  std::shared_ptr<Endpoint> make_endpoint(const config::EndpointSettings& wanted) const;
  std::shared_ptr<Entry> make_entry(const config::EndpointSettings& wanted,
                                    std::shared_ptr<Endpoint> endpoint) const;
  void tick();
  void show(const Entry& entry) const;
  void perform(const std::shared_ptr<Entry>& entry, const HealthStep& step);
  net::Task<void> probe(std::shared_ptr<Entry> entry);
  net::Task<void> validate(std::shared_ptr<Entry> entry);
  void breaker_changed(const std::string& endpoint, const std::string& model,
                       const BreakerTransition& change);
  BreakerPolicy breaker_policy(bool managed) const;
  HealthPolicy health_policy() const;

  RegistryParts parts_;
  config::GatewaySettings settings_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  std::map<std::string, std::string> held_;
  std::unique_ptr<net::TaskGroup> tasks_;
  bool started_ = false;
  bool stopping_ = false;
  std::shared_ptr<EndpointRegistry*> alive_;  // cleared when this dies, for what was posted
  mutable std::mutex mutex_;                  // of states_ and recalled_
  std::map<Names, std::shared_ptr<TargetState>> states_;
  std::map<Names, Recalled> recalled_;
};

}  // namespace corral::gateway
