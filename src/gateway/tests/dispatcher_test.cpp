// The dispatcher over several endpoints: choosing, failing over, and what is not tried again.
#include "gateway/dispatcher.hpp"

#include <gtest/gtest.h>

#include <set>

#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway {
namespace {

// Two targets of which the first one is always tried first.
constexpr const char* kOrdered = R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1', capacity: 2}
  - {name: e2, binding: openai, url: 'http://h:2', capacity: 2}
  - {name: e3, binding: openai, url: 'http://h:3', capacity: 2}
routes:
  - name: chat
    targets:
      - {endpoint: e1, model: m}
      - {endpoint: e2, model: m, group: 1}
    fallbacks: [spare]
    retry_backoff_min: 1ms
    retry_backoff_max: 2ms
    first_token_timeout: 30ms
    retry_budget: 1
  - {name: spare, targets: [{endpoint: e3, model: small}], parameters: {top_k: 3}}
gateway: {health: {probe_interval: 0}}
)";

class DispatcherTest : public GatewayTest {
 protected:
  std::vector<int> ports() const {
    std::vector<int> result;
    for (const auto& call : played_->calls()) result.push_back(call.port);
    return result;
  }
};

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
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
  - {name: e3, binding: openai, url: 'http://h:3'}
routes:
  - name: chat
    balance: round_robin
    targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m}, {endpoint: e3, model: m}]
)");
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
  const char* yaml = R"(
endpoints:
  - {{name: e1, binding: openai, url: 'http://h:1'}}
  - {{name: e2, binding: openai, url: 'http://h:2'}}
  - {{name: e3, binding: openai, url: 'http://h:3'}}
routes:
  - name: chat
    balance: sticky
    sticky_by: {}
    targets: [{{endpoint: e1, model: m}}, {{endpoint: e2, model: m}}, {{endpoint: e3, model: m}}]
)";
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
  configure(fmt::format(fmt::runtime(yaml), "user"));
  std::set<int> used;
  for (int user = 0; user < 20; ++user) {
    auto first = port_for("u" + std::to_string(user), 1, 1);
    EXPECT_EQ(port_for("u" + std::to_string(user), 2, 2), first);
    used.insert(first);
  }
  EXPECT_EQ(used.size(), 3u);
  EXPECT_EQ(port_for("", std::nullopt, 77), port_for("", 9, 77));  // no user: who asks
  configure(fmt::format(fmt::runtime(yaml), "session"));
  EXPECT_EQ(port_for("a", 5, 1), port_for("b", 5, 2));
}

TEST_F(DispatcherTest, PromptsGoWhereTheirBeginningWasServed) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
  - {name: e3, binding: openai, url: 'http://h:3'}
routes:
  - name: chat
    balance: prefix
    targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m}, {endpoint: e3, model: m}]
)");
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

// --- failing over --------------------------------------------------------------------------------

TEST_F(DispatcherTest, WhatFailsIsTriedElsewhere) {
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

TEST_F(DispatcherTest, WhatTheRequestIsToBlameForIsNotTriedAgain) {
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

TEST_F(DispatcherTest, GroupsAndFallbacksComeInOrder) {
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

TEST_F(DispatcherTest, AnOpenBreakerIsPassedOver) {
  configure(kOrdered);
  target("e1", "m")->force_open();
  ASSERT_TRUE(dispatch("chat"));
  EXPECT_EQ(ports(), std::vector<int>{2});
  EXPECT_EQ(endpoint("e1")->in_flight(), 0u);
}

TEST_F(DispatcherTest, ADownEndpointIsPassedOver) {
  configure(kOrdered);
  loops_.call(control(), [&] { registry_->find("e1")->set_health(false, 1); });
  ASSERT_TRUE(dispatch("chat"));
  EXPECT_EQ(ports(), std::vector<int>{2});
}

TEST_F(DispatcherTest, TriesAreBounded) {
  configure(kOrdered);
  for (std::uint16_t port = 1; port <= 3; ++port) played_->always(port, Play::refuse(broken()));
  auto result = dispatch("chat");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "it said 500");
  EXPECT_EQ(played_->opened(), 3);
  EXPECT_EQ(route("chat")->counters.gave_up, 1u);
}

TEST_F(DispatcherTest, TheOnlyTargetIsTriedAgainAfterAPause) {
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

TEST_F(DispatcherTest, TheBudgetBoundsTheRetriesOfAll) {
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

TEST_F(DispatcherTest, FailuresOpenTheBreakerAndTrialsCloseIt) {
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

TEST_F(DispatcherTest, TrialsAreGivenBackHoweverTheyEnd) {
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

TEST_F(DispatcherTest, ATargetThatAsksForAPauseGetsOne) {
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

TEST_F(DispatcherTest, TheOnlyTargetThatCoolsDownIsWaitedFor) {
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

TEST_F(DispatcherTest, AnswersThatAreNotRelayedAreCollected) {
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

TEST_F(DispatcherTest, TheClientMayLeaveAtAnyTime) {
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

TEST_F(DispatcherTest, ABrokenAnswerGoesOnElsewhere) {
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

TEST_F(DispatcherTest, AWholeAnswerHasItsTime) {
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
}  // namespace corral::gateway
