// What the answers of the administration interface share.
// Thread rule: pure functions.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "net/http_server.hpp"

namespace corral::api::admin {

/** The most bytes that a request's body may have where nothing needs more. */
inline constexpr std::uint64_t kLargestBody = 64u << 10;

net::HttpReply json_reply(const boost::json::value& value, int status = 200);

/** The problem document of an error; a value that is no good is 422: its JSON was right. */
net::HttpReply refusal(const Error& error);

/** Who a change is laid to. */
std::string author_of(const net::HttpRequest& request);

boost::json::value text_or_null(std::string_view text);
boost::json::value count_or_null(std::optional<std::uint64_t> count);

}  // namespace corral::api::admin
