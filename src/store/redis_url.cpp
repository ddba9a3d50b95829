#include "store/redis_url.hpp"

#include <fmt/core.h>

#include "base/percent.hpp"
#include "base/text.hpp"

namespace corral::store {
namespace {

constexpr int kMostDatabases = 1'000'000;

Error bad_redis_url(std::string_view what) {
  return fail(ErrorCode::invalid_argument, fmt::format("the Redis URL {}", what))
      .hint("write redis://user:pw@host:port/0, rediss://host, or unix:/path/to.sock")
      .field("shared.url");
}

Result<std::string> decode_redis(std::string_view text, std::string_view part) {
  auto out = percent_decode(text);
  if (!out)
    return bad_redis_url(fmt::format("has a '%' without two hexadecimal digits in its {}", part));
  if (out->contains('\0')) return bad_redis_url(fmt::format("holds a NUL in its {}", part));
  return std::move(*out);
}

Result<void> set_database(RedisUrl& url, std::string_view text) {
  if (text.empty()) return {};
  auto number = parse_int(text);
  if (!number || *number < 0 || *number > kMostDatabases) {
    return bad_redis_url("names a database that is no number");
  }
  url.database = static_cast<int>(*number);
  return {};
}

Result<void> set_option(RedisUrl& url, std::string_view key, std::string_view text) {
  if (key == "db") return set_database(url, text);
  if (key == "password" && !url.socket_path.empty()) {
    CORRAL_TRY(url.password, decode_redis(text, "password"));
    return {};
  }
  if (key == "ca" && url.tls) {
    CORRAL_TRY(url.ca_file, decode_redis(text, "ca"));
    return {};
  }
  // Not repeated: a misplaced password must not come back in the message.
  return bad_redis_url("has an unknown option")
      .hint("known: db; password with unix:; ca with rediss:");
}

Result<void> parse_options(RedisUrl& url, std::string_view query) {
  if (query.empty()) return {};
  for (auto option : split(query, '&')) {
    auto equals = option.find('=');
    auto value = equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
    CORRAL_CHECK(set_option(url, option.substr(0, equals), value));
  }
  return {};
}

Result<void> set_login(RedisUrl& url, std::string_view login) {
  auto colon = login.find(':');
  CORRAL_TRY(url.user, decode_redis(login.substr(0, colon), "user"));
  if (colon != std::string_view::npos) {
    CORRAL_TRY(url.password, decode_redis(login.substr(colon + 1), "password"));
  }
  if (url.password.empty()) return bad_redis_url("names a user without a password");
  return {};
}

Result<void> set_port(RedisUrl& url, std::string_view text) {
  auto number = parse_int(text);
  if (!number || *number < 1 || *number > 65535)
    return bad_redis_url("has a port that is no number to 65535");
  url.port = static_cast<std::uint16_t>(*number);
  return {};
}

Result<void> set_address(RedisUrl& url, std::string_view address) {
  std::string_view host = address, rest;
  if (address.starts_with('[')) {
    auto end = address.find(']');
    if (end == std::string_view::npos) return bad_redis_url("lacks the ']' of its host");
    host = address.substr(1, end - 1);
    rest = address.substr(end + 1);
    if (!rest.empty() && !rest.starts_with(':'))
      return bad_redis_url("has rubbish behind its host");
  } else if (auto colon = address.find(':'); colon != std::string_view::npos) {
    host = address.substr(0, colon);
    rest = address.substr(colon);
  }
  CORRAL_TRY(url.host, decode_redis(host, "host"));
  if (url.host.empty()) return bad_redis_url("names no host");
  if (!rest.empty()) return set_port(url, rest.substr(1));
  return {};
}

}  // namespace

Result<RedisUrl> RedisUrl::parse(std::string_view text) {
  RedisUrl url;
  auto question = text.find('?');
  auto query = question == std::string_view::npos ? std::string_view() : text.substr(question + 1);
  auto rest = text.substr(0, question);
  if (rest.starts_with("unix:")) {
    rest.remove_prefix(5);
    if (rest.starts_with("//")) rest.remove_prefix(2);
    CORRAL_TRY(url.socket_path, decode_redis(rest, "path"));
    if (!url.socket_path.starts_with('/'))
      return bad_redis_url("names no absolute path of a socket");
    CORRAL_CHECK(parse_options(url, query));
    return url;
  }
  url.tls = rest.starts_with("rediss://");
  if (!url.tls && !rest.starts_with("redis://")) return bad_redis_url("has an unknown scheme");
  rest.remove_prefix(url.tls ? 9 : 8);
  auto at = rest.rfind('@');
  if (at != std::string_view::npos) {
    CORRAL_CHECK(set_login(url, rest.substr(0, at)));
    rest.remove_prefix(at + 1);
  }
  auto slash = rest.find('/');
  if (slash != std::string_view::npos) {
    CORRAL_CHECK(set_database(url, rest.substr(slash + 1)));
  }
  CORRAL_CHECK(set_address(url, rest.substr(0, slash)));
  CORRAL_CHECK(parse_options(url, query));
  return url;
}

std::string RedisUrl::display() const {
  if (!socket_path.empty()) return "unix:" + socket_path;
  bool v6 = host.contains(':');
  return fmt::format("{}://{}{}{}:{}/{}", tls ? "rediss" : "redis", v6 ? "[" : "", host,
                     v6 ? "]" : "", port, database);
}

}  // namespace corral::store
