// The admin surface's part for endpoints and routes: see, change, explain.
// Errors are RFC 9457 problem documents; a change that is refused because of what it says is 422.
// Versions: an answer's ETag names the version; If-Match makes a change depend on it, and
// If-None-Match: * asks for a new one.
#pragma once

#include "api/router.hpp"
#include "gateway/route_control.hpp"

namespace corral::api::admin {

class RouteAdmin {
 public:
  RouteAdmin(gateway::RouteControl& control, gateway::Dispatcher& dispatcher)
      : control_(control), dispatcher_(dispatcher) {}

  void add_routes(Router& router);

 private:
  net::Task<void> list(Call& call, gateway::ResourceKind kind);
  net::Task<void> one(Call& call, gateway::ResourceKind kind);
  net::Task<void> create(Call& call, gateway::ResourceKind kind);
  net::Task<void> replace(Call& call, gateway::ResourceKind kind);
  net::Task<void> change(Call& call, gateway::ManagedChange change, bool fresh);
  net::Task<void> remove(Call& call, gateway::ResourceKind kind);
  net::Task<void> breaker(Call& call);
  net::Task<void> explain(Call& call);

  gateway::RouteControl& control_;
  gateway::Dispatcher& dispatcher_;
};

}  // namespace corral::api::admin
