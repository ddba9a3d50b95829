// Reads an answer up to the point from which it may be sent to the client. Whatever goes wrong
// before that can be tried again elsewhere without the client noticing.
#pragma once

#include <chrono>
#include <string_view>

#include "gateway/flight.hpp"

namespace corral::gateway {

// Streams: up to the first piece with a token (servers send the role long before that). Documents:
// whole. Answers that are put together here: all events. timeout when the deadline passes.
net::Task<Result<void>> prepare(Dispatched& result, const inference::Request& request,
                                std::chrono::steady_clock::time_point deadline);

}  // namespace corral::gateway
