// What became of one attempt at an endpoint, in the few classes that breaker, health, retry and
// hedge tell apart. Pure values.
//
// An Error says what to tell a client; an Outcome says what the attempt proves about the endpoint.
// Example:
//   Outcome outcome = answer ? Outcome::success : outcome_of(answer.error());
//   if (counts_against_endpoint(outcome)) ...
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.hpp"

namespace corral::gateway {

enum class Outcome : std::uint8_t {
  success,        // an answer, or at least its beginning
  connect_error,  // no connection, or it was closed without an answer
  timeout,        // connected, but too slow
  server_error,   // it said that it failed (5xx), or that it does not accept our credentials
  rubbish,        // it answered what nobody can read
  rate_limited,   // 429: well, but wants a pause
  client_error,   // the request is at fault; any endpoint would refuse it
  lacking,        // 404 for a model that the route names: well, but has not got it; another may
  cancelled,      // the caller left, or the fault is our own; proves nothing about the endpoint
};

std::string_view to_string(Outcome outcome);

// A failure of the endpoint's making: opens breakers, makes outliers.
bool counts_against_endpoint(Outcome outcome);

// Another try, best on another target, may go better.
bool retryable(Outcome outcome);

// By the peer's HTTP status where it sent one, else by the code: `unavailable` is a connect_error,
// `upstream` an answer that cannot be read.
Outcome outcome_of(const Error& error);

// The class of a backend's HTTP status, for those who have it (probes).
Outcome outcome_of_status(int status);

// Whether a backend says that it has no such model (or no such service): its 404, as the binding
// read it. Where the route named the model, that is `lacking`; where the client did, its own error.
bool lacks_model(const Error& error);

// Which of two failures says more about why a request failed; the first when they say the same.
Outcome more_meaningful(Outcome a, Outcome b);

}  // namespace corral::gateway
