#include "gateway/route_table_builder.hpp"

#include <fmt/core.h>
#include <map>

#include "config/config.hpp"

namespace corral::gateway {
namespace {

// A chain of fallbacks longer than this is cut: nobody waits for so many tries.
constexpr std::size_t kMostGroups = 128;

void resolve(config::Milliseconds& value, config::Milliseconds otherwise) {
  if (value.count() < 0) value = otherwise;
}

void resolve(config::RouteSettings& route, const config::GatewaySettings& gateway) {
  resolve(route.connect_timeout, gateway.connect_timeout);
  resolve(route.first_token_timeout, gateway.first_token_timeout);
  resolve(route.between_tokens_timeout, gateway.between_tokens_timeout);
  resolve(route.total_timeout, gateway.total_timeout);
  resolve(route.queue_timeout, gateway.queue_timeout);
  if (!route.queue_limit) route.queue_limit = gateway.queue_limit;
}

RouteGroup with_matched(RouteGroup group, std::string_view matched) {
  for (auto& target : group.targets) {
    if (!target.wildcard()) continue;
    target.model = target.backend_model(matched);
    target.renames = nullptr;
  }
  return group;
}

}  // namespace

void RouteTableBuilder::build() {
  read_endpoints();
  add_configured();
  add_implicit();
  add_aliases();
  auto& routes = table_.routes_;
  own_.resize(routes.size());
  for (std::size_t i = 0; i < routes.size(); ++i) {  // from here on routes stay where they are
    for (auto& group : routes[i].groups) group.origin = &routes[i];
    own_[i] = routes[i].groups;
  }
  for (std::size_t i = 0; i < routes.size(); ++i) {
    if (!routes[i].settings.fallbacks.empty()) follow_fallbacks(static_cast<Id>(i));
  }
}

void RouteTableBuilder::read_endpoints() {
  for (const auto& endpoint : sources_.endpoints) {
    auto renames = std::make_shared<Renames>();
    for (const auto& entry : endpoint.models) {
      auto model = config::served_model(entry);
      if (model.name != model.backend) renames->emplace(model.name, model.backend);
    }
    endpoints_.emplace(endpoint.name, Served{endpoint.weight, std::move(renames)});
  }
  endpoints_.emplace(config::kLocalEndpoint, Served{});
}

Route& RouteTableBuilder::add_route(config::RouteSettings settings, bool implicit) {
  auto& route = table_.routes_.emplace_back();
  route.implicit = implicit;
  for (const auto& [name, value] : settings.parameters) {
    route.parameters.push_back({name, config::to_json(value)});
  }
  resolve(settings, sources_.gateway);
  route.settings = std::move(settings);
  return route;
}

void RouteTableBuilder::add_configured() {
  for (const auto& settings : sources_.routes) {
    auto id = static_cast<Id>(table_.routes_.size());
    Route& route = add_route(settings, false);
    route.groups = groups_of(settings, route);
    table_.names_.add(settings.name, id);
    for (const auto& alias : settings.aliases) table_.names_.add(alias, id);
  }
}

std::vector<RouteGroup> RouteTableBuilder::groups_of(const config::RouteSettings& route,
                                                     Route& into) const {
  std::map<unsigned, RouteGroup> groups;
  for (const auto& wanted : route.targets) {
    auto endpoint = endpoints_.find(wanted.endpoint);
    if (endpoint == endpoints_.end()) {
      into.notes.push_back(fmt::format("there is no endpoint '{}' now", wanted.endpoint));
      continue;
    }
    const Served& served = endpoint->second;
    RouteTarget target{wanted.endpoint, wanted.model.empty() ? route.name : wanted.model,
                       wanted.weight.value_or(served.weight), nullptr};
    if (target.wildcard()) {
      target.renames = served.renames;
    } else if (served.renames) {
      auto renamed = served.renames->find(target.model);
      if (renamed != served.renames->end()) target.model = renamed->second;
    }
    auto& group = groups[wanted.group];
    group.number = wanted.group;
    group.targets.push_back(std::move(target));
  }
  std::vector<RouteGroup> result;
  result.reserve(groups.size());
  for (auto& [number, group] : groups) result.push_back(std::move(group));
  return result;
}

// Our own engines come first; the endpoints that serve a model of the same name stand behind them.
void RouteTableBuilder::add_implicit() {
  for (const auto& model : sources_.local_models) {
    add_implicit_name(model.name, {config::kLocalEndpoint, model.name, 1, nullptr}, 0);
  }
  for (const auto& endpoint : sources_.endpoints) {
    for (const auto& entry : endpoint.models) {
      auto model = config::served_model(entry);
      add_implicit_name(model.name,
                        {endpoint.name, std::string(model.backend), endpoint.weight, nullptr}, 1);
    }
  }
  for (auto& route : table_.routes_) {
    if (!route.implicit) continue;
    for (std::size_t i = 0; i < route.groups.size(); ++i) {
      route.groups[i].number = static_cast<unsigned>(i);
    }
  }
}

void RouteTableBuilder::add_implicit_name(std::string_view name, RouteTarget target,
                                          unsigned group) {
  if (name.empty() || config::is_wildcard(name)) return;
  auto owner = table_.names_.owner(name);
  if (owner && !table_.routes_[*owner].implicit) return;  // hidden by a route
  auto [place, fresh] = table_.exact_.emplace(name, static_cast<Id>(table_.routes_.size()));
  if (fresh) {
    add_route({.name = std::string(name)}, true);
    table_.names_.add(name, place->second);
  }
  auto& groups = table_.routes_[place->second].groups;
  if (groups.empty() || groups.back().number != group) groups.push_back({.number = group});
  groups.back().targets.push_back(std::move(target));
}

void RouteTableBuilder::add_aliases() {
  for (const auto& model : sources_.local_models) add_aliases_of(model.name, model.aliases);
  for (const auto& [model, settings] : sources_.model_settings) {
    add_aliases_of(model, settings.aliases);
  }
}

void RouteTableBuilder::add_aliases_of(std::string_view model,
                                       const std::vector<std::string>& aliases) {
  auto owner = table_.exact_.find(model);
  if (owner == table_.exact_.end()) return;  // hidden, or nobody serves it
  for (const auto& alias : aliases) {
    if (alias.empty() || config::is_wildcard(alias)) continue;
    if (!table_.names_.add(alias, owner->second)) continue;
    table_.routes_[owner->second].settings.aliases.push_back(alias);
  }
}

std::optional<RouteTableBuilder::Stop> RouteTableBuilder::stop_at(std::string_view fallback,
                                                                  const Stop& from) const {
  if (config::is_wildcard(fallback)) {
    auto owner = table_.names_.owner(fallback);
    return owner ? std::optional(Stop{*owner, from.matched}) : std::nullopt;
  }
  auto match = table_.find(fallback);
  if (!match) return std::nullopt;
  Stop stop{static_cast<Id>(match.route - table_.routes_.data()), std::nullopt};
  if (!match.matched.empty()) stop.matched = std::string(match.matched);
  return stop;
}

// Depth first: the fallbacks of a fallback come before its next brother.
void RouteTableBuilder::follow_fallbacks(Id id) {
  auto& routes = table_.routes_;
  Route& route = routes[id];
  std::vector<bool> seen(routes.size());
  std::vector<Stop> waiting{{id, std::nullopt}};
  while (!waiting.empty()) {
    Stop stop = std::move(waiting.back());
    waiting.pop_back();
    if (seen[stop.route]) continue;
    seen[stop.route] = true;
    if (stop.route != id) {
      for (const auto& group : own_[stop.route]) {
        if (route.groups.size() == kMostGroups) {
          route.notes.push_back(fmt::format("only the first {} groups are tried", kMostGroups));
          return;
        }
        route.groups.push_back(stop.matched ? with_matched(group, *stop.matched) : group);
      }
    }
    const auto& fallbacks = routes[stop.route].settings.fallbacks;
    for (auto next = fallbacks.rbegin(); next != fallbacks.rend(); ++next) {
      if (auto found = stop_at(*next, stop)) {
        waiting.push_back(std::move(*found));
      } else {
        route.notes.push_back(fmt::format("the fallback '{}' is no route and no model now", *next));
      }
    }
  }
}

}  // namespace corral::gateway
