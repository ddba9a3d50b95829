// JSON values as they stand in their document.
// Thread rule: pure functions.
#pragma once

#include <simdjson.h>

#include <string_view>

namespace corral::bindings::openai {

/** The text of a value as it stands in its document, without the space behind it. */
simdjson::error_code raw_text(simdjson::ondemand::value value, std::string_view& raw);

}  // namespace corral::bindings::openai
