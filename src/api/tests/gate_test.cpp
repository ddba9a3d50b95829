// Who may talk to us, and the shapes of a refusal.
#include "api/gate.hpp"

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "api/errors.hpp"
#include "base/json.hpp"

namespace corral::api::gate_test {
namespace {

net::HttpRequest with(std::initializer_list<std::pair<std::string_view, std::string_view>> headers,
                      std::string method = "GET") {
  net::HttpRequest request;
  request.method = std::move(method);
  for (auto [name, value] : headers) request.headers.add(name, value);
  return request;
}

bool host_ok(const Gate& gate, std::string_view host) {
  auto checked = gate.check_host(with({{"Host", host}}));
  if (!checked) {
    EXPECT_EQ(checked.error().code, ErrorCode::forbidden);
    EXPECT_TRUE(checked.error().hint_text.contains("allowed_hosts"));
  }
  return checked.has_value();
}

TEST(GateHost, AddressesAndLocalNamesAreOurs) {
  Gate gate({});
  for (auto host : {"127.0.0.1", "127.0.0.1:8585", "192.168.1.5:80", "[::1]", "[::1]:8585",
                    "[fe80::1]:80", "[::ffff:10.0.0.1]", "localhost", "LocalHost:8585",
                    "corral.localhost", "a.b.LOCALHOST:1"}) {
    EXPECT_TRUE(host_ok(gate, host)) << host;
  }
  EXPECT_TRUE(gate.check_host(with({})));
}

TEST(GateHost, NamesThatMayBeReboundAreNot) {
  Gate gate({});
  for (auto host : {"evil.example", "evil.example:8585", "localhost.evil.example", "notlocalhost",
                    "127.0.0.1.evil.example", "127.0.0.1.nip.io:80", "localhost.", ".localhost.x",
                    "[evil.example]", "[localhost.evil]:80", "", ":80", "[", "[]", "1.2.3.4x",
                    "evil.example:127.0.0.1", "xn--localhost"}) {
    EXPECT_FALSE(host_ok(gate, host)) << host;
  }
}

TEST(GateHost, ListedNamesAreOurs) {
  config::ServerSettings settings;
  settings.allowed_hosts = {"ai.example.org", "*.lan"};
  Gate gate(settings);
  EXPECT_TRUE(host_ok(gate, "AI.example.org:443"));
  EXPECT_TRUE(host_ok(gate, "box.LAN"));
  EXPECT_FALSE(host_ok(gate, "example.org"));
  EXPECT_FALSE(host_ok(gate, "lan"));
  EXPECT_FALSE(host_ok(gate, "x.lan.evil.example"));
  settings.allowed_hosts = {"*"};
  EXPECT_TRUE(host_ok(Gate(settings), "anything.example"));
}

TEST(GateKey, WithoutAKeyAllMayEnter) {
  Gate gate({});
  EXPECT_FALSE(gate.api_key_required());
  EXPECT_TRUE(gate.check_key(with({})));
  EXPECT_TRUE(gate.check_key(with({{"Authorization", "Bearer whatever"}})));
}

TEST(GateKey, IsTakenFromEitherHeader) {
  config::ServerSettings settings;
  settings.api_key.value = "s3cret";
  Gate gate(settings);
  EXPECT_TRUE(gate.api_key_required());
  EXPECT_TRUE(gate.check_key(with({{"Authorization", "Bearer s3cret"}})));
  EXPECT_TRUE(gate.check_key(with({{"authorization", "bEARER  s3cret "}})));
  EXPECT_TRUE(gate.check_key(with({{"X-Api-Key", "s3cret"}})));
  EXPECT_TRUE(gate.check_key(with({{"X-Api-Key", "s3cret"}, {"Authorization", "Basic Zm9v"}})));
}

TEST(GateKey, RefusesEverythingElse) {
  config::ServerSettings settings;
  settings.api_key.value = "s3cret";
  Gate gate(settings);
  const std::pair<std::string_view, std::string_view> wrong[] = {
      {"Authorization", "Bearer s3cre"},
      {"Authorization", "Bearer s3crett"},
      {"Authorization", "Bearer S3CRET"},
      {"Authorization", "Bearer "},
      {"Authorization", "Bearer"},
      {"Authorization", "s3cret"},
      {"Authorization", "Basic s3cret"},
      {"Authorization", "Bearers3cret"},
      {"X-Api-Key", ""},
      {"X-Api-Key", "wrong"},
      {"X-Api-Key", "Bearer s3cret"},
      {"Cookie", "s3cret"}};
  for (auto [name, value] : wrong) {
    auto checked = gate.check_key(with({{name, value}}));
    ASSERT_FALSE(checked) << name << ": " << value;
    EXPECT_EQ(checked.error().code, ErrorCode::unauthenticated);
    EXPECT_FALSE(checked.error().describe().contains("s3cret"));  // ours is not told
  }
  EXPECT_TRUE(gate.check_key(with({})).error().message.contains("needed"));
  EXPECT_TRUE(gate.check_key(with({{"X-Api-Key", "x"}})).error().message.contains("wrong"));
}

net::Headers cors(const Gate& gate, std::string_view origin, std::string method = "GET") {
  net::Headers headers;
  gate.add_cors(with({{"Origin", origin}, {"Access-Control-Request-Headers", "x-mine"}}, method),
                headers);
  return headers;
}

TEST(GateCors, LocalAndListedOriginsMayRead) {
  config::ServerSettings settings;
  settings.cors_origins = {"https://app.example", "vscode-webview://*"};
  Gate gate(settings);
  for (auto origin : {"http://localhost:5173", "http://127.0.0.1", "http://[::1]:8080",
                      "https://app.localhost", "https://app.example", "vscode-webview://abc"}) {
    auto headers = cors(gate, origin);
    EXPECT_EQ(headers.get("access-control-allow-origin"), origin);
    EXPECT_EQ(headers.get("vary"), "Origin");
    EXPECT_FALSE(headers.get("access-control-allow-methods"));
    EXPECT_FALSE(headers.get("access-control-allow-credentials"));
  }
  for (auto origin : {"https://evil.example", "null", "", "http://localhost.evil.example",
                      "https://app.example.evil", "http://app.example", "localhost",
                      "http://127.0.0.1.evil.example", "http://127.0.0.2"}) {
    auto headers = cors(gate, origin);
    EXPECT_FALSE(headers.get("access-control-allow-origin")) << origin;
    EXPECT_EQ(headers.get("vary"), "Origin");
  }
  net::Headers none;
  gate.add_cors(with({}), none);
  EXPECT_EQ(none.size(), 0u);
  settings.cors_origins = {"*"};
  EXPECT_TRUE(Gate(settings).origin_allowed("https://evil.example"));
}

TEST(GateCors, PreflightNamesMethodsAndHeaders) {
  Gate gate({});
  auto headers = cors(gate, "http://localhost", "OPTIONS");
  EXPECT_TRUE(headers.get("access-control-allow-methods")->contains("POST"));
  EXPECT_EQ(headers.get("access-control-allow-headers"), "x-mine");
  EXPECT_TRUE(headers.get("access-control-max-age"));
  net::Headers plain;
  gate.add_cors(with({{"Origin", "http://localhost"}}, "OPTIONS"), plain);
  EXPECT_TRUE(plain.get("access-control-allow-headers")->contains("authorization"));
  EXPECT_FALSE(cors(gate, "https://evil.example", "OPTIONS").get("access-control-allow-methods"));
}

boost::json::object parsed(const net::HttpReply& reply) {
  auto value = json::parse(reply.body);
  EXPECT_TRUE(value) << reply.body;
  return value ? value->as_object() : boost::json::object{};
}

std::string_view text(const boost::json::value& value) {
  return value.is_string() ? std::string_view(value.get_string().data(), value.get_string().size())
                           : "(no text)";
}

constexpr std::pair<ErrorCode, std::string_view> kTypes[] = {
    {ErrorCode::invalid_argument, "invalid_request_error"},
    {ErrorCode::unauthenticated, "authentication_error"},
    {ErrorCode::forbidden, "permission_error"},
    {ErrorCode::not_found, "invalid_request_error"},
    {ErrorCode::conflict, "invalid_request_error"},
    {ErrorCode::too_large, "invalid_request_error"},
    {ErrorCode::rate_limited, "rate_limit_error"},
    {ErrorCode::cancelled, "invalid_request_error"},
    {ErrorCode::internal, "server_error"},
    {ErrorCode::unsupported, "invalid_request_error"},
    {ErrorCode::upstream, "server_error"},
    {ErrorCode::unavailable, "server_error"},
    {ErrorCode::timeout, "server_error"},
    {ErrorCode::io, "server_error"}};

TEST(Errors, OpenAiShape) {
  for (auto [code, type] : kTypes) {
    auto reply = openai_error(fail(code, "a \"quoted\"\n\x01 text").hint("do this").field("top_p"));
    EXPECT_EQ(reply.status, http_status(code));
    EXPECT_EQ(reply.content_type, "application/json");
    auto error = parsed(reply)["error"].as_object();
    EXPECT_EQ(text(error["type"]), type);
    EXPECT_EQ(error["param"], "top_p");
    EXPECT_EQ(error["message"], "a \"quoted\"\n\x01 text (do this)");
    EXPECT_EQ(error.size(), 4u);
    EXPECT_EQ(error["code"].is_null(), code == ErrorCode::invalid_argument);
  }
  auto bare = parsed(openai_error(fail(ErrorCode::invalid_argument, "x")))["error"].as_object();
  EXPECT_TRUE(bare["param"].is_null());
  auto model = parsed(openai_error(fail(ErrorCode::not_found, "x").field("model")));
  EXPECT_EQ(model["error"].at("code"), "model_not_found");
  EXPECT_EQ(parsed(openai_error(fail(ErrorCode::unauthenticated, "x")))["error"].at("code"),
            "invalid_api_key");
}

TEST(Errors, ProblemShape) {
  for (auto [code, type] : kTypes) {
    auto reply = problem(fail(code, "what \xff").because("secret cause"));
    EXPECT_EQ(reply.status, http_status(code));
    EXPECT_EQ(reply.content_type, "application/problem+json");
    auto body = parsed(reply);
    EXPECT_EQ(body["status"], http_status(code));
    EXPECT_EQ(text(body["code"]), to_string(code));
    EXPECT_EQ(body["detail"], "what \xEF\xBF\xBD");
    EXPECT_FALSE(body["title"].as_string().empty());
    EXPECT_FALSE(body.contains("hint"));
    EXPECT_FALSE(body.contains("param"));
    EXPECT_FALSE(reply.body.contains("secret"));
  }
  auto full = parsed(problem(fail(ErrorCode::conflict, "x").hint("h").field("p")));
  EXPECT_EQ(full["hint"], "h");
  EXPECT_EQ(full["param"], "p");
  auto other = problem(fail(ErrorCode::invalid_argument, "x"), 405);
  EXPECT_EQ(other.status, 405);
  EXPECT_EQ(parsed(other)["status"], 405);
}

TEST(Errors, RetryAfterAndTheShapeOfASurface) {
  Error error = fail(ErrorCode::unavailable, "x").after(std::chrono::seconds(7));
  EXPECT_EQ(openai_error(error).headers.get("retry-after"), "7");
  EXPECT_EQ(problem(error).headers.get("retry-after"), "7");
  EXPECT_FALSE(openai_error(fail(ErrorCode::unavailable, "x")).headers.get("retry-after"));
  EXPECT_EQ(error_reply("openai", error).content_type, "application/json");
  EXPECT_EQ(error_reply("admin", error).content_type, "application/problem+json");
  EXPECT_EQ(error_reply("ops", error).content_type, "application/problem+json");
  EXPECT_EQ(error_reply("openai", error, 405).status, 405);
}

}  // namespace
}  // namespace corral::api::gate_test
