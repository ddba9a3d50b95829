#include "api/admin/replies.hpp"

#include <boost/json.hpp>

#include "api/errors.hpp"
#include "base/json.hpp"

namespace corral::api::admin {

namespace bj = boost::json;

net::HttpReply json_reply(const bj::value& value, int status) {
  net::HttpReply reply;
  reply.status = status;
  reply.body = json::serialize(value);
  return reply;
}

net::HttpReply refusal(const Error& error) {
  return problem(error, error.code == ErrorCode::invalid_argument ? 422 : 0);
}

std::string author_of(const net::HttpRequest& request) { return request.peer; }

bj::value text_or_null(std::string_view text) {
  return text.empty() ? bj::value(nullptr) : bj::value(text);
}

bj::value count_or_null(std::optional<std::uint64_t> count) {
  return count ? bj::value(*count) : bj::value(nullptr);
}

}  // namespace corral::api::admin
