// JSON at the edges: parse with the position of an error, write strings and numbers.
//
// Boost.JSON's default depth of 32 refuses deep tool schemas; ours is 256. Numbers that JSON cannot
// carry (1e400 parses to infinity) are refused on reading.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace corral::json {

inline constexpr std::size_t kMaxDepth = 256;

// Whole document. On failure: code invalid_argument, message "... at line L, column C (byte N)".
Result<boost::json::value> parse(std::string_view text);

// Where and why `text` is not JSON; an error without position if it is valid after all.
Error explain_syntax_error(std::string_view text);

// Appends `text` as a quoted, escaped JSON string. Invalid UTF-8 becomes U+FFFD.
void append_quoted(std::string& out, std::string_view text);
std::string quoted(std::string_view text);

// One line; numbers like 0.7 are written as 0.7 (Boost.JSON alone writes 7E-1).
std::string serialize(const boost::json::value& value);
// Two-space indentation, for people and golden files.
std::string pretty(const boost::json::value& value);

}  // namespace corral::json
