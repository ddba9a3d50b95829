// Small text helpers. No locale, no allocation where a view will do.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral {

std::string_view trim(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);  // keeps empty parts
std::string to_lower(std::string_view text);                                 // ASCII
bool iequals(std::string_view a, std::string_view b);                        // ASCII
std::string join(std::span<const std::string> parts, std::string_view separator);

// Levenshtein distance with adjacent swaps counted as one (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);

// Up to `most` of `names`, nearest to `wanted` first; only those close enough to be a likely slip
// (distance at most a third of the length, or one contains the other).
std::vector<std::string> nearest(std::string_view wanted, std::span<const std::string> names,
                                 std::size_t most = 3);

Result<std::int64_t> parse_int(std::string_view text);

// "250ms", "30s", "5m", "1h30m"; a bare number is seconds; "0" is zero. Negative is an error.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string format_duration(std::chrono::milliseconds value);

// "512", "64KiB", "8MB", "1.5GiB" -> bytes. KB/MB/GB are powers of 1000, KiB/MiB/GiB of 1024.
Result<std::uint64_t> parse_bytes(std::string_view text);
std::string format_bytes(std::uint64_t bytes);  // "1.5 GiB"

// Length of the valid UTF-8 sequence at the front of `text`; 0 if there is none.
std::size_t utf8_sequence_length(std::string_view text);

// Valid UTF-8 (RFC 3629: no overlong forms, no surrogates)?
bool is_utf8(std::string_view text);

// Shell-style wildcard with `*` and `?`.
bool wildcard_match(std::string_view pattern, std::string_view text);

// The beginning of a text for a header or a log line: control characters become '?'.
std::string one_line(std::string_view text, std::size_t most = 300);

// Equal in time that does not depend on the content (for secrets).
bool constant_time_equal(std::string_view a, std::string_view b);

}  // namespace corral
