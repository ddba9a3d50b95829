// Reads an answer up to the point from which it may be sent to the client. Whatever goes wrong
// before that can be tried again elsewhere without the client noticing.
#pragma once

#include <chrono>

#include "gateway/dispatched.hpp"

namespace corral::gateway {

struct PrepareLimits {
  std::chrono::steady_clock::time_point first_token;
  std::chrono::steady_clock::time_point whole;
  std::chrono::milliseconds between_tokens;
};

// Streams: up to the first piece with a token (servers send the role long before that). Documents:
// whole. Answers that are put together here: all events. timeout when a limit passes.
net::Task<Result<void>> prepare(Dispatched& result, const inference::Request& request,
                                PrepareLimits limits);

// The answer took longer than a whole one may.
Error too_late(std::chrono::milliseconds total);

}  // namespace corral::gateway
