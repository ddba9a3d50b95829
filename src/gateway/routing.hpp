// All routes as they run now: the route table joined with endpoints and what is known about them.
//
// Thread rule: a Routing is immutable; RouteStates belongs to the control shard.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/active_route.hpp"
#include "gateway/endpoint_registry.hpp"

namespace corral::gateway {

class Routing {
 public:
  struct Match {
    std::shared_ptr<const ActiveRoute> route;
    std::string_view matched;  // what the '*' of its name stood for
  };

  Routing() = default;
  Match find(std::string_view name) const;
  const std::vector<std::shared_ptr<const ActiveRoute>>& routes() const { return routes_; }
  const std::shared_ptr<const RouteTable>& table() const { return table_; }

 private:
  friend class RouteStates;
  std::shared_ptr<const RouteTable> table_;
  std::vector<std::shared_ptr<const ActiveRoute>> routes_;  // as in the table
};

// Joins tables with states, and keeps the states from one table to the next.
class RouteStates {
 public:
  // `retry_after` is said with 503 when nothing better is known.
  std::shared_ptr<const Routing> join(std::shared_ptr<const RouteTable> table,
                                      EndpointRegistry& registry,
                                      std::chrono::milliseconds retry_after = kComeBack);

  static constexpr std::chrono::seconds kComeBack{2};

 private:
  std::shared_ptr<RouteState> state_of(const Route& route);
  std::map<std::string, std::shared_ptr<RouteState>> states_;
};

}  // namespace corral::gateway
