// Every surface's own shape of an error. The status follows the code (http_status).
#pragma once

#include <string>

#include "base/error.hpp"
#include "net/http_server.hpp"

namespace corral::api {

// OpenAI: {"error":{"message","type","param","code"}}
net::HttpReply openai_error(const Error& error);
std::string openai_error_body(const Error& error);

// RFC 9457: application/problem+json with type, title, status, detail, and hint where there is one.
// `status` is another than the code's where it is not 0.
net::HttpReply problem(const Error& error, int status = 0);

// The shape that fits `surface`.
net::HttpReply error_reply(std::string_view surface, const Error& error, int status = 0);

}  // namespace corral::api
