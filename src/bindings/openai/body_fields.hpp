// Where values stand at the top level of a JSON object, so that they can be replaced in place.
// Thread rule: pure; keeps a parser for each thread.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral::bindings::openai {

struct FieldPlace {
  std::size_t begin = 0;
  std::size_t size = 0;  // of the value's text; 0: the key is not there
  bool present() const { return size != 0; }
};

struct BodyFields {
  std::vector<FieldPlace> places;  // one for each key asked for
  std::size_t insert_at = 0;       // just behind the opening brace
  bool empty_object = false;       // nothing follows the opening brace
};

// `body` was validated by peek(), so a failure is `internal`.
Result<BodyFields> find_fields(std::string_view body, std::span<const std::string_view> keys);

}  // namespace corral::bindings::openai
