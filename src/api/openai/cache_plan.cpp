#include "api/openai/cache_plan.hpp"

#include <fmt/core.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/json.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "sys/random.hpp"

namespace corral::api::openai {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

constexpr std::size_t kLargestBody = 4u << 20;

// --- canonical JSON ------------------------------------------------------------------------------

bool append_value(std::string& out, const element& value);

void append_number(std::string& out, double number) {
  if (number == std::floor(number) && std::abs(number) < 0x1p63) {
    out += fmt::format("{}", static_cast<std::int64_t>(number));
    return;
  }
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number);
  out.append(buffer, end);
}

bool append_object(std::string& out, const object& value,
                   std::span<const std::string_view> without) {
  std::vector<simdjson::dom::key_value_pair> members;
  members.reserve(value.size());
  for (auto member : value) members.push_back(member);
  std::ranges::sort(members, {}, [](const auto& member) { return member.key; });
  auto same = [](const auto& a, const auto& b) { return a.key == b.key; };
  if (std::ranges::adjacent_find(members, same) != members.end()) return false;
  out += '{';
  for (const auto& member : members) {
    if (std::ranges::find(without, member.key) != without.end()) continue;
    if (out.back() != '{') out += ',';
    json::append_quoted(out, member.key);
    out += ':';
    if (!append_value(out, member.value)) return false;
  }
  out += '}';
  return true;
}

bool append_array(std::string& out, const simdjson::dom::array& value) {
  out += '[';
  for (element item : value) {
    if (out.back() != '[') out += ',';
    if (!append_value(out, item)) return false;
  }
  out += ']';
  return true;
}

bool append_value(std::string& out, const element& value) {
  switch (value.type()) {
    case element_type::NULL_VALUE: out += "null"; return true;
    case element_type::BOOL: out += bool(value) ? "true" : "false"; return true;
    case element_type::INT64: out += fmt::format("{}", std::int64_t(value)); return true;
    case element_type::UINT64: out += fmt::format("{}", std::uint64_t(value)); return true;
    case element_type::DOUBLE: append_number(out, double(value)); return true;
    case element_type::STRING: json::append_quoted(out, std::string_view(value)); return true;
    case element_type::ARRAY: return append_array(out, simdjson::dom::array(value));
    case element_type::OBJECT: return append_object(out, object(value), {});
  }
  return false;
}

class Parsed {
 public:
  explicit Parsed(std::string_view body) : padded_(body) {
    if (parser_.parse(padded_).get(root_) != simdjson::SUCCESS) return;
    good_ = root_.get(object_) == simdjson::SUCCESS;
  }
  explicit operator bool() const { return good_; }
  const object& top() const { return object_; }
  std::optional<element> find(std::string_view name) const {
    element value;
    if (object_.at_key(name).get(value) != simdjson::SUCCESS) return std::nullopt;
    return value;
  }

 private:
  simdjson::padded_string padded_;
  simdjson::dom::parser parser_;
  element root_;
  object object_;
  bool good_ = false;
};

std::optional<std::string> canonical(const Parsed& body,
                                     std::span<const std::string_view> without) {
  std::string out;
  if (!body || !append_object(out, body.top(), without)) return std::nullopt;
  return out;
}

// --- what the route and the client want ----------------------------------------------------------

bool is_zero(const element& value) {
  double number = 1;
  return value.get(number) == simdjson::SUCCESS && number == 0;
}

// What a route puts into requests that do not set it.
bool zero_by_default(const gateway::ActiveRoute& route, std::string_view name) {
  for (const auto& each : route.route->parameters) {
    if (each.name != name) continue;
    Parsed value("{\"v\":" + each.json + "}");
    auto found = value ? value.find("v") : std::nullopt;
    return found && is_zero(*found);
  }
  return false;
}

// The same request always gets the same answer.
bool deterministic(inference::Operation operation, const Parsed& body,
                   const gateway::ActiveRoute& route) {
  if (operation == inference::Operation::embedding) return true;
  auto choices = body.find("n");
  std::int64_t n = 1;
  if (choices && !choices->is_null() && (choices->get(n) != simdjson::SUCCESS || n != 1)) {
    return false;
  }
  auto temperature = body.find("temperature");
  return temperature ? is_zero(*temperature) : zero_by_default(route, "temperature");
}

bool says(const net::HttpRequest& http, std::string_view name, std::string_view wanted) {
  auto value = http.headers.get(name);
  return value && iequals(trim(*value), wanted);
}

// What else than the request decides about the answers of a route.
std::string nature_of(const gateway::ActiveRoute& route) {
  std::string text = route.name();
  for (const auto& each : route.route->parameters) text += "\n=" + each.name + "=" + each.json;
  for (const auto& group : route.route->groups) {
    for (const auto& target : group.targets) text += "\n>" + target.endpoint + ">" + target.model;
  }
  return text;
}

}  // namespace

std::optional<std::string> canonical_body(std::string_view body,
                                          std::span<const std::string_view> without) {
  return canonical(Parsed(body), without);
}

std::optional<CachePlan> plan_cache(const net::HttpRequest& http, const inference::Request& request,
                                    const gateway::ActiveRoute& route, config::Priority priority) {
  auto policy = route.settings().cache;
  if (policy == config::CachePolicy::off || request.body.size() > kLargestBody) return std::nullopt;
  if (says(http, "x-corral-cache", "off") || http.headers.has_token("cache-control", "no-store")) {
    return std::nullopt;
  }
  bool asked = says(http, "x-corral-cache", "on");
  if (!asked && policy == config::CachePolicy::opt_in) return std::nullopt;
  Parsed body(request.body);
  if (!body || (!asked && !deterministic(request.operation, body, route))) return std::nullopt;

  CachePlan plan;
  plan.stream = request.stream && request.operation != inference::Operation::embedding;
  // Who asks and in which form is not part of the question; what a stream is to hold is.
  static constexpr std::string_view kNever[] = {"stream", "user", "stream_options"};
  auto text = canonical(body, std::span(kNever).first(plan.stream ? 2 : 3));
  if (!text) return std::nullopt;
  plan.key = gateway::answer_key({"openai", inference::to_string(request.operation),
                                  plan.stream ? "stream" : "document", nature_of(route), *text});
  plan.fresh = http.headers.has_token("cache-control", "no-cache") ||
               http.headers.has_token("cache-control", "max-age=0");
  plan.flight = gateway::answer_key({gateway::text_of(plan.key), config::to_string(priority),
                                     plan.fresh ? sys::random_hex(16) : std::string()});
  plan.ttl = route.settings().cache_ttl;
  plan.route = route.name();
  return plan;
}

}  // namespace corral::api::openai
