// Endpoints and routes as JSON, for people and the command line.
// Thread rule: pure functions; endpoint views come from the control shard.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "gateway/endpoint_registry.hpp"
#include "gateway/routing.hpp"

namespace corral::api::admin {

boost::json::object describe(const gateway::EndpointView& view);
boost::json::object describe(const gateway::ActiveRoute& route);

// What a name leads to, target by target, and which one would get a request now.
boost::json::object explain(const gateway::ActiveRoute& route, std::string_view name,
                            std::string_view matched);

}  // namespace corral::api::admin
