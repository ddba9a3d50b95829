// Where a Redis server is: `redis://[USER:pw@]HOST[:PORT][/DB]`, `rediss://...` with TLS, or
// `unix:PATH`.
//
// The password never leaves this type in a message: `display()` leaves it out, and errors of
// parsing name the part that is wrong, not its content. Thread rule: plain values. Example:
// CORRAL_TRY(auto url, RedisUrl::parse("redis://:secret@cache.local/2"));
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace corral::store {

struct RedisUrl {
  bool tls = false;
  std::string host;
  std::uint16_t port = 6379;
  std::string socket_path;  // instead of host and port
  std::string user;         // empty: Redis' default user
  std::string password;
  int database = 0;
  std::string ca_file;  // PEM, for TLS; empty: the system's authorities

  // invalid_argument for another scheme, a missing part, bad percent-encoding or an unknown option.
  // Options after `?`: db; password (with unix:); ca (a PEM file, with rediss:).
  static Result<RedisUrl> parse(std::string_view text);

  std::string display() const;  // for messages: without user and password
};

}  // namespace corral::store
