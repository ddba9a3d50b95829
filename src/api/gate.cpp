#include "api/gate.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <cctype>

#include "base/text.hpp"

namespace corral::api {
namespace {

// "host:port", "[::1]:port" or "host" -> the host without brackets.
std::string_view host_part(std::string_view authority) {
  if (authority.starts_with('[')) {
    auto close = authority.find(']');
    return close == std::string_view::npos ? authority : authority.substr(1, close - 1);
  }
  return authority.substr(0, authority.rfind(':'));
}

bool is_ip_address(std::string_view host) {
  if (host.find(':') != std::string_view::npos) {
    return std::ranges::all_of(host, [](char c) {
      return std::isxdigit(static_cast<unsigned char>(c)) != 0 || c == ':' || c == '.';
    });
  }
  return !host.empty() && std::ranges::all_of(host, [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.';
  });
}

bool is_local_name(std::string_view host) {
  return iequals(host, "localhost") ||
         (host.size() > 10 && iequals(host.substr(host.size() - 10), ".localhost"));
}

bool listed(const std::vector<std::string>& list, std::string_view name) {
  return std::ranges::any_of(list, [&](const std::string& entry) {
    return wildcard_match(to_lower(entry), to_lower(name));
  });
}

// "https://example.org:1234" -> "example.org".
std::string_view origin_host(std::string_view origin) {
  auto at = origin.find("://");
  return at == std::string_view::npos ? std::string_view{} : host_part(origin.substr(at + 3));
}

}  // namespace

Result<void> Gate::check_host(const net::HttpRequest& request) const {
  auto host = request.headers.get("host");
  if (!host) return {};  // HTTP/1.0; browsers always send one
  auto name = host_part(*host);
  if (is_ip_address(name) || is_local_name(name) || listed(settings_.allowed_hosts, name))
    return {};
  return fail(ErrorCode::forbidden, fmt::format("the host name '{}' is not served here", name))
      .hint("add it to server.allowed_hosts");
}

std::string_view presented_key(const net::HttpRequest& request) {
  std::string_view given;
  if (auto key = request.headers.get("x-api-key")) given = *key;
  if (auto bearer = request.headers.get("authorization")) {
    constexpr std::string_view kScheme = "bearer ";
    if (bearer->size() > kScheme.size() && iequals(bearer->substr(0, kScheme.size()), kScheme)) {
      given = trim(bearer->substr(kScheme.size()));
    }
  }
  return given;
}

Result<void> Gate::check_key(const net::HttpRequest& request) const {
  if (settings_.api_key.empty()) return {};
  std::string_view given = presented_key(request);
  if (constant_time_equal(given, settings_.api_key.value)) return {};
  return fail(ErrorCode::unauthenticated, given.empty() ? "an API key is needed" : "wrong API key")
      .hint("send it as 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'");
}

bool Gate::origin_allowed(std::string_view origin) const {
  auto host = origin_host(origin);
  if (host.empty()) return false;
  return is_local_name(host) || host == "127.0.0.1" || host == "::1" ||
         listed(settings_.cors_origins, origin);
}

void Gate::add_cors(const net::HttpRequest& request, net::Headers& headers) const {
  auto origin = request.headers.get("origin");
  if (!origin) return;
  headers.set("vary", "Origin");
  if (!origin_allowed(*origin)) return;
  headers.set("access-control-allow-origin", *origin);
  headers.set("access-control-expose-headers", "x-request-id, server-timing, retry-after");
  if (request.method != "OPTIONS") return;
  headers.set("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS");
  auto wanted = request.headers.get("access-control-request-headers");
  headers.set("access-control-allow-headers",
              wanted ? *wanted : std::string_view("authorization, content-type, x-api-key"));
  headers.set("access-control-max-age", "600");
}

}  // namespace corral::api
