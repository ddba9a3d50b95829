#include "store/url.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/percent.hpp"
#include "base/text.hpp"

namespace corral::store {
namespace {

constexpr std::array<std::string_view, 9> kOptions = {
    "host",           "port",   "sslmode",          "sslrootcert",
    "sslcert",        "sslkey", "application_name", "target_session_attrs",
    "channel_binding"};

Error bad(std::string what) {
  return fail(ErrorCode::invalid_argument, std::move(what))
      .hint("write postgresql://user:pw@host:port/database")
      .field("store.url");
}

Result<std::string> decode(std::string_view text, std::string_view part) {
  auto out = percent_decode(text);
  if (!out) {
    return bad(fmt::format("the database URL's {} has a '%' without two hexadecimal digits", part));
  }
  if (out->contains('\0')) return bad(fmt::format("the database URL's {} holds a NUL", part));
  return std::move(*out);
}

Result<void> put(DatabaseUrl& url, const char* key, std::string_view text, std::string_view part) {
  if (text.empty()) return {};
  CORRAL_TRY(std::string value, decode(text, part));
  url.keywords[key] = std::move(value);
  return {};
}

Result<void> check_port(const DatabaseUrl& url) {
  auto port = url.keywords.find("port");
  if (port == url.keywords.end()) return {};
  auto number = parse_int(port->second);
  if (!number || *number < 1 || *number > 65535)
    return bad("the database URL's port is no number from 1 to 65535");
  return {};
}

Result<void> parse_authority(DatabaseUrl& url, std::string_view authority) {
  auto at = authority.rfind('@');
  if (at != std::string_view::npos) {
    std::string_view login = authority.substr(0, at);
    authority.remove_prefix(at + 1);
    auto colon = login.find(':');
    CORRAL_CHECK(put(url, "user", login.substr(0, colon), "user"));
    if (colon != std::string_view::npos)
      CORRAL_CHECK(put(url, "password", login.substr(colon + 1), "password"));
  }
  std::string_view host = authority, port;
  if (authority.starts_with('[')) {
    auto end = authority.find(']');
    if (end == std::string_view::npos) return bad("the database URL's host lacks its ']'");
    host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
    if (!port.empty() && port[0] != ':') return bad("the database URL's port is not separated");
    if (!port.empty()) port.remove_prefix(1);
  } else if (auto colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
  }
  CORRAL_CHECK(put(url, "host", host, "host"));
  return put(url, "port", port, "port");
}

Result<void> parse_options(DatabaseUrl& url, std::string_view query) {
  if (query.empty()) return {};
  for (std::string_view option : split(query, '&')) {
    auto equals = option.find('=');
    std::string_view key = option.substr(0, equals);
    auto known = std::ranges::find(kOptions, key);
    if (known == kOptions.end()) {
      // A password written as an option must not come back in the message.
      bool plain = !key.empty() && key.size() <= 32 && std::ranges::all_of(key, [](char c) {
        return (c >= 'a' && c <= 'z') || c == '_';
      });
      return bad(plain ? fmt::format("the database URL has the unknown option '{}'", key)
                       : std::string("the database URL has an unknown option"))
          .hint(
              "known: host, port, sslmode, sslrootcert, sslcert, sslkey, application_name, "
              "target_session_attrs, channel_binding");
    }
    std::string_view value =
        equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
    CORRAL_CHECK(put(url, std::string(*known).c_str(), value, *known));
  }
  return {};
}

Result<DatabaseUrl> parse_postgresql(std::string_view rest) {
  DatabaseUrl url{.dialect = Dialect::postgresql, .path = {}, .keywords = {}};
  auto question = rest.find('?');
  std::string_view query =
      question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
  rest = rest.substr(0, question);
  auto slash = rest.find('/');
  std::string_view name =
      slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  // What follows an unescaped '/' in a password would be taken for the database's name, and shown.
  if (name.find_first_of("@/:") != std::string_view::npos)
    return bad("the database URL has one of @ / : where only the database's name belongs")
        .hint("write such characters of a user or password as %40, %2F, %3A");
  CORRAL_CHECK(parse_authority(url, rest.substr(0, slash)));
  CORRAL_CHECK(put(url, "dbname", name, "database name"));
  CORRAL_CHECK(parse_options(url, query));
  CORRAL_CHECK(check_port(url));
  if (!url.keywords.contains("dbname")) return bad("the database URL names no database");
  return url;
}

}  // namespace

Result<DatabaseUrl> DatabaseUrl::parse(std::string_view text) {
  for (std::string_view scheme : {"postgresql://", "postgres://"})
    if (text.starts_with(scheme)) return parse_postgresql(text.substr(scheme.size()));

  if (auto scheme = text.find("://"); scheme != std::string_view::npos && scheme > 0)
    return fail(ErrorCode::invalid_argument, "the database URL has an unknown scheme")
        .hint("write sqlite:PATH or postgresql://user:pw@host/database")
        .field("store.url");
  if (text.starts_with("sqlite:")) text.remove_prefix(7);
  if (text.empty() || text == ":memory:" || text.contains('\0') || text.starts_with("file:"))
    return fail(ErrorCode::invalid_argument, "the database URL names no file")
        .hint("write sqlite:PATH, where PATH is a file in a folder that exists")
        .field("store.url");
  return DatabaseUrl{.dialect = Dialect::sqlite, .path = std::string(text), .keywords = {}};
}

std::string DatabaseUrl::display() const {
  if (dialect == Dialect::sqlite) return "sqlite:" + path;
  auto part = [&](const char* key) {
    auto found = keywords.find(key);
    return found == keywords.end() ? std::string() : found->second;
  };
  std::string out = "postgresql://";
  if (std::string user = part("user"); !user.empty()) out += user + "@";
  out += part("host");
  if (std::string port = part("port"); !port.empty()) out += ":" + port;
  return out + "/" + part("dbname");
}

}  // namespace corral::store
