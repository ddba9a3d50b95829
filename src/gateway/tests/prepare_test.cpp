#include "gateway/prepare.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/fakes.hpp"
#include "net/tests/test_support.hpp"

namespace corral::gateway::prepare_test {
namespace {

using namespace std::chrono_literals;

net::Task<Result<void>> prepare_it(Dispatched* result, const inference::Request* request,
                                   PrepareLimits limits) {
  co_return co_await prepare(*result, *request, limits);
}

class PrepareTest : public testing::Test {
 protected:
  Result<void> run(Play play) {
    result_ = Dispatched();
    result_.answer =
        std::make_unique<PlayedAnswer>(std::move(play), 1h, std::make_shared<Living>());
    auto now = std::chrono::steady_clock::now();
    return loops_.run(
        loops_.shards().serving(0),
        prepare_it(&result_, &request_, {now + first_token_, now + whole_, between_tokens_}));
  }
  net::testing::Loops loops_;
  inference::Request request_{.stream = true};
  Dispatched result_;
  std::chrono::milliseconds first_token_{60'000};
  std::chrono::milliseconds whole_{60'000};
  std::chrono::milliseconds between_tokens_{60'000};
};

TEST_F(PrepareTest, StreamsAreReadUpToTheFirstToken) {
  ASSERT_TRUE(run({.pieces = {"role", "empty", "token", "more"}, .token_at = 2}));
  EXPECT_EQ(result_.held, "roleempty");
  EXPECT_EQ(result_.first, "token");
  EXPECT_FALSE(result_.whole);
}

TEST_F(PrepareTest, AStreamMayEndWithoutAToken) {
  ASSERT_TRUE(run({.pieces = {"role", "done"}, .token_at = 9}));
  EXPECT_EQ(result_.held, "roledone");
  EXPECT_TRUE(result_.first.empty());
  EXPECT_TRUE(result_.whole);
}

TEST_F(PrepareTest, WhoWantsProgressWaitsForNoToken) {
  request_.wants_progress = true;
  ASSERT_TRUE(run({.pieces = {"progress", "token"}, .token_at = 1}));
  EXPECT_EQ(result_.first, "progress");
  EXPECT_TRUE(result_.held.empty());
}

TEST_F(PrepareTest, NotMoreThanSoMuchIsHeld) {
  std::vector<std::string> pieces(100, std::string(10'000, 'x'));
  ASSERT_TRUE(run({.pieces = pieces, .token_at = 1000}));
  EXPECT_EQ(result_.held.size(), 60'000u);
  EXPECT_EQ(result_.first.size(), 10'000u);
  EXPECT_FALSE(result_.whole);
}

TEST_F(PrepareTest, DocumentsAreWhole) {
  request_.stream = false;
  ASSERT_TRUE(run({.pieces = {"{...}"}}));
  EXPECT_EQ(result_.first, "{...}");
  EXPECT_TRUE(result_.whole);
  request_.stream = true;
  request_.operation = inference::Operation::embedding;  // always one document
  ASSERT_TRUE(run({.pieces = {"{...}"}}));
  EXPECT_TRUE(result_.whole);
}

TEST_F(PrepareTest, EventsAreCollected) {
  std::vector<inference::Event> events{inference::Started{"id", 1, ""},
                                       inference::TextDelta{.text = "a"}};
  ASSERT_TRUE(run({.relayable = false, .events = events}));
  EXPECT_EQ(result_.events.size(), 2u);
  EXPECT_TRUE(result_.whole);
}

TEST_F(PrepareTest, WhatComesTooLateIsATimeout) {
  first_token_ = 20ms;
  auto late = run({.pieces = {"role", "token"}, .token_at = 1, .stall_before = 1});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::timeout);
  EXPECT_NE(late.error().message.find("first_token_timeout"), std::string::npos);
  std::vector<inference::Event> events{inference::Started{"id", 1, ""},
                                       inference::TextDelta{.text = "a"}};
  EXPECT_EQ(run({.relayable = false, .events = events, .stall_before = 0}).error().code,
            ErrorCode::timeout);
  first_token_ = 60s;
  between_tokens_ = 20ms;
  EXPECT_EQ(run({.relayable = false, .events = events, .stall_before = 1}).error().code,
            ErrorCode::timeout);
  between_tokens_ = 60s;
  whole_ = 20ms;
  EXPECT_EQ(run({.relayable = false, .events = events, .stall_before = 1}).error().code,
            ErrorCode::timeout);
  request_.stream = false;  // a document has no tokens that could be waited for
  EXPECT_EQ(run({.pieces = {"{...}"}, .stall_before = 0}).error().code, ErrorCode::timeout);
  EXPECT_EQ(too_late(90s).code, ErrorCode::timeout);
  EXPECT_FALSE(too_late(90s).hint_text.empty());
}

TEST_F(PrepareTest, FailuresBeforeTheTokenAreErrors) {
  auto cut = fail(ErrorCode::upstream, "cut");
  EXPECT_EQ(run({.pieces = {"role"}, .token_at = 1, .error = cut}).error().message, "cut");
  EXPECT_EQ(run({.relayable = false, .error = cut}).error().message, "cut");
}

}  // namespace
}  // namespace corral::gateway::prepare_test
