// Which IP addresses belong to the public internet.
// Thread rule: pure functions.
#pragma once

#include <sys/socket.h>

namespace corral::net {

// False for loopback, private, link-local, shared, multicast, documentation and reserved addresses
// (IANA IPv4 and IPv6 Special-Purpose Address Registries), for IPv6 forms that carry such an IPv4
// address (mapped, compatible, NAT64, 6to4, Teredo), and for what is no IP address.
bool is_public(const sockaddr& address);

}  // namespace corral::net
