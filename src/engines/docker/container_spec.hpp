// From settings to what the Docker Engine is asked to make, and a digest by which a container that
// was made earlier is known to be the same.
// Thread rule: pure functions.
#pragma once

#include <map>
#include <string>

#include "config/settings.hpp"

namespace corral::engines::docker {

struct ContainerSpec {
  std::string body;    // of POST /containers/create
  std::string digest;  // of all that a container cannot change later; also in the body's labels
};

// `environment` is Corral's own, for names that are passed on as they are. Ports are bound on
// loopback only; no capability can be gained; Docker does not restart it, since we do.
ContainerSpec make_spec(const config::ContainerSettings& settings,
                        const std::map<std::string, std::string>& environment);

}  // namespace corral::engines::docker
