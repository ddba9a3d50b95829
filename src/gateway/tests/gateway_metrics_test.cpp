#include "gateway/gateway_metrics.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway::gateway_metrics_test {
namespace {

constexpr const char* kOne = R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 1}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], tries: 1}]
gateway: {breaker: {failures: 1}, health: {probe_interval: 0}}
)";

class GatewayMetricsTest : public GatewayTest {
 protected:
  void update() {
    loops_.call(control(), [&] { meters_.update(); });
  }
  // The value of a line of the exposition; -1: there is none.
  double value(const std::string& series) {
    std::string text = metrics_.expose();
    auto at = text.find(series + " ");
    if (at == std::string::npos) return -1;
    return std::stod(text.substr(at + series.size() + 1));
  }
  telemetry::Metrics metrics_;
  GatewayMetrics meters_{metrics_, dispatcher_, *registry_};
};

TEST_F(GatewayMetricsTest, SayWhatGoesOn) {
  configure(kOne, {{"tiny", {}}});
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  auto waiting = begin_waiting("chat");
  update();
  EXPECT_EQ(value(R"(corral_endpoint_up{endpoint="e1"})"), 1);
  EXPECT_EQ(value(R"(corral_endpoint_in_flight{endpoint="e1"})"), 1);
  EXPECT_EQ(value(R"(corral_endpoint_capacity_share{endpoint="e1"})"), 1);
  EXPECT_EQ(value(R"(corral_route_waiting{route="chat"})"), 1);
  EXPECT_EQ(value(R"(corral_route_requests_total{route="chat"})"), 2);
  EXPECT_EQ(value(R"(corral_route_queued_total{route="chat"})"), 1);
  EXPECT_EQ(value(R"(corral_breaker_state{endpoint="e1",model="m"})"), 0);
  EXPECT_GT(value(R"(corral_target_latency_seconds{endpoint="e1",model="m"})"), 0);
  // Of models of ours that nobody asked for there is nothing to say.
  EXPECT_EQ(value(R"(corral_breaker_state{endpoint="local",model="tiny"})"), -1);
  EXPECT_EQ(value(R"(corral_route_requests_total{route="tiny"})"), -1);
  EXPECT_FALSE(dispatch("tiny"));  // it cannot be loaded
  target("local", "tiny")->force_open();
  update();
  EXPECT_EQ(value(R"(corral_breaker_state{endpoint="local",model="tiny"})"), 2);
  EXPECT_EQ(value(R"(corral_route_requests_total{route="tiny"})"), 1);
  held->place.report(Outcome::success);
  *held = Dispatched{};
  ASSERT_TRUE(finish(*waiting));
  played_->once(1, Play::refuse(broken()));
  EXPECT_FALSE(dispatch("chat"));
  update();
  update();  // counters follow, they are not added up again
  EXPECT_EQ(value(R"(corral_target_attempts_total{endpoint="e1",model="m",outcome="success"})"), 1);
  EXPECT_EQ(value(R"(corral_target_attempts_total{endpoint="e1",model="m",outcome="failure"})"), 1);
  EXPECT_EQ(value(R"(corral_breaker_state{endpoint="e1",model="m"})"), 2);
  EXPECT_EQ(value(R"(corral_route_gave_up_total{route="chat"})"), 1);
  EXPECT_EQ(value(R"(corral_route_retries_total{route="chat"})"), 0);
  EXPECT_EQ(value(R"(corral_route_waiting{route="chat"})"), 0);
}

TEST_F(GatewayMetricsTest, WhatIsGoneIsNotUp) {
  configure(kOne);
  update();
  EXPECT_EQ(value(R"(corral_endpoint_up{endpoint="e1"})"), 1);
  configure("{gateway: {health: {probe_interval: 0}}}");
  update();
  EXPECT_EQ(value(R"(corral_endpoint_up{endpoint="e1"})"), 0);
  EXPECT_EQ(value(R"(corral_endpoint_capacity_share{endpoint="e1"})"), 0);
}

TEST_F(GatewayMetricsTest, CountersGoOnWhenWhatIsCountedIsMadeAnew) {
  configure(kOne);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(dispatch("chat"));
  update();
  std::string other = kOne;
  other.replace(other.find("tries: 1"), 8, "queue_limit: 7");
  configure(other);  // another state of the route
  ASSERT_TRUE(dispatch("chat"));
  update();
  EXPECT_EQ(value(R"(corral_route_requests_total{route="chat"})"), 4);
}

TEST_F(GatewayMetricsTest, TransitionsAreCountedByWhereTheyLead) {
  for (int i = 0; i < 2; ++i) {
    meters_.breaker_changed("e1", "m",
                            {BreakerState::closed, BreakerState::open, BreakerReason::forced});
  }
  meters_.breaker_changed(
      "e1", "m", {BreakerState::open, BreakerState::half_open, BreakerReason::recovery_over});
  EXPECT_EQ(value(R"(corral_breaker_transitions_total{endpoint="e1",model="m",to="open"})"), 2);
  EXPECT_EQ(value(R"(corral_breaker_transitions_total{endpoint="e1",model="m",to="half_open"})"),
            1);
}

TEST_F(GatewayMetricsTest, AHalfOpenBreakerIsInBetween) {
  configure(kOne);
  target("e1", "m")->force_open();
  target("e1", "m")->force_close();
  auto permit = target("e1", "m")->try_pass(std::chrono::steady_clock::now());
  auto now = std::chrono::steady_clock::now();
  target("e1", "m")->report(std::move(permit), Outcome::timeout, now);
  target("e1", "m")->probe_succeeded(now + 1h);
  update();
  EXPECT_EQ(value(R"(corral_breaker_state{endpoint="e1",model="m"})"), 1);
}

}  // namespace
}  // namespace corral::gateway::gateway_metrics_test
