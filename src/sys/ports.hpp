// TCP ports of this host's loopback interface.
// Thread rule: free functions.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.hpp"

namespace corral::sys {

// A port of 127.0.0.1 that was free a moment ago. Somebody else may take it before it is used.
Result<std::uint16_t> free_loopback_port();

// Does a process of this process group listen on 127.0.0.1:port? None when the system does not say.
// Tells our own child from a stranger that took its port in time.
std::optional<bool> group_listens_on(int group, std::uint16_t port);

}  // namespace corral::sys
