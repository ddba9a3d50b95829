// What an answer cost: tokens and time, as reported by the backend or counted from the stream.
#pragma once

#include <cstdint>
#include <string>

namespace corral::inference {

struct Usage {
  std::uint64_t prompt_tokens = 0;  // the whole prompt
  std::uint64_t cached_tokens = 0;  // of these, taken from the backend's cache
  std::uint64_t completion_tokens = 0;
  bool reported = false;        // false: completion_tokens counts stream events
  std::string backend_timings;  // the backend's own record as JSON, or empty
};

}  // namespace corral::inference
