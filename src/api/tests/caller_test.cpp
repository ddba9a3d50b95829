// Who asks: principals, sessions, and priorities held to what is allowed.
#include "api/caller.hpp"

#include <gtest/gtest.h>

namespace corral::api::caller_test {
namespace {

using config::Priority;

CallerOf caller(std::initializer_list<std::pair<std::string_view, std::string_view>> headers,
                const CallerRules& rules = {}, std::string peer = "10.0.0.1:4711") {
  net::HttpRequest request;
  request.peer = std::move(peer);
  for (auto [name, value] : headers) request.headers.add(name, value);
  auto result = caller_of(request, rules);
  EXPECT_TRUE(result);
  return result ? std::move(*result) : CallerOf{};
}

std::uint64_t principal(
    std::initializer_list<std::pair<std::string_view, std::string_view>> headers,
    std::string peer = "10.0.0.1:4711") {
  return caller(headers, {}, std::move(peer)).caller.principal;
}

TEST(CallerPrincipal, IsTheAddressWithoutItsPort) {
  EXPECT_EQ(principal({}), principal({}, "10.0.0.1:9"));
  EXPECT_NE(principal({}), principal({}, "10.0.0.2:4711"));
  EXPECT_EQ(principal({}, "[::1]:1"), principal({}, "[::1]:2"));
  EXPECT_NE(principal({}, "[::1]:1"), principal({}, "[::2]:1"));
  EXPECT_NE(principal({}), 0u);
}

TEST(CallerPrincipal, IsTheKeyHoweverItIsPresented) {
  auto key = principal({{"Authorization", "Bearer one"}});
  EXPECT_EQ(key, principal({{"Authorization", "Bearer one"}}, "10.0.0.2:1"));
  EXPECT_EQ(key, principal({{"authorization", "bEARER   one "}}));
  EXPECT_EQ(key, principal({{"X-Api-Key", "one"}}));
  EXPECT_NE(key, principal({{"X-Api-Key", "two"}}));
  EXPECT_NE(key, principal({}));
  // What is no key makes no principal.
  EXPECT_EQ(principal({{"Authorization", "Basic Zm9v"}}), principal({}));
  EXPECT_EQ(principal({{"X-Api-Key", ""}}), principal({}));
}

TEST(CallerSession, IsWhatTheHeaderNames) {
  EXPECT_FALSE(caller({}).caller.session);
  auto one = caller({{"x-corral-session", "one"}}).caller.session;
  ASSERT_TRUE(one);
  EXPECT_EQ(one, caller({{"X-Corral-Session", "one"}}, {}, "10.9.9.9:1").caller.session);
  EXPECT_NE(one, caller({{"x-corral-session", "two"}}).caller.session);
}

TEST(CallerPriority, IsTheOneAskedForOrTheDefault) {
  EXPECT_EQ(caller({}).caller.priority, Priority::normal);
  EXPECT_EQ(caller({}, {Priority::low, Priority::high}).caller.priority, Priority::low);
  const std::pair<std::string_view, Priority> known[] = {
      {"low", Priority::low}, {"normal", Priority::normal}, {"HIGH", Priority::high}};
  for (auto [text, priority] : known) {
    auto who = caller({{"x-corral-priority", text}});
    EXPECT_EQ(who.caller.priority, priority) << text;
    EXPECT_EQ(who.priority_note, "") << text;
  }
}

TEST(CallerPriority, AboveTheRightIsLoweredAndSaidSo) {
  auto who = caller({{"x-corral-priority", "high"}}, {Priority::low, Priority::normal});
  EXPECT_EQ(who.caller.priority, Priority::normal);
  EXPECT_EQ(who.priority_note, "normal; asked for high");
  who = caller({{"x-corral-priority", "normal"}}, {Priority::low, Priority::low});
  EXPECT_EQ(who.caller.priority, Priority::low);
  EXPECT_EQ(who.priority_note, "low; asked for normal");
  who = caller({{"x-corral-priority", "low"}}, {Priority::normal, Priority::normal});
  EXPECT_EQ(who.caller.priority, Priority::low);
  EXPECT_EQ(who.priority_note, "");
}

TEST(CallerPriority, TheDefaultIsHeldToTheRightToo) {
  EXPECT_EQ(caller({}, {Priority::high, Priority::low}).caller.priority, Priority::low);
  EXPECT_EQ(caller({}, {Priority::high, Priority::low}).priority_note, "");
}

TEST(CallerPriority, RubbishIsRefused) {
  for (auto text : {"", "urgent", "1", "high,low", " high"}) {
    net::HttpRequest request;
    request.headers.add("x-corral-priority", text);
    auto result = caller_of(request, {});
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(result.error().param, "x-corral-priority");
    EXPECT_FALSE(result.error().hint_text.empty());
  }
}

}  // namespace
}  // namespace corral::api::caller_test
