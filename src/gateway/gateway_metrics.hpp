// What endpoints, targets and routes do, as metrics.
// Thread rule: belongs to the control shard. Lifecycle: update() every second or so.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "gateway/dispatcher.hpp"
#include "gateway/endpoint_registry.hpp"
#include "telemetry/metrics.hpp"

namespace corral::gateway {

class GatewayMetrics {
 public:
  GatewayMetrics(telemetry::Metrics& metrics, const Dispatcher& dispatcher,
                 const EndpointRegistry& registry)
      : metrics_(metrics), dispatcher_(dispatcher), registry_(registry) {}

  void update();
  void breaker_changed(const std::string& endpoint, const std::string& model,
                       const BreakerTransition& change);

 private:
  // A counter that follows a number which only grows.
  struct Followed {
    telemetry::Counter counter;
    std::uint64_t seen = 0;
    void follow(std::uint64_t value);
  };
  struct EndpointMeters {
    telemetry::Gauge up, in_flight, capacity_share;
  };
  struct TargetMeters {
    telemetry::Gauge breaker, latency;
    Followed successes, failures;
  };
  struct RouteMeters {
    telemetry::Gauge waiting;
    Followed requests, retries, hedges, hedges_won, queued, gave_up, resumed;
  };
  EndpointMeters& endpoint_meters(const std::string& endpoint);
  TargetMeters& target_meters(const std::string& endpoint, const std::string& model);
  RouteMeters& route_meters(const std::string& route);
  void update_target(const TargetState& state);
  bool of_interest(const TargetState& state) const;
  bool of_interest(const ActiveRoute& route) const;

  telemetry::Metrics& metrics_;
  const Dispatcher& dispatcher_;
  const EndpointRegistry& registry_;
  std::map<std::string, EndpointMeters> endpoints_;
  std::map<std::pair<std::string, std::string>, TargetMeters> targets_;
  std::map<std::string, RouteMeters> routes_;
};

}  // namespace corral::gateway
