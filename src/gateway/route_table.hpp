// Which places may answer for a public model name, in which order: routes as configured, and for
// models that no route names, routes that follow from who serves them (implicit ones).
//
// A name is looked for as it is spelled, then without case, then with ":latest" left off, then
// among wildcards, of which the longest counts. A route hides a model of the same name.
// Thread rule: immutable; looking up allocates nothing. Lifecycle: made anew as a whole when
// endpoints, routes or the models of our own engines change.
// Example:
//   auto table = RouteTable::make({.endpoints = e, .routes = r, .local_models = m, .gateway = g});
//   if (auto match = table->find("openai/gpt-4o"))
//     for (const auto& group : match.route->groups)
//       try_all(group.targets, match.matched);  // target.backend_model(match.matched)
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "config/name_index.hpp"
#include "config/settings.hpp"

namespace corral::gateway {

struct Route;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>()(text);
  }
};
template <class T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

// An endpoint's names of models by their public names, where the two differ.
using Renames = TextMap<std::string>;

// One place that may answer.
struct RouteTarget {
  std::string endpoint;                    // config::kLocalEndpoint: our own engines
  std::string model;                       // the name there; may hold one '*' in a wildcard route
  unsigned weight = 1;                     // 0: no share of the requests
  std::shared_ptr<const Renames> renames;  // of a model with '*'; may be null

  bool local() const { return endpoint == config::kLocalEndpoint; }
  bool wildcard() const { return model.find('*') != std::string::npos; }
  // `matched` is what the '*' of the route's name stood for.
  std::string backend_model(std::string_view matched) const;
};

// Targets among which the balancer chooses.
struct RouteGroup {
  const Route* origin = nullptr;  // the route that named them: this one, or a fallback; its policy
                                  // and parameters hold for them
  unsigned number = 0;            // as configured there
  std::vector<RouteTarget> targets;
};

// Put into a request that does not set it.
struct DefaultParameter {
  std::string name;
  std::string json;  // its value
};

struct Route {
  config::RouteSettings settings;  // durations and limits resolved: none is "default" any more
  bool implicit = false;           // from a model's name, not from a configured route
  std::vector<DefaultParameter> parameters;
  std::vector<RouteGroup> groups;  // in the order to try: its own, then those of its fallbacks
  std::vector<std::string> notes;  // what leads nowhere now, for people

  bool wildcard() const { return settings.name.ends_with('*'); }
};

struct RouteMatch {
  const Route* route = nullptr;  // lives as long as the table
  std::string_view matched;      // part of the name looked up: what the '*' stood for
  explicit operator bool() const { return route != nullptr; }
};

// A model of our own engines.
struct LocalModel {
  std::string name;
  std::vector<std::string> aliases;
};

// Valid by config::validate_endpoints() and validate_routes(); what is not is left out with a note.
struct RouteSources {
  std::span<const config::EndpointSettings> endpoints;
  std::span<const config::RouteSettings> routes;
  std::span<const LocalModel> local_models;
  config::GatewaySettings gateway;
  // models.settings: its aliases hold for a model whoever serves it.
  std::map<std::string, config::ModelSettings> model_settings = {};
};

class RouteTable {
 public:
  static std::shared_ptr<const RouteTable> make(const RouteSources& sources);

  RouteMatch find(std::string_view name) const;
  std::span<const Route> routes() const { return routes_; }  // configured ones first

  // For people, several lines: what the name stands for and where its requests go. not_found with
  // the nearest names.
  Result<std::string> explain(std::string_view name) const;

 private:
  friend class RouteTableBuilder;
  RouteTable() = default;

  std::vector<Route> routes_;
  TextMap<config::NameIndex::Id> exact_;
  config::NameIndex names_;
};

}  // namespace corral::gateway
