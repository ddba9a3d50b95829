// Times as text.
#pragma once

#include <chrono>
#include <string>

namespace corral {

// RFC 3339 in UTC with milliseconds: "2026-11-21T01:02:03.456Z".
std::string format_time(std::chrono::system_clock::time_point time);

}  // namespace corral
