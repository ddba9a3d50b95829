// What must hold of the containers in `docker.containers`, and the endpoints that they are.
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "config/config.hpp"

namespace corral::config {

// The endpoint of that name, at `port` of this host's loopback. 0: the address is not known yet;
// nobody must be sent to the one that stands there.
EndpointSettings endpoint_of(const ContainerSettings& container, std::uint16_t port);

// The configured endpoints, and those that containers are, without address.
std::vector<EndpointSettings> with_containers(const Settings& settings);

std::vector<Problem> validate_containers(const Settings& settings);

}  // namespace corral::config
