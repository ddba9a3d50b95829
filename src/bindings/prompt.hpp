// The part of a request that a backend's prompt cache goes by, in whatever dialect it is written.
// Thread rule: pure.
#pragma once

#include <string_view>

#include "inference/request.hpp"

namespace corral::bindings {

// The messages, prompt or input as they stand in the body; the whole body if there is none. Part of
// `request.body`.
std::string_view prompt_of(const inference::Request& request);

}  // namespace corral::bindings
