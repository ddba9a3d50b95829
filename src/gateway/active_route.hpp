// A route as it runs: its policy, and its targets with the endpoints and states they lead to.
// Made anew when the configuration changes; what was learned (RouteState) stays.
//
// Thread rule: immutable but for the balancers, which have a lock each.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "gateway/core/balancer.hpp"
#include "gateway/endpoint.hpp"
#include "gateway/route_state.hpp"
#include "gateway/route_table.hpp"
#include "gateway/target_state.hpp"
#include "inference/request.hpp"

namespace corral::gateway {

// How long a call may take.
struct CallLimits {
  bindings::CallTimeouts timeouts;
  std::chrono::milliseconds total{1'800'000};  // from the request to the end of its answer
  std::chrono::milliseconds queue{300'000};    // waiting for a place
  std::size_t queue_length = 512;              // requests that wait at once
  std::chrono::seconds retry_after{2};         // said with 503 when nothing better is known
};

struct ActiveTarget {
  const RouteTarget* spec = nullptr;
  std::shared_ptr<Endpoint> endpoint;  // null: an engine of ours, found when it is needed
  std::shared_ptr<TargetState> state;

  bool local() const { return endpoint == nullptr; }
};

// Targets that are equally good; the balancer chooses.
class ActiveGroup {
 public:
  ActiveGroup(const RouteGroup& spec, std::vector<ActiveTarget> targets);

  const RouteGroup& spec() const { return spec_; }
  const config::RouteSettings& settings() const { return spec_.origin->settings; }
  const std::vector<ActiveTarget>& targets() const { return targets_; }
  Policy policy() const { return balancer_.policy(); }
  const std::shared_ptr<const inference::DefaultParameters>& defaults() const { return defaults_; }
  std::optional<Choice> choose(const LoadView& view, const BalanceKeys& keys) const;

 private:
  const RouteGroup& spec_;
  std::vector<ActiveTarget> targets_;
  std::shared_ptr<const inference::DefaultParameters> defaults_;  // may be null
  mutable std::mutex mutex_;
  mutable Balancer balancer_;
};

struct ActiveRoute {
  std::shared_ptr<const RouteTable> table;  // owns the route
  const Route* route = nullptr;
  CallLimits limits;
  std::vector<std::unique_ptr<ActiveGroup>> groups;
  std::shared_ptr<RouteState> state;

  const std::string& name() const { return route->settings.name; }
  const config::RouteSettings& settings() const { return route->settings; }
};

// What holds its endpoints back, for the end of a sentence: ": the container x is starting"; empty
// when nothing does.
std::string held_back(const ActiveRoute& route);

Policy policy_of(config::Balance balance);
CallLimits limits_of(const config::RouteSettings& settings);

}  // namespace corral::gateway
