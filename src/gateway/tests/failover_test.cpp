// The dispatcher over several endpoints: failing over, and what is not tried again.
#include <gtest/gtest.h>

#include "gateway/tests/dispatcher_fixture.hpp"

namespace corral::gateway::failover_test {
namespace {

using FailoverTest = DispatcherTest;

TEST_F(FailoverTest, WhatFailsIsTriedElsewhere) {
  configure(kOrdered);
  const Play plays[] = {
      Play::refuse(down()),
      Play::refuse(broken()),
      Play::refuse(fail(ErrorCode::upstream, "it talks rubbish")),
      Play::refuse(fail(ErrorCode::timeout, "it took too long to connect")),
      Play::refuse(fail(ErrorCode::rate_limited, "slow down").after(0s)),
      {.pieces = {"role"}, .token_at = 1, .error = fail(ErrorCode::upstream, "cut")},
      {.pieces = {"role", "token"}, .token_at = 1, .stall_before = 1},
      {.pieces = {}, .stall_before = 0},
  };
  int before = 0;
  for (const auto& play : plays) {
    target("e1", "m")->force_close();
    played_->once(1, play);
    auto result = dispatch("chat");
    ASSERT_TRUE(result) << result.error().describe();
    EXPECT_EQ(text(result), "from 2");
    EXPECT_EQ(result->attempts, 2u);
    EXPECT_EQ(endpoint("e1")->in_flight(), 0u);
    EXPECT_EQ(endpoint("e2")->in_flight(), 1u);
    EXPECT_EQ(played_->opened(), before + 2);
    before = played_->opened();
  }
  EXPECT_EQ(route("chat")->counters.retries, std::size(plays));
  EXPECT_EQ(target("e1", "m")->failures(), std::size(plays) - 1);  // a 429 is no failure
}

TEST_F(FailoverTest, WhatTheRequestIsToBlameForIsNotTriedAgain) {
  configure(kOrdered);
  int expected = 0;
  for (auto code : {ErrorCode::invalid_argument, ErrorCode::not_found, ErrorCode::too_large,
                    ErrorCode::forbidden, ErrorCode::unsupported, ErrorCode::internal}) {
    played_->once(1, Play::refuse(fail(code, "no")));
    auto result = dispatch("chat");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code);
    EXPECT_EQ(played_->opened(), ++expected);
  }
  EXPECT_EQ(target("e1", "m")->failures(), 0u);
  EXPECT_EQ(breaker("e1", "m"), BreakerState::closed);
  EXPECT_EQ(route("chat")->counters.retries, 0u);
  EXPECT_EQ(route("chat")->counters.gave_up, 0u);
}

// 404 for a model that the route itself names: that endpoint is well, but has not got it.
class LackingTest : public DispatcherTest {
 protected:
  static Play lacks() {
    Error error = fail(ErrorCode::not_found, "no such model");
    error.peer_status = 404;
    return Play::refuse(std::move(error));
  }
};

TEST_F(LackingTest, AnotherTargetIsAskedAndNoBreakerOpens) {
  configure(kOrdered);
  played_->always(1, lacks());
  for (int i = 0; i < 30; ++i) {  // far beyond what a budget for retries would allow
    auto result = dispatch("chat");
    ASSERT_TRUE(result) << result.error().describe();
    EXPECT_EQ(text(result), "from 2");
    EXPECT_EQ(result->attempts, 2u);
  }
  EXPECT_EQ(target("e1", "m")->failures(), 0u);
  EXPECT_EQ(breaker("e1", "m"), BreakerState::closed);
}

TEST_F(LackingTest, WhereNobodyHasItTheAnswerIsTheBackends) {
  configure(kOrdered);
  for (std::uint16_t port = 1; port <= 3; ++port) played_->always(port, lacks());
  auto result = dispatch("chat");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::not_found);
  EXPECT_EQ(result.error().message, "no such model");
  EXPECT_EQ(ports(), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(route("chat")->counters.gave_up, 0u);
}

TEST_F(LackingTest, WhoCannotBeAskedMayHaveIt) {
  configure(kOrdered);
  played_->always(1, lacks());
  played_->always(3, lacks());
  target("e2", "m")->force_open();
  auto result = dispatch("chat");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(result.error().retry_after);
  EXPECT_NE(result.error().cause.find("no such model"), std::string::npos);
  target("e2", "m")->force_close();
  played_->always(2, Play::refuse(broken()));  // or it has it, and fails
  result = dispatch("chat");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "it said 500");
}

TEST_F(LackingTest, AQuick404DoesNotMakeATargetTheQuickest) {
  configure_three("    balance: peak_ewma\n");
  played_->always(1, lacks());
  auto now = std::chrono::steady_clock::now();
  for (const char* name : {"e2", "e3"}) target(name, "m")->observe(50ms, now);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(dispatch("chat"));
  EXPECT_LE(played_->opened(1), 2);
}

TEST_F(LackingTest, ANameThatTheClientMadeUpIsItsOwnError) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
routes:
  - name: open/*
    targets: [{endpoint: e1, model: "*"}, {endpoint: e2, model: "*", group: 1}]
)");
  played_->always(1, lacks());
  auto result = dispatch("open/anything");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::not_found);
  EXPECT_EQ(ports(), std::vector<int>{1});
}

TEST_F(FailoverTest, GroupsAndFallbacksComeInOrder) {
  configure(kOrdered);
  played_->once(1, Play::refuse(down()));
  played_->once(2, Play::refuse(broken()));
  auto result = dispatch("chat");
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(ports(), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(played_->calls()[2].model, "small");
  EXPECT_TRUE(played_->calls()[2].defaults);  // those of the fallback
  EXPECT_EQ(result->attempts, 3u);
  // The first group is first again.
  ASSERT_TRUE(dispatch("chat"));
  EXPECT_EQ(ports().back(), 1);
}

TEST_F(FailoverTest, AnOpenBreakerIsPassedOver) {
  configure(kOrdered);
  target("e1", "m")->force_open();
  ASSERT_TRUE(dispatch("chat"));
  EXPECT_EQ(ports(), std::vector<int>{2});
  EXPECT_EQ(endpoint("e1")->in_flight(), 0u);
}

TEST_F(FailoverTest, ADownEndpointIsPassedOver) {
  configure(kOrdered);
  loops_.call(control(), [&] { registry_->find("e1")->set_health(false, 1); });
  ASSERT_TRUE(dispatch("chat"));
  EXPECT_EQ(ports(), std::vector<int>{2});
}

TEST_F(FailoverTest, TriesAreBounded) {
  configure(kOrdered);
  for (std::uint16_t port = 1; port <= 3; ++port) played_->always(port, Play::refuse(broken()));
  auto result = dispatch("chat");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "it said 500");
  EXPECT_EQ(played_->opened(), 3);
  EXPECT_EQ(route("chat")->counters.gave_up, 1u);
}

TEST_F(FailoverTest, TheOnlyTargetIsTriedAgainAfterAPause) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', models: [m]}]
routes:
  - {name: chat, targets: [{endpoint: e1, model: m}], retry_backoff_min: 1ms,
     retry_backoff_max: 2ms, tries: 4}
)");
  for (int i = 0; i < 3; ++i) played_->once(1, Play::refuse(down()));
  auto result = dispatch("chat");
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(result->attempts, 4u);
}

TEST_F(FailoverTest, TheBudgetBoundsTheRetriesOfAll) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]
routes:
  - {name: chat, targets: [{endpoint: e1, model: m}], retry_budget: 0.1,
     retry_backoff_min: 0ms, retry_backoff_max: 0ms, tries: 5}
gateway: {breaker: {failures: 1000, error_rate: 1, min_volume: 100000}}
)");
  played_->always(1, Play::refuse(broken()));
  constexpr int kRequests = 100;
  for (int i = 0; i < kRequests; ++i) EXPECT_FALSE(dispatch("chat"));
  int retries = played_->opened() - kRequests;
  EXPECT_GE(retries, 10);
  EXPECT_LE(retries, 10 + 3 * 60);  // a few a second besides
  EXPECT_LT(retries, kRequests * 4);
  EXPECT_GT(route("chat")->counters.gave_up, 0u);
}

TEST_F(FailoverTest, FailuresOpenTheBreakerAndTrialsCloseIt) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
routes:
  - {name: chat, targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m, group: 1}]}
gateway:
  breaker: {failures: 3, recovery_remote: 100ms, trials: 2}
  health: {probe_interval: 0}
)");
  played_->always(1, Play::refuse(down()));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(dispatch("chat"));
  EXPECT_LE(played_->opened(1), 10);
  EXPECT_GE(played_->opened(1), 3);
  EXPECT_TRUE(eventually([&] { return !breaker_changes().empty(); }));
  EXPECT_EQ(breaker_changes()[0], "e1/m: open");
  EXPECT_TRUE(log_->contains("circuit breaker endpoint=e1 model=m from=closed to=open"));
  // It is well again: trials find that out.
  played_->always(1, Play::answer("well"));
  EXPECT_TRUE(eventually([&] {
    auto result = dispatch("chat");
    EXPECT_TRUE(result);
    return breaker("e1", "m") == BreakerState::closed;
  }));
  EXPECT_TRUE(eventually([&] { return breaker_changes().back() == "e1/m: closed"; }));
}

TEST_F(FailoverTest, TrialsAreGivenBackHoweverTheyEnd) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 4}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], tries: 1, first_token_timeout: 20ms}]
gateway:
  breaker: {failures: 1, recovery_remote: 1ms, trials: 1}
  health: {probe_interval: 0}
)");
  auto state = target("e1", "m");
  auto trials = [&] { return state->view(std::chrono::steady_clock::now()).trials_under_way; };
  auto open_it = [&] {
    played_->once(1, Play::refuse(broken()));
    EXPECT_FALSE(dispatch("chat"));
    EXPECT_EQ(trials(), 0u);
  };
  open_it();
  for (const auto& play :
       {Play::refuse(fail(ErrorCode::invalid_argument, "no")), Play::refuse(down()),
        Play::refuse(fail(ErrorCode::rate_limited, "slow").after(0s)),
        Play{.pieces = {"x"}, .stall_before = 0}}) {
    played_->once(1, play);
    EXPECT_FALSE(dispatch("chat"));
    EXPECT_EQ(trials(), 0u);
  }
  // The client leaves while its trial is under way.
  auto gate = std::make_shared<Gate>();
  played_->once(1, {.pieces = {"x"}, .gate = gate});
  int before = played_->opened();
  auto call = begin("chat");
  EXPECT_TRUE(eventually([&] { return played_->opened() == before + 1; }));
  EXPECT_EQ(trials(), 1u);
  auto left = leave(*call);
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, ErrorCode::cancelled);
  EXPECT_EQ(trials(), 0u);
  EXPECT_EQ(endpoint("e1")->in_flight(), 0u);
  // A trial that answers ends it at its first byte, while it holds its place.
  auto answered = dispatch("chat");
  ASSERT_TRUE(answered) << answered.error().describe();
  EXPECT_EQ(trials(), 0u);
  EXPECT_EQ(breaker("e1", "m"), BreakerState::closed);
}

TEST_F(FailoverTest, ATargetThatAsksForAPauseGetsOne) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
routes:
  - {name: chat, targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m, group: 1}]}
)");
  played_->once(1, Play::refuse(fail(ErrorCode::rate_limited, "slow down").after(1s)));
  auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(dispatch("chat"));
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(dispatch("chat"));
    return played_->opened(1) == 2;
  }));
  auto pause = std::chrono::steady_clock::now() - begun;
  EXPECT_GE(pause, 1s);
  EXPECT_EQ(breaker("e1", "m"), BreakerState::closed);
  EXPECT_TRUE(breaker_changes().empty());
}

TEST_F(FailoverTest, TheOnlyTargetThatCoolsDownIsWaitedFor) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], retry_backoff_min: 0ms,
          retry_backoff_max: 1ms}]
)");
  played_->once(1, Play::refuse(fail(ErrorCode::rate_limited, "slow down").after(1s)));
  auto begun = std::chrono::steady_clock::now();
  auto refused = dispatch("chat");
  ASSERT_FALSE(refused);  // its client is told what the only target said
  EXPECT_EQ(refused.error().code, ErrorCode::rate_limited);
  EXPECT_EQ(refused.error().retry_after, 1s);
  auto result = dispatch("chat");
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 1s);
  EXPECT_EQ(result->attempts, 1u);
  EXPECT_EQ(played_->opened(), 2);
}

TEST_F(FailoverTest, AnswersThatAreNotRelayedAreCollected) {
  configure(kOrdered);
  played_->once(1, {.relayable = false,
                    .events = {inference::Started{"id", 1, ""}},
                    .error = fail(ErrorCode::upstream, "cut")});
  played_->once(2,
                {.relayable = false,
                 .events = {inference::Started{"id", 1, ""}, inference::TextDelta{.text = "a"}}});
  auto result = dispatch("chat");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->events.size(), 2u);
  EXPECT_TRUE(result->whole);
  EXPECT_EQ(result->attempts, 2u);
  EXPECT_EQ(target("e2", "m")->successes(), 1u);  // nothing follows that could fail
}

TEST_F(FailoverTest, TheClientMayLeaveAtAnyTime) {
  configure(kOrdered);
  auto gate = std::make_shared<Gate>();
  for (auto play :
       {Play{.pieces = {"x"}, .gate = gate}, Play{.pieces = {"x"}, .stall_before = 0}}) {
    played_->once(1, play);
    int before = played_->opened();
    auto call = begin("chat");
    EXPECT_TRUE(eventually([&] { return played_->opened() == before + 1; }));
    auto left = leave(*call);
    ASSERT_FALSE(left);
    EXPECT_EQ(left.error().code, ErrorCode::cancelled);
    EXPECT_EQ(played_->opened(), before + 1);
    expect_nothing_held();
  }
  EXPECT_EQ(target("e1", "m")->failures(), 0u);
}

TEST_F(FailoverTest, ABrokenAnswerGoesOnElsewhere) {
  configure(kOrdered);
  auto result = dispatch("chat");
  ASSERT_TRUE(result);
  auto call = prepare_call("chat");
  struct Rest {
    static net::Task<void> of(Dispatcher* dispatcher, Dispatched* broken, Call* call) {
      Dispatched rest;
      auto opened = co_await dispatcher->go_on(*broken, call->request, call->caller, rest);
      call->end(std::move(opened), std::move(rest));
    }
  };
  call->shard = &loops_.shards().serving(0);
  call->group = std::make_unique<net::TaskGroup>(*call->shard);
  loops_.call(*call->shard,
              [&] { call->group->spawn(Rest::of(&dispatcher_, &*result, call.get())); });
  auto rest = finish(*call);
  ASSERT_TRUE(rest);
  EXPECT_EQ(text(rest), "from 2");
  EXPECT_EQ(route("chat")->counters.resumed, 1u);
}

TEST_F(FailoverTest, AWholeAnswerHasItsTime) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], total_timeout: 50ms}]
gateway: {health: {probe_interval: 0}}
)");
  played_->always(1, {.pieces = {"x"}, .stall_before = 0});
  auto call = prepare_call("chat", false);
  Attempts attempts;
  call->caller.attempts = &attempts;
  start(*call);
  auto result = finish(*call);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::timeout);
  EXPECT_NE(result.error().message.find("total_timeout"), std::string::npos);
  EXPECT_EQ(played_->opened(), 1);
  EXPECT_EQ(attempts.count, 1u);
  EXPECT_EQ(attempts.endpoint, "e1");
}

}  // namespace
}  // namespace corral::gateway::failover_test
