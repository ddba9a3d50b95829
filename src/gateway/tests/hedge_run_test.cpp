#include "gateway/hedge_run.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway {
namespace {

class HedgeTest : public GatewayTest {
 protected:
  void SetUp() override {
    configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1', capacity: 1}
  - {name: e2, binding: openai, url: 'http://h:2', capacity: 1}
routes:
  - name: chat
    hedge: true
    hedge_budget: 1
    tries: 1
    targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m, group: 1}]
gateway: {health: {probe_interval: 0}}
)");
    auto now = std::chrono::steady_clock::now();
    for (int i = 0; i < 200; ++i) route("chat")->observe_first_byte(1ms, now);
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
}  // namespace corral::gateway
