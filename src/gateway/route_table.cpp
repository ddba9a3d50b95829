#include "gateway/route_table.hpp"

#include <fmt/core.h>
#include <algorithm>

#include "base/text.hpp"
#include "config/config.hpp"
#include "gateway/route_table_builder.hpp"

namespace corral::gateway {
namespace {

std::string how_found(const Route& route, std::string_view name, std::string_view matched) {
  const auto& own = route.settings.name;
  std::string_view kind = route.implicit ? "model" : "route";
  if (!matched.empty()) {
    return fmt::format("{} is met by the route {}, with '{}' for the '*'", name, own, matched);
  }
  if (own == name) return fmt::format("{} is a {}", name, kind);
  for (const auto& alias : route.settings.aliases) {
    if (iequals(alias, name)) return fmt::format("{} is an alias of the {} {}", name, kind, own);
  }
  return fmt::format("{} stands for the {} {}", name, kind, own);
}

std::string policy_line(const config::RouteSettings& s) {
  return fmt::format("balance {}, {} tries, hedge {}, resume {}, cache {}\n",
                     config::to_string(s.balance), s.tries, s.hedge ? "on" : "off",
                     s.resume ? "on" : "off", config::to_string(s.cache));
}

}  // namespace

std::string RouteTarget::backend_model(std::string_view matched) const {
  auto star = model.find('*');
  if (star == std::string::npos) return model;
  std::string name = model;
  name.replace(star, 1, matched);
  if (renames == nullptr) return name;
  auto renamed = renames->find(name);
  return renamed == renames->end() ? name : renamed->second;
}

std::shared_ptr<const RouteTable> RouteTable::make(const RouteSources& sources) {
  std::shared_ptr<RouteTable> table(new RouteTable());
  RouteTableBuilder(sources, *table).build();
  return table;
}

RouteMatch RouteTable::find(std::string_view name) const {
  if (auto found = exact_.find(name); found != exact_.end()) return {&routes_[found->second], {}};
  if (auto found = names_.find(name)) return {&routes_[found->id], found->matched};
  return {};
}

Result<std::string> RouteTable::explain(std::string_view name) const {
  auto match = find(name);
  if (!match) {
    std::vector<std::string> known;
    for (const auto& route : routes_) {
      known.push_back(route.settings.name);
      known.insert(known.end(), route.settings.aliases.begin(), route.settings.aliases.end());
    }
    auto error = fail(ErrorCode::not_found,
                      fmt::format("there is no route and no model '{}'", one_line(name)))
                     .field("model");
    auto near = nearest(name, known);
    if (!near.empty()) error.hint_text = "did you mean " + join(near, " or ") + "?";
    return std::unexpected(std::move(error));
  }
  const Route& route = *match.route;
  std::string text = one_line(how_found(route, name, match.matched)) + "\n";
  text += policy_line(route.settings);
  for (const auto& parameter : route.parameters) {
    text += fmt::format("parameter {} = {}\n", parameter.name, parameter.json);
  }
  for (const auto& group : route.groups) {
    text += group.origin == &route
                ? fmt::format("group {}\n", group.number)
                : fmt::format("fallback {}, group {}\n", group.origin->settings.name, group.number);
    for (const auto& target : group.targets) {
      text += fmt::format("  {}  {}  weight {}\n", target.endpoint,
                          one_line(target.backend_model(match.matched)), target.weight);
    }
  }
  for (const auto& note : route.notes) text += fmt::format("note: {}\n", note);
  return text;
}

}  // namespace corral::gateway
