#include "gateway/hedge_run.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway::hedge_run_test {
namespace {

class HedgeTest : public GatewayTest {
 protected:
  void SetUp() override {
    configure_hedging(1, "e2, model: m");
    auto now = std::chrono::steady_clock::now();
    for (int i = 0; i < 200; ++i) route("chat")->observe_first_byte(1ms, now);
  }
  // A slow e1 is hedged by `second`.
  void configure_hedging(double budget, const std::string& second,
                         std::vector<LocalModel> local = {}) {
    configure(fmt::format(R"(
endpoints:
  - {{name: e1, binding: openai, url: 'http://h:1', capacity: 1}}
  - {{name: e2, binding: openai, url: 'http://h:2', capacity: 1}}
routes:
  - name: chat
    hedge: true
    hedge_budget: {}
    tries: 1
    targets: [{{endpoint: e1, model: m}}, {{endpoint: {}, group: 1}}]
gateway: {{health: {{probe_interval: 0}}}}
)",
                          budget, second),
              std::move(local));
  }
  const RouteState::Counters& counters() { return route("chat")->counters; }
};

TEST_F(HedgeTest, ASecondAttemptAnswersForASlowFirst) {
  played_->once(1, {.pieces = {"late"}, .gate = std::make_shared<Gate>()});
  auto result = dispatch("chat");
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "from 2");
  EXPECT_TRUE(result->hedged);
  EXPECT_EQ(result->attempts, 2u);
  EXPECT_EQ(counters().hedges, 1u);
  EXPECT_EQ(counters().hedges_won, 1u);
  EXPECT_EQ(endpoint("e1")->in_flight(), 0u);  // the loser was cancelled
  EXPECT_EQ(endpoint("e2")->in_flight(), 1u);
  EXPECT_EQ(target("e1", "m")->failures(), 0u);
}

TEST_F(HedgeTest, AQuickFirstNeedsNone) {
  auto result = dispatch("chat");
  ASSERT_TRUE(result);
  EXPECT_EQ(text(result), "from 1");
  EXPECT_FALSE(result->hedged);
  EXPECT_EQ(counters().hedges, 0u);
}

TEST_F(HedgeTest, TheFirstMayStillWin) {
  auto first = std::make_shared<Gate>();
  played_->once(1, {.pieces = {"first"}, .gate = first});
  played_->once(2, {.pieces = {"second"}, .gate = std::make_shared<Gate>()});
  auto call = begin("chat");
  EXPECT_TRUE(eventually([&] { return played_->opened(2) == 1; }));
  first->open();
  auto result = finish(*call);
  ASSERT_TRUE(result);
  EXPECT_EQ(text(result), "first");
  EXPECT_FALSE(result->hedged);
  EXPECT_EQ(counters().hedges_won, 0u);
  EXPECT_EQ(endpoint("e2")->in_flight(), 0u);
}

TEST_F(HedgeTest, OneFailureIsNotTheEndOfBoth) {
  auto first = std::make_shared<Gate>();
  played_->once(1, {.pieces = {"first"}, .gate = first});
  played_->once(2, Play::refuse(broken()));
  auto call = begin("chat");
  EXPECT_TRUE(eventually([&] { return played_->opened(2) == 1; }));
  first->open();
  auto result = finish(*call);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "first");
}

TEST_F(HedgeTest, BothMayFail) {
  auto first = std::make_shared<Gate>();
  played_->once(1, {.refusal = broken(), .gate = first});
  played_->once(2, Play::refuse(broken()));
  auto call = begin("chat");
  EXPECT_TRUE(eventually([&] { return played_->opened(2) == 1; }));
  first->open();
  auto result = finish(*call);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "it said 500");
}

// A second attempt that finds no place is none: the next request may still hedge.
TEST_F(HedgeTest, WhatFindsNoPlaceCostsNothingOfTheBudget) {
  configure_hedging(1, "local, model: tiny", {{"tiny", {}}});
  auto first = std::make_shared<Gate>();
  played_->once(1, {.pieces = {"first"}, .gate = first});
  auto call = begin("chat");
  EXPECT_TRUE(eventually([&] { return source_.asked() > 0; }));  // the model is not loaded
  first->open();
  auto result = finish(*call);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "first");
  EXPECT_EQ(counters().hedges, 0u);
  EXPECT_EQ(source_.ensured(), 0);
  EXPECT_TRUE(route("chat")->may_hedge(std::chrono::steady_clock::now()));
}

TEST_F(HedgeTest, ASecondAttemptBeyondTheBudgetGivesItsPlaceBack) {
  configure_hedging(0.01, "e2, model: m");
  auto before = endpoint("e2")->load().last_used;
  auto first = std::make_shared<Gate>();
  played_->once(1, {.pieces = {"first"}, .gate = first});
  auto call = begin("chat");
  EXPECT_TRUE(eventually([&] { return endpoint("e2")->load().last_used > before; }));
  first->open();
  EXPECT_EQ(text(finish(*call)), "first");
  EXPECT_EQ(played_->opened(2), 0);
  EXPECT_EQ(counters().hedges, 0u);
  EXPECT_EQ(endpoint("e2")->load().served, 0u);
  EXPECT_EQ(endpoint("e2")->in_flight(), 0u);
}

TEST_F(HedgeTest, TheClientMayLeaveBoth) {
  played_->once(1, {.pieces = {"a"}, .gate = std::make_shared<Gate>()});
  played_->once(2, {.pieces = {"b"}, .gate = std::make_shared<Gate>()});
  auto call = begin("chat");
  EXPECT_TRUE(eventually([&] { return played_->opened(2) == 1; }));
  auto left = leave(*call);
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace corral::gateway::hedge_run_test
