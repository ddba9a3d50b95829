// What a server's answer to a request for a part of a file means (RFC 9110 section 14). No I/O.
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "models/core/ranges.hpp"

namespace corral::models {

// What was asked for, and what is known of the file.
struct RangeAsk {
  ByteRange range;
  std::optional<std::uint64_t> size;  // none: not known yet
  std::string tag;                    // ETag of the bytes that are there; empty: none known
};

struct RangeHead {
  int status = 0;
  std::optional<std::string_view> content_range;
  std::optional<std::string_view> content_length;
  std::optional<std::string_view> tag;
};

struct RangeVerdict {
  enum class Kind {
    part,     // the bytes of `range` follow
    whole,    // all bytes of the file follow, from the first on
    changed,  // the file is another than the one that the bytes are of
    refused,  // the status is an error
    wrong,    // the answer contradicts the request or itself: see `why`
  };
  Kind kind = Kind::refused;
  ByteRange range;                     // end 0: until the answer ends
  std::optional<std::uint64_t> total;  // bytes of the file
  std::string tag;
  std::string why;
};

RangeVerdict judge(const RangeAsk& ask, const RangeHead& head);

// May it stand in If-Range? (Strong ones only, RFC 9110 section 13.1.5.)
bool is_strong_tag(std::string_view tag);

}  // namespace corral::models
