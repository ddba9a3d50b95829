#include "api/caller.hpp"

#include <fmt/core.h>
#include <algorithm>

#include "api/gate.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "gateway/core/text_hash.hpp"

namespace corral::api {
namespace {

std::string_view key_or_address(const net::HttpRequest& request) {
  // However it is spelled: one key has one share.
  if (auto key = presented_key(request); !key.empty()) return key;
  std::string_view peer = request.peer;
  return peer.substr(0, peer.rfind(':'));
}

}  // namespace

Result<CallerOf> caller_of(const net::HttpRequest& request, const CallerRules& rules) {
  CallerOf result;
  auto& caller = result.caller;
  caller.principal = gateway::hash_of(key_or_address(request));
  if (auto session = request.headers.get("x-corral-session")) {
    caller.session = gateway::hash_of(*session);
  }
  caller.priority = std::min(rules.default_priority, rules.max_priority);
  auto asked = request.headers.get("x-corral-priority");
  if (!asked) return result;
  auto priority = config::parse_priority(*asked);
  if (!priority) {
    return fail(ErrorCode::invalid_argument, "the header x-corral-priority is not understood")
        .hint("say low, normal or high")
        .field("x-corral-priority");
  }
  caller.priority = std::min(*priority, rules.max_priority);
  if (caller.priority != *priority) {
    result.priority_note = fmt::format("{}; asked for {}", config::to_string(caller.priority),
                                       config::to_string(*priority));
  }
  return result;
}

}  // namespace corral::api
