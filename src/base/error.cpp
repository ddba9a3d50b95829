#include "base/error.hpp"

#include <system_error>

namespace corral {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::unauthenticated: return "unauthenticated";
    case ErrorCode::forbidden: return "forbidden";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::conflict: return "conflict";
    case ErrorCode::too_large: return "too_large";
    case ErrorCode::rate_limited: return "rate_limited";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::internal: return "internal";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::upstream: return "upstream";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::timeout: return "timeout";
    case ErrorCode::io: return "io";
  }
  return "unknown";
}

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::forbidden: return 403;
    case ErrorCode::not_found: return 404;
    case ErrorCode::conflict: return 409;
    case ErrorCode::too_large: return 413;
    case ErrorCode::rate_limited: return 429;
    case ErrorCode::cancelled: return 499;
    case ErrorCode::internal: return 500;
    case ErrorCode::unsupported: return 501;
    case ErrorCode::upstream: return 502;
    case ErrorCode::unavailable: return 503;
    case ErrorCode::timeout: return 504;
    case ErrorCode::io: return 500;
  }
  return 500;
}

std::string Error::describe() const {
  return hint_text.empty() ? message : message + " (" + hint_text + ")";
}

Error fail_os(std::string message, int number) {
  std::string reason = std::generic_category().message(number);
  return Error{ErrorCode::io, std::move(message) + ": " + reason}.because(std::move(reason));
}

}  // namespace corral
