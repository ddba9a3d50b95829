// Whether a request may be answered from the cache, and under which key. Pure.
//
// The route decides (its `cache`), the client may ask for it (x-corral-cache: on) or refuse it
// (x-corral-cache: off, Cache-Control: no-store). Answers to requests without randomness
// (temperature 0, embeddings) need no asking where the route says temperature0. With
// Cache-Control: no-cache (RFC 9111 section 5.2.1.4) the answer is made anew, and then kept.
// All principals of a route share what is kept.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/settings.hpp"
#include "gateway/active_route.hpp"
#include "gateway/answer_key.hpp"
#include "inference/request.hpp"
#include "net/http_server.hpp"

namespace corral::api::openai {

struct CachePlan {
  gateway::AnswerKey key{};     // of the answer
  gateway::AnswerKey flight{};  // of its making: also by priority, so that nobody waits behind less
  std::chrono::milliseconds ttl{0};
  bool fresh = false;   // made anew, whatever is kept
  bool stream = false;  // the form of the answer
  std::string route;
};

// Nothing: the request goes its way without the cache. `request.body` passed peek().
std::optional<CachePlan> plan_cache(const net::HttpRequest& http, const inference::Request& request,
                                    const gateway::ActiveRoute& route, config::Priority priority);

// One text for all JSON objects that mean the same: keys sorted, numbers alike (1.0 is 1), no white
// space, without the members named (at the top). Nothing for what is not an object or has a key
// twice, at any depth: parsers differ on which one counts, so that one client could choose the
// answer that another gets.
std::optional<std::string> canonical_body(std::string_view body,
                                          std::span<const std::string_view> without);

}  // namespace corral::api::openai
