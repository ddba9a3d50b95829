// Makes a RouteTable out of the settings: route_table.cpp's own helper.
//
// Thread rule: one thread; used once.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/route_table.hpp"

namespace corral::gateway {

class RouteTableBuilder {
 public:
  RouteTableBuilder(const RouteSources& sources, RouteTable& table)
      : sources_(sources), table_(table) {}

  void build();

 private:
  using Id = config::NameIndex::Id;

  // A route on the way through fallbacks; `matched` when the way went over a name that a wildcard
  // met, nothing when patterns are passed on.
  struct Stop {
    Id route;
    std::optional<std::string> matched;
  };

  void read_endpoints();
  void add_configured();
  void add_implicit();
  void add_implicit_name(std::string_view name, RouteTarget target, unsigned group);
  void add_aliases();
  void add_aliases_of(std::string_view model, const std::vector<std::string>& aliases);
  Route& add_route(config::RouteSettings settings, bool implicit);
  std::vector<RouteGroup> groups_of(const config::RouteSettings& route, Route& into) const;
  void follow_fallbacks(Id id);
  std::optional<Stop> stop_at(std::string_view fallback, const Stop& from) const;

  struct Served {
    unsigned weight = 1;
    std::shared_ptr<const Renames> renames;
  };

  const RouteSources& sources_;
  RouteTable& table_;
  TextMap<Served> endpoints_;
  std::vector<std::vector<RouteGroup>> own_;  // by route, before fallbacks are added
};

}  // namespace corral::gateway
