#include "api/admin/route_view.hpp"

#include <boost/json.hpp>

#include "config/config.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;
using SteadyClock = std::chrono::steady_clock;
using Time = SteadyClock::time_point;

bj::value ms_until(const std::optional<Time>& when, Time now) {
  if (!when || *when <= now) return nullptr;
  return std::chrono::duration_cast<std::chrono::milliseconds>(*when - now).count();
}

bj::value milliseconds(double nanoseconds) {
  if (nanoseconds <= 0) return nullptr;
  return nanoseconds / 1e6;
}

bj::value milliseconds(const std::optional<std::chrono::nanoseconds>& value) {
  return value ? milliseconds(static_cast<double>(value->count())) : bj::value(nullptr);
}

bj::object describe_breaker(const gateway::TargetState& state, Time now) {
  auto view = state.view(now);
  bj::value reason, since;
  if (const auto& change = view.last_change) {
    reason = bj::string(gateway::to_string(change->reason));
    since = std::chrono::duration_cast<std::chrono::milliseconds>(now - change->at).count();
  }
  return {{"state", std::string(gateway::to_string(view.state))},
          {"reason", std::move(reason)},
          {"since_ms", std::move(since)},
          {"forced", view.forced},
          {"failures_in_a_row", view.failures_in_a_row},
          {"window_requests", view.window_requests},
          {"window_failures", view.window_failures},
          {"trials_under_way", view.trials_under_way},
          {"opens_for_trials_in_ms", ms_until(view.opens_again_for_trials, now)},
          {"cooling_for_ms", ms_until(view.cooling_until, now)}};
}

// How long which work takes there, as far as it was learned.
bj::array describe_work(const gateway::TargetState& state) {
  auto in_ms = [](gateway::WorkEstimate::Duration value) {
    return static_cast<double>(value.count()) / 1e6;
  };
  bj::array all;
  for (const auto& each : state.learned()) {
    all.push_back(bj::object{{"operation", std::string(to_string(each.operation))},
                             {"stream", each.stream},
                             {"requests", each.requests},
                             {"usual_ms", in_ms(each.usual)},
                             {"fixed_ms", in_ms(each.fixed)},
                             {"per_kib_ms", in_ms(each.per_kib)}});
  }
  return all;
}

bj::object describe_state(const gateway::TargetState& state, Time now) {
  return {{"model", state.model()},
          {"breaker", describe_breaker(state, now)},
          {"latency_ms", milliseconds(state.latency_ns(now))},
          {"work", describe_work(state)},
          {"successes", state.successes()},
          {"failures", state.failures()}};
}

// Why a target gets no requests now; empty when it may.
std::string obstacle(const gateway::ActiveTarget& target, Time now) {
  auto view = target.state->view(now);
  if (view.cooling_until) return "cooling down after a 429";
  if (!target.state->allow(now)) {
    return "circuit breaker " + std::string(gateway::to_string(view.state));
  }
  if (target.local()) return {};
  if (target.endpoint->closed()) return "closed";
  if (auto why = target.endpoint->held(); !why.empty()) return why;
  if (!target.endpoint->up()) return "down";
  if (target.endpoint->in_flight() >= target.endpoint->capacity()) return "full";
  return {};
}

bj::object describe_target(const gateway::ActiveTarget& target, std::string_view matched,
                           Time now) {
  std::string why_not = obstacle(target, now);
  bj::object result{
      {"endpoint", target.spec->endpoint},
      {"model", matched.empty() ? target.spec->model : target.spec->backend_model(matched)},
      {"weight", target.spec->weight},
      {"usable", why_not.empty()},
      {"obstacle", why_not.empty() ? bj::value(nullptr) : bj::value(why_not)},
      {"breaker", std::string(gateway::to_string(target.state->view(now).state))},
      {"latency_ms", milliseconds(target.state->latency_ns(now))},
      {"work", describe_work(*target.state)}};
  if (!target.local()) {
    result["in_flight"] = target.endpoint->in_flight();
    result["capacity"] = target.endpoint->capacity();
    result["share"] = target.endpoint->share();
  }
  return result;
}

bj::array describe_groups(const gateway::ActiveRoute& route, std::string_view matched, Time now) {
  bj::array groups;
  for (const auto& group : route.groups) {
    bj::array targets;
    for (const auto& target : group->targets()) {
      targets.push_back(describe_target(target, matched, now));
    }
    groups.push_back(bj::object{{"route", group->settings().name},
                                {"number", group->spec().number},
                                {"balance", std::string(gateway::to_string(group->policy()))},
                                {"targets", std::move(targets)}});
  }
  return groups;
}

bj::array texts(const std::vector<std::string>& from) {
  bj::array result;
  for (const auto& each : from) result.emplace_back(each);
  return result;
}

// The group's targets as a request without any history would find them.
class PlainView final : public gateway::LoadView {
 public:
  PlainView(const gateway::ActiveGroup& group, Time now) : group_(group), now_(now) {}
  bool usable(std::size_t index) const override {
    return obstacle(group_.targets()[index], now_).empty();
  }
  gateway::Load load(std::size_t index) const override {
    const auto& target = group_.targets()[index];
    double latency = target.state->latency_ns(now_);
    if (target.local()) return {0, 1, latency, 1};
    return {target.endpoint->in_flight(), target.endpoint->capacity(), latency,
            target.endpoint->share()};
  }

 private:
  const gateway::ActiveGroup& group_;
  Time now_;
};

// A balancer of its own, so that asking changes nobody's turn.
bj::value would_choose(const gateway::ActiveRoute& route, std::string_view matched, Time now) {
  for (const auto& group : route.groups) {
    std::vector<gateway::Member> members;
    for (const auto& target : group->targets()) {
      members.push_back({target.state->id(), target.spec->weight});
    }
    gateway::Balancer balancer(group->policy(), std::move(members));
    auto choice = balancer.choose(PlainView(*group, now), {},
                                  static_cast<std::uint64_t>(now.time_since_epoch().count()));
    if (!choice) continue;
    const auto& target = group->targets()[choice->index];
    return bj::object{{"endpoint", target.spec->endpoint},
                      {"model", target.spec->backend_model(matched)},
                      {"reason", std::string(gateway::to_string(choice->reason))},
                      {"explanation", std::string(gateway::explanation(choice->reason))}};
  }
  return nullptr;
}

}  // namespace

bj::object describe(const gateway::EndpointView& view) {
  auto now = SteadyClock::now();
  auto load = view.endpoint->load();
  bj::array models;
  for (const auto& state : view.models) models.push_back(describe_state(*state, now));
  return {{"name", view.settings.name},
          {"binding", view.settings.binding},
          {"url", view.settings.url},
          {"serves", texts(view.settings.models)},
          {"health", std::string(gateway::to_string(view.health))},
          {"error",
           view.last_probe_error.empty() ? bj::value(nullptr) : bj::value(view.last_probe_error)},
          {"held", view.held.empty() ? bj::value(nullptr) : bj::value(view.held)},
          {"in_flight", load.in_flight},
          {"capacity", load.capacity},
          {"share", view.endpoint->share()},
          {"weight", view.settings.weight},
          {"requests_total", load.served},
          {"models", std::move(models)}};
}

bj::object describe(const gateway::ActiveRoute& route) {
  auto now = SteadyClock::now();
  auto& state = *route.state;
  const auto& counters = state.counters;
  auto wait = state.wait_of_newcomer(now);
  bj::object queue{{"waiting", state.queue().waiting()},
                   {"limit", state.queue().limit()},
                   {"wait_ms", wait ? bj::value(wait->count()) : bj::value(nullptr)}};
  return {{"name", route.name()},
          {"implicit", route.route->implicit},
          {"aliases", texts(route.settings().aliases)},
          {"balance", std::string(config::to_string(route.settings().balance))},
          {"queue", std::move(queue)},
          {"p50_ms", milliseconds(state.quantile(0.5, now))},
          {"p95_ms", milliseconds(state.quantile(0.95, now))},
          {"requests_total", counters.requests.load(std::memory_order_relaxed)},
          {"retries_total", counters.retries.load(std::memory_order_relaxed)},
          {"hedges_total", counters.hedges.load(std::memory_order_relaxed)},
          {"groups", describe_groups(route, {}, now)},
          {"notes", texts(route.route->notes)}};
}

bj::object explain(const gateway::ActiveRoute& route, std::string_view name,
                   std::string_view matched) {
  auto now = SteadyClock::now();
  auto text = route.table->explain(name);
  return {{"name", name},
          {"route", route.name()},
          {"matched", matched.empty() ? bj::value(nullptr) : bj::value(matched)},
          {"text", text ? *text : std::string()},
          {"groups", describe_groups(route, matched, now)},
          {"would_choose", would_choose(route, matched, now)}};
}

}  // namespace corral::api::admin
