// Times as text.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace corral {

// RFC 3339 in UTC with milliseconds: "2026-11-21T01:02:03.456Z".
std::string format_time(std::chrono::system_clock::time_point time);

// The pause that a Retry-After field asks for (RFC 9110 section 10.2.3): seconds, or an HTTP date
// as every sender has written it since 1994 ("Sun, 06 Nov 1994 08:49:37 GMT"). A date that has
// passed is no pause; at most a day. nullopt for anything else.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view text,
                                                      std::chrono::system_clock::time_point now);

}  // namespace corral
