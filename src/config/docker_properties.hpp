// The properties of engines in containers. Thread rule: pure functions.
#pragma once

#include <vector>

#include "config/properties.hpp"

namespace corral::config {

std::vector<Property<DockerSettings>> docker_properties();

}  // namespace corral::config
