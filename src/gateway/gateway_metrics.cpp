#include "gateway/gateway_metrics.hpp"

#include <algorithm>

namespace corral::gateway {
namespace {

using SteadyClock = std::chrono::steady_clock;

double number_of(BreakerState state) {
  switch (state) {
    case BreakerState::closed: return 0;
    case BreakerState::half_open: return 1;
    case BreakerState::open: return 2;
  }
  return 0;
}

}  // namespace

void GatewayMetrics::Followed::follow(std::uint64_t value) {
  // Less than before: what was counted was made anew.
  counter.add(static_cast<double>(value >= seen ? value - seen : value));
  seen = value;
}

GatewayMetrics::EndpointMeters& GatewayMetrics::endpoint_meters(const std::string& endpoint) {
  auto found = endpoints_.find(endpoint);
  if (found != endpoints_.end()) return found->second;
  telemetry::Labels labels{{"endpoint", endpoint}};
  return endpoints_
      .emplace(endpoint,
               EndpointMeters{
                   metrics_.gauge("corral_endpoint_up", "1 while requests may go there.", labels),
                   metrics_.gauge("corral_endpoint_in_flight", "Requests at the endpoint.", labels),
                   metrics_.gauge("corral_endpoint_capacity_share",
                                  "Part of its capacity in use for requests, less than 1 while it "
                                  "comes back.",
                                  labels)})
      .first->second;
}

GatewayMetrics::TargetMeters& GatewayMetrics::target_meters(const std::string& endpoint,
                                                            const std::string& model) {
  auto key = std::pair(endpoint, model);
  auto found = targets_.find(key);
  if (found != targets_.end()) return found->second;
  telemetry::Labels labels{{"endpoint", endpoint}, {"model", model}};
  auto attempts = [&](const char* outcome) {
    telemetry::Labels with = labels;
    with.emplace_back("outcome", outcome);
    return metrics_.counter("corral_target_attempts_total",
                            "Attempts at a model of an endpoint by outcome.", with);
  };
  return targets_
      .emplace(
          key,
          TargetMeters{metrics_.gauge("corral_breaker_state",
                                      "Circuit breaker: 0 closed, 1 half-open, 2 open.", labels),
                       metrics_.gauge("corral_target_latency_seconds",
                                      "Time to the first byte, as balancing sees it.", labels),
                       {attempts("success")},
                       {attempts("failure")}})
      .first->second;
}

GatewayMetrics::RouteMeters& GatewayMetrics::route_meters(const std::string& route) {
  auto found = routes_.find(route);
  if (found != routes_.end()) return found->second;
  telemetry::Labels labels{{"route", route}};
  auto counter = [&](const char* name, const char* help) {
    return Followed{metrics_.counter(name, help, labels)};
  };
  RouteMeters meters{
      metrics_.gauge("corral_route_waiting", "Requests waiting for a place.", labels),
      counter("corral_route_requests_total", "Requests of the route."),
      counter("corral_route_retries_total", "Attempts after a failed one."),
      counter("corral_route_hedges_total", "Second attempts beside a slow first one."),
      counter("corral_route_hedges_won_total", "Second attempts that answered first."),
      counter("corral_route_queued_total", "Requests that had to wait for a place."),
      counter("corral_route_gave_up_total", "Requests that failed for want of further tries."),
      counter("corral_route_resumed_total", "Streams that went on at another endpoint.")};
  return routes_.emplace(route, meters).first->second;
}

void GatewayMetrics::update_target(const TargetState& state) {
  auto now = SteadyClock::now();
  auto& meters = target_meters(state.endpoint(), state.model());
  meters.breaker.set(number_of(state.view(now).state));
  meters.latency.set(state.latency_ns(now) / 1e9);
  meters.successes.follow(state.successes());
  meters.failures.follow(state.failures());
}

// Of ten thousand models of ours that nobody asked for, a hundred thousand series would be made.
bool GatewayMetrics::of_interest(const TargetState& state) const {
  if (targets_.contains({state.endpoint(), state.model()})) return true;
  return state.successes() + state.failures() > 0 ||
         state.view(SteadyClock::now()).state != BreakerState::closed;
}

bool GatewayMetrics::of_interest(const ActiveRoute& route) const {
  if (!route.route->implicit || routes_.contains(route.name())) return true;
  return route.state->counters.requests.load(std::memory_order_relaxed) > 0;
}

void GatewayMetrics::update() {
  auto endpoints = registry_.view();
  for (auto& [name, meters] : endpoints_) {
    auto same = [&](const EndpointView& view) { return view.settings.name == name; };
    if (std::ranges::any_of(endpoints, same)) continue;
    meters.up.set(0);
    meters.in_flight.set(0);
    meters.capacity_share.set(0);
  }
  for (const auto& view : endpoints) {
    auto& meters = endpoint_meters(view.settings.name);
    meters.up.set(view.endpoint->up() && !view.endpoint->closed() ? 1 : 0);
    meters.in_flight.set(view.endpoint->in_flight());
    meters.capacity_share.set(view.endpoint->share());
    for (const auto& state : view.models) update_target(*state);
  }
  for (const auto& state : registry_.states_of(config::kLocalEndpoint)) {
    if (of_interest(*state)) update_target(*state);
  }
  for (const auto& route : dispatcher_.routing()->routes()) {
    if (!of_interest(*route)) continue;
    auto& meters = route_meters(route->name());
    const auto& counters = route->state->counters;
    meters.waiting.set(static_cast<double>(route->state->queue().waiting()));
    meters.requests.follow(counters.requests.load(std::memory_order_relaxed));
    meters.retries.follow(counters.retries.load(std::memory_order_relaxed));
    meters.hedges.follow(counters.hedges.load(std::memory_order_relaxed));
    meters.hedges_won.follow(counters.hedges_won.load(std::memory_order_relaxed));
    meters.queued.follow(counters.queued.load(std::memory_order_relaxed));
    meters.gave_up.follow(counters.gave_up.load(std::memory_order_relaxed));
    meters.resumed.follow(counters.resumed.load(std::memory_order_relaxed));
  }
}

void GatewayMetrics::breaker_changed(const std::string& endpoint, const std::string& model,
                                     const BreakerTransition& change) {
  metrics_
      .counter(
          "corral_breaker_transitions_total", "Changes of circuit breakers.",
          {{"endpoint", endpoint}, {"model", model}, {"to", std::string(to_string(change.to))}})
      .add();
}

}  // namespace corral::gateway
