// What must hold within one endpoint and one route, whatever else is configured. `path` is where
// the element stands, such as "routes[0]", and goes before the names of its members; it may be
// empty.
//
// Thread rule: pure functions.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"

namespace corral::config {

void check_endpoint(const EndpointSettings& endpoint, const std::string& path,
                    std::vector<Problem>& problems);
void check_route(const RouteSettings& route, const std::string& path,
                 std::vector<Problem>& problems);

}  // namespace corral::config
