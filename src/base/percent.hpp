// Percent-encoding of text in URLs (RFC 3986 section 2.1).
//
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace corral {

// All but letters, digits and "-._~" becomes %XX: fit for a segment of a path or a value in a
// query.
std::string percent_encode(std::string_view text);

// None where a '%' is not followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text);

}  // namespace corral
