#include "gateway/core/outcome.hpp"

namespace corral::gateway {
namespace {

// The higher, the more a person learns from it.
int meaning(Outcome outcome) {
  switch (outcome) {
    case Outcome::client_error: return 7;  // mend the request
    case Outcome::lacking: return 6;       // mend the route
    case Outcome::server_error: return 5;  // the backend's own words
    case Outcome::rubbish: return 4;
    case Outcome::timeout: return 3;
    case Outcome::rate_limited: return 2;
    case Outcome::connect_error: return 1;
    case Outcome::cancelled:
    case Outcome::success: break;
  }
  return 0;
}

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::success: return "success";
    case Outcome::connect_error: return "connect_error";
    case Outcome::timeout: return "timeout";
    case Outcome::server_error: return "server_error";
    case Outcome::rubbish: return "rubbish";
    case Outcome::rate_limited: return "rate_limited";
    case Outcome::client_error: return "client_error";
    case Outcome::lacking: return "lacking";
    case Outcome::cancelled: return "cancelled";
  }
  return "unknown";
}

bool counts_against_endpoint(Outcome outcome) {
  switch (outcome) {
    case Outcome::connect_error:
    case Outcome::timeout:
    case Outcome::server_error:
    case Outcome::rubbish: return true;
    case Outcome::success:
    case Outcome::rate_limited:
    case Outcome::client_error:
    case Outcome::lacking:
    case Outcome::cancelled: break;
  }
  return false;
}

bool retryable(Outcome outcome) {
  return counts_against_endpoint(outcome) || outcome == Outcome::rate_limited ||
         outcome == Outcome::lacking;
}

Outcome outcome_of(const Error& error) {
  // A backend's refusal that the binding could read better than its status stays a client's error.
  if (error.peer_status != 0 && error.code != ErrorCode::invalid_argument) {
    return outcome_of_status(error.peer_status);
  }
  switch (error.code) {
    case ErrorCode::unavailable: return Outcome::connect_error;
    case ErrorCode::timeout: return Outcome::timeout;
    case ErrorCode::upstream: return Outcome::rubbish;  // what no status explains
    case ErrorCode::rate_limited: return Outcome::rate_limited;
    case ErrorCode::invalid_argument:
    case ErrorCode::unauthenticated:
    case ErrorCode::forbidden:
    case ErrorCode::not_found:
    case ErrorCode::conflict:
    case ErrorCode::too_large:
    case ErrorCode::unsupported: return Outcome::client_error;
    // Ours: no memory, no file descriptors. It would open every breaker at once for nothing.
    case ErrorCode::internal:
    case ErrorCode::io:
    case ErrorCode::cancelled: break;
  }
  return Outcome::cancelled;
}

Outcome outcome_of_status(int status) {
  if (status >= 200 && status < 300) return Outcome::success;
  switch (status) {
    case 429: return Outcome::rate_limited;
    case 408:
    case 504: return Outcome::timeout;
    case 401:
    case 403:
    case 407: return Outcome::server_error;  // the credentials are ours, not the client's
    case 501: return Outcome::client_error;  // it does not offer this, and is well
    default: break;
  }
  if (status >= 400 && status < 500) return Outcome::client_error;
  return status >= 500 && status < 600 ? Outcome::server_error : Outcome::rubbish;
}

bool lacks_model(const Error& error) {
  return error.code == ErrorCode::not_found && error.peer_status == 404;
}

Outcome more_meaningful(Outcome a, Outcome b) { return meaning(b) > meaning(a) ? b : a; }

}  // namespace corral::gateway
