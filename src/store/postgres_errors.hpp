// PostgreSQL's error codes (SQLSTATE, appendix A of its manual) as our errors.
#pragma once

#include <string_view>

#include "base/error.hpp"

namespace corral::store {

// `state` is the five characters of SQLSTATE, `text` the server's primary message (kept as the
// cause, for logs); details, which quote rows, are never taken.
Error postgres_error(std::string_view state, std::string_view text);

// The connection is gone; `text` is libpq's message.
Error postgres_lost(std::string_view text);

}  // namespace corral::store
