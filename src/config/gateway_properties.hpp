// The part of the table of properties that is about the gateway; endpoints and routes stand in
// properties.hpp.
//
// Thread rule: pure functions.
#pragma once

#include <vector>

#include "config/properties.hpp"

namespace corral::config {

std::vector<Property<GatewaySettings>> gateway_properties();  // gateway.*

}  // namespace corral::config
