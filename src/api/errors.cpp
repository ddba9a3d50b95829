#include "api/errors.hpp"

#include <fmt/core.h>
#include <boost/json.hpp>

#include "base/json.hpp"

namespace corral::api {
namespace {

struct OpenAiKind {
  std::string_view type;
  std::string_view code;  // empty: null
};

OpenAiKind openai_kind(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return {"invalid_request_error", ""};
    case ErrorCode::unauthenticated: return {"authentication_error", "invalid_api_key"};
    case ErrorCode::forbidden: return {"permission_error", "forbidden"};
    case ErrorCode::not_found: return {"invalid_request_error", "not_found"};
    case ErrorCode::conflict: return {"invalid_request_error", "conflict"};
    case ErrorCode::too_large: return {"invalid_request_error", "request_too_large"};
    case ErrorCode::rate_limited: return {"rate_limit_error", "rate_limit_exceeded"};
    case ErrorCode::cancelled: return {"invalid_request_error", "cancelled"};
    case ErrorCode::unsupported: return {"invalid_request_error", "unsupported"};
    case ErrorCode::upstream: return {"server_error", "upstream_error"};
    case ErrorCode::unavailable: return {"server_error", "unavailable"};
    case ErrorCode::timeout: return {"server_error", "timeout"};
    case ErrorCode::internal:
    case ErrorCode::io: return {"server_error", "internal_error"};
  }
  return {"server_error", "internal_error"};
}

void add_retry_after(const Error& error, net::HttpReply& reply) {
  if (error.retry_after) {
    reply.headers.set("retry-after", fmt::format("{}", error.retry_after->count()));
  }
}

std::string_view title_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "Bad request";
    case ErrorCode::unauthenticated: return "Login needed";
    case ErrorCode::forbidden: return "Not allowed";
    case ErrorCode::not_found: return "Not found";
    case ErrorCode::conflict: return "Conflict";
    case ErrorCode::too_large: return "Too large";
    case ErrorCode::rate_limited: return "Too many requests";
    case ErrorCode::cancelled: return "Cancelled";
    case ErrorCode::unsupported: return "Not supported";
    case ErrorCode::upstream: return "Backend failed";
    case ErrorCode::unavailable: return "Not available now";
    case ErrorCode::timeout: return "Timed out";
    case ErrorCode::internal:
    case ErrorCode::io: return "Internal error";
  }
  return "Error";
}

}  // namespace

std::string openai_error_body(const Error& error) {
  OpenAiKind kind = openai_kind(error.code);
  std::string_view code = kind.code;
  if (error.code == ErrorCode::not_found && error.param == "model") code = "model_not_found";
  std::string out = R"({"error":{"message":)";
  json::append_quoted(out, error.describe());
  out += R"(,"type":)";
  json::append_quoted(out, kind.type);
  out += R"(,"param":)";
  if (error.param.empty())
    out += "null";
  else
    json::append_quoted(out, error.param);
  out += R"(,"code":)";
  if (code.empty())
    out += "null";
  else
    json::append_quoted(out, code);
  out += "}}";
  return out;
}

namespace {

// A backend's own status is kept where it blames the request, as clients act upon it.
int openai_status(const Error& error) {
  int status = http_status(error.code);
  bool blames_request = status >= 400 && status < 500;
  bool same = error.peer_status >= 400 && error.peer_status < 500;
  return blames_request && same ? error.peer_status : status;
}

}  // namespace

net::HttpReply openai_error(const Error& error) {
  net::HttpReply reply;
  reply.status = openai_status(error);
  reply.body = openai_error_body(error);
  add_retry_after(error, reply);
  return reply;
}

net::HttpReply problem(const Error& error, int status) {
  if (status == 0) status = http_status(error.code);
  boost::json::object body{{"type", "about:blank"},
                           {"title", std::string(title_of(error.code))},
                           {"status", status},
                           {"detail", error.message},
                           {"code", std::string(to_string(error.code))}};
  if (!error.hint_text.empty()) body["hint"] = error.hint_text;
  if (!error.param.empty()) body["param"] = error.param;
  net::HttpReply reply;
  reply.status = status;
  reply.content_type = "application/problem+json";
  reply.body = json::serialize(body);
  add_retry_after(error, reply);
  return reply;
}

net::HttpReply error_reply(std::string_view surface, const Error& error, int status) {
  if (surface != "openai") return problem(error, status);
  net::HttpReply reply = openai_error(error);
  if (status != 0) reply.status = status;
  return reply;
}

}  // namespace corral::api
