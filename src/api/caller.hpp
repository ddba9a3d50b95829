// Who asks, as the gateway needs to know: read from the request's headers, held to what is allowed.
// Thread rule: pure functions.
#pragma once

#include <string>

#include "config/settings.hpp"
#include "gateway/dispatched.hpp"
#include "net/http_server.hpp"

namespace corral::api {

struct CallerRules {
  config::Priority default_priority = config::Priority::normal;
  config::Priority max_priority = config::Priority::high;
};

struct CallerOf {
  gateway::Caller caller;
  std::string priority_note;  // set when less was given than asked for: "normal; asked for high"
};

// The principal is the API key, or else the client's address. Headers: x-corral-priority (low,
// normal, high), x-corral-session. invalid_argument for an unknown priority.
Result<CallerOf> caller_of(const net::HttpRequest& request, const CallerRules& rules);

}  // namespace corral::api
