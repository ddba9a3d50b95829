// The dispatcher over several endpoints: which one it chooses. How it fails over:
// failover_test.cpp.
#include "gateway/dispatcher.hpp"

#include <gtest/gtest.h>

#include <set>

#include "gateway/tests/dispatcher_fixture.hpp"

namespace corral::gateway::dispatcher_test {
namespace {

TEST_F(DispatcherTest, OpensACallAndHoldsItsPlace) {
  configure(kOrdered);
  auto call = prepare_call("chat");
  start(*call);
  auto result = finish(*call);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "from 1");
  EXPECT_EQ(result->attempts, 1u);
  EXPECT_FALSE(result->hedged);
  EXPECT_GE(result->waited.count(), 0);
  EXPECT_GT(result->opened.count(), 0);
  EXPECT_EQ(result->route->name(), "chat");
  EXPECT_EQ(result->queued_at, 0u);
  EXPECT_EQ(played_->calls()[0].model, "m");
  EXPECT_EQ(played_->calls()[0].timeouts.first_token, 30ms);
  EXPECT_FALSE(played_->calls()[0].defaults);
  EXPECT_EQ(endpoint("e1")->in_flight(), 1u);
  result->place.report(Outcome::success);
  *result = Dispatched{};
  EXPECT_EQ(endpoint("e1")->in_flight(), 0u);
  EXPECT_EQ(target("e1", "m")->successes(), 1u);
  EXPECT_GT(target("e1", "m")->latency_ns(std::chrono::steady_clock::now()), 0.0);
  EXPECT_EQ(route("chat")->counters.requests, 1u);
}

TEST_F(DispatcherTest, UnknownModelsAreNotFound) {
  configure(kOrdered);
  auto result = dispatch("nothing");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::not_found);
  EXPECT_EQ(source_.ensured(), 1);  // a model may have come a moment ago
  // It has come, but the routes do not say so yet.
  source_.on_start("new", Target{endpoint("e1"), "n"});
  result = dispatch("new");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(result.error().retry_after);
}

TEST_F(DispatcherTest, RoundRobinTakesTurns) {
  configure_three("    balance: round_robin\n");
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(dispatch("chat", static_cast<std::size_t>(i) % 2));
  for (std::uint16_t port = 1; port <= 3; ++port) EXPECT_EQ(played_->opened(port), 3);
}

TEST_F(DispatcherTest, WeightsDivideTheRequests) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
  - {name: e3, binding: openai, url: 'http://h:3'}
routes:
  - name: chat
    balance: weighted
    targets:
      - {endpoint: e1, model: m, weight: 3}
      - {endpoint: e2, model: m, weight: 1}
      - {endpoint: e3, model: m, weight: 0}
)");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(dispatch("chat"));
  EXPECT_EQ(played_->opened(1), 15);
  EXPECT_EQ(played_->opened(2), 5);
  EXPECT_EQ(played_->opened(3), 0);
}

TEST_F(DispatcherTest, TheLeastBusyOneIsTaken) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1', capacity: 10}
  - {name: e2, binding: openai, url: 'http://h:2', capacity: 10}
routes:
  - {name: chat, balance: least_busy, targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m}]}
)");
  std::vector<Result<Dispatched>> held;
  for (int i = 0; i < 8; ++i) held.push_back(dispatch("chat"));
  EXPECT_EQ(endpoint("e1")->in_flight(), 4u);
  EXPECT_EQ(endpoint("e2")->in_flight(), 4u);
}

TEST_F(DispatcherTest, TheFasterOneIsTakenMoreOften) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
routes:
  - {name: chat, balance: peak_ewma, targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m}]}
)");
  auto now = std::chrono::steady_clock::now();
  target("e1", "m")->observe(1s, now);
  target("e2", "m")->observe(1ms, now);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(dispatch("chat"));
  EXPECT_EQ(played_->opened(2), 20);
}

TEST_F(DispatcherTest, StickyRequestsStay) {
  auto port_for = [&](const std::string& user, std::optional<std::uint64_t> session,
                      std::uint64_t principal) {
    auto call = prepare_call("chat");
    call->request.user = user;
    call->caller.session = session;
    call->caller.principal = principal;
    start(*call);
    EXPECT_TRUE(finish(*call));
    return played_->calls().back().port;
  };
  configure_three("    balance: sticky\n    sticky_by: user\n");
  std::set<int> used;
  for (int user = 0; user < 20; ++user) {
    auto first = port_for("u" + std::to_string(user), 1, 1);
    EXPECT_EQ(port_for("u" + std::to_string(user), 2, 2), first);
    used.insert(first);
  }
  EXPECT_EQ(used.size(), 3u);
  EXPECT_EQ(port_for("", std::nullopt, 77), port_for("", 9, 77));  // no user: who asks
  configure_three("    balance: sticky\n    sticky_by: session\n");
  EXPECT_EQ(port_for("a", 5, 1), port_for("b", 5, 2));
}

TEST_F(DispatcherTest, PromptsGoWhereTheirBeginningWasServed) {
  configure_three("    balance: prefix\n");
  for (int prompt = 0; prompt < 5; ++prompt) {
    std::set<int> used;
    for (int turn = 0; turn < 5; ++turn) {
      auto call = prepare_call("chat");
      call->body = fmt::format(R"({{"messages":[{{"role":"user","content":"{}{}"}}]}})",
                               std::string(4000, static_cast<char>('a' + prompt)), turn);
      call->request.body = call->body;
      start(*call);
      ASSERT_TRUE(finish(*call));
      used.insert(played_->calls().back().port);
    }
    EXPECT_EQ(used.size(), 1u) << "prompt " << prompt;
  }
}

}  // namespace
}  // namespace corral::gateway::dispatcher_test
