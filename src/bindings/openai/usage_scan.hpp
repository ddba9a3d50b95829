// Usage of a whole document on the fast path: reads two fields without a tree. Pure.
#pragma once

#include <string_view>

#include "inference/usage.hpp"

namespace corral::bindings::openai {

// Leaves `usage` as it is when the document has none or is not JSON.
void scan_usage(std::string_view document, inference::Usage& usage);

}  // namespace corral::bindings::openai
