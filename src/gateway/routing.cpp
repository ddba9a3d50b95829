#include "gateway/routing.hpp"

#include <cmath>

namespace corral::gateway {
namespace {

BudgetPolicy budget(BudgetPolicy policy, double part) {
  policy.percent = static_cast<unsigned>(std::lround(part * 100));
  return policy;
}

std::vector<ActiveTarget> targets_of(const RouteGroup& group, EndpointRegistry& registry) {
  std::vector<ActiveTarget> targets;
  targets.reserve(group.targets.size());
  for (const auto& spec : group.targets) {
    ActiveTarget target;
    target.spec = &spec;
    if (!spec.local()) {
      target.endpoint = registry.find(spec.endpoint);
      if (target.endpoint == nullptr) continue;  // it cannot be used; the log says why
    }
    // Wildcards share one state: names that clients invent must not make more.
    target.state = registry.state(spec.endpoint, spec.model);
    targets.push_back(std::move(target));
  }
  return targets;
}

}  // namespace

Routing::Match Routing::find(std::string_view name) const {
  if (table_ == nullptr) return {};
  auto found = table_->find(name);
  if (!found) return {};
  auto index = static_cast<std::size_t>(found.route - table_->routes().data());
  return {routes_[index], found.matched};
}

std::shared_ptr<RouteState> RouteStates::state_of(const Route& route) {
  const auto& settings = route.settings;
  std::size_t queue_limit = limits_of(settings).queue_length;
  bool by_prefix = false;
  for (const auto& group : route.groups) {
    by_prefix = by_prefix || group.origin->settings.balance == config::Balance::prefix;
  }
  auto& state = states_[settings.name];
  if (state == nullptr || state->queue().limit() != queue_limit ||
      state->by_prefix() != by_prefix) {
    state = std::make_shared<RouteState>(settings.name, queue_limit, by_prefix);
  }
  state->set_budgets(budget(BudgetPolicy::for_retries(), settings.retry_budget),
                     budget(BudgetPolicy::for_hedges(), settings.hedge_budget));
  return state;
}

std::shared_ptr<const Routing> RouteStates::join(std::shared_ptr<const RouteTable> table,
                                                 EndpointRegistry& registry,
                                                 std::chrono::milliseconds retry_after) {
  auto routing = std::make_shared<Routing>();
  routing->table_ = table;
  std::map<std::string, std::shared_ptr<RouteState>> kept;
  for (const auto& route : table->routes()) {
    auto active = std::make_shared<ActiveRoute>();
    active->table = table;
    active->route = &route;
    active->limits = limits_of(route.settings);
    active->limits.retry_after = std::chrono::ceil<std::chrono::seconds>(retry_after);
    auto before = states_[route.settings.name];
    active->state = state_of(route);
    for (const auto& group : route.groups) {
      auto targets = targets_of(group, registry);
      if (!targets.empty()) {
        active->groups.push_back(std::make_unique<ActiveGroup>(group, std::move(targets)));
      }
    }
    // Requests that wait, or try again, go on with what holds now.
    if (before != nullptr) before->set_current(active);
    active->state->set_current(active);
    kept.emplace(route.settings.name, active->state);
    routing->routes_.push_back(std::move(active));
  }
  states_ = std::move(kept);
  return routing;
}

}  // namespace corral::gateway
