// Reads what must be known of a request body in OpenAI's dialect, without building a tree that
// outlives the call, and refuses what no backend could use.
//
// Checked: valid JSON and UTF-8, an object, no key twice among those we act on (parsers differ on
// which one counts, and an access rule would be passed), the type of every field we know, the shape
// of messages and tools. Unknown fields pass. Source: OpenAI API reference, "Create chat
// completion", "Create completion", "Create embeddings".
#pragma once

#include <string_view>

#include "base/error.hpp"
#include "inference/request.hpp"

namespace corral::bindings::openai {

// `body` must outlive the request. invalid_argument with `param` naming the field.
Result<inference::Request> peek(inference::Operation operation, std::string_view body);

}  // namespace corral::bindings::openai
