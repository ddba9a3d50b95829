// What a backend's refusal means: its status and body -> Error. Pure.
#pragma once

#include <string_view>

#include "base/error.hpp"

namespace corral::bindings::openai {

// `payload` is a body such as {"error":{"message","type","code",...}}, {"error":"..."},
// {"detail":"..."} or anything else. 4xx keep their meaning; 401 and 403 become `upstream`, since
// the credentials are ours and not the client's. Texts are cut to a sensible length.
Error error_from_payload(std::string_view payload, int status);

}  // namespace corral::bindings::openai
