// Requests that wait: for a place, for an endpoint to come back, through changes of their route.
#include "gateway/flight.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway::flight_test {
namespace {

constexpr const char* kOnePlace = R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 1}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], queue_limit: 3, tries: 1}]
gateway: {health: {probe_interval: 0}}
)";

class WaitingTest : public GatewayTest {
 protected:
  // The only place is taken, and three calls wait for it.
  std::pair<Result<Dispatched>, std::vector<std::unique_ptr<Call>>> three_behind_one() {
    configure(kOnePlace);
    auto held = dispatch("chat");
    std::vector<std::unique_ptr<Call>> calls;
    for (std::size_t i = 0; i < 3; ++i) calls.push_back(begin_waiting("chat", i % 2));
    return {std::move(held), std::move(calls)};
  }
  // Ends a call and gives its place back.
  void finish_and_drop(Call& call) {
    auto result = finish(call);
    EXPECT_TRUE(result) << result.error().describe();
  }
};

TEST_F(WaitingTest, ThePlaceThatFreesGoesToWhoeverWaits) {
  configure(kOnePlace);
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  auto waiting = begin_waiting("chat", 1);
  EXPECT_EQ(played_->opened(), 1);
  *held = Dispatched{};
  auto result = finish(*waiting);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(result->queued_at, 1u);
  EXPECT_GT(result->waited.count(), 0);
  EXPECT_EQ(endpoint("e1")->in_flight(), 1u);
  EXPECT_EQ(route("chat")->counters.queued, 1u);
}

TEST_F(WaitingTest, NobodyIsOvertaken) {
  auto [held, calls] = three_behind_one();
  ASSERT_TRUE(held);
  *held = Dispatched{};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    EXPECT_TRUE(eventually([&] { return calls[i]->done.load(); }));
    for (std::size_t later = i + 1; later < calls.size(); ++later) EXPECT_FALSE(calls[later]->done);
    finish_and_drop(*calls[i]);
  }
}

TEST_F(WaitingTest, NewcomersStandBehindThoseWhoWait) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 8}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}]}]
)");
  target("e1", "m")->force_open();
  std::vector<std::unique_ptr<Call>> early;
  for (int i = 0; i < 4; ++i) early.push_back(begin_waiting("chat"));
  auto late = begin("chat", 1);
  EXPECT_TRUE(eventually([&] { return dispatcher_.waiting() == 5; }));
  target("e1", "m")->force_close();
  for (auto& call : early) finish_and_drop(*call);
  finish_and_drop(*late);
}

TEST_F(WaitingTest, WhoLeavesTheQueueTakesNothingAlong) {
  configure(kOnePlace);
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  auto leaver = begin_waiting("chat");
  auto stayer = begin_waiting("chat", 1);
  auto left = leave(*leaver);
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, ErrorCode::cancelled);
  EXPECT_EQ(dispatcher_.waiting(), 1u);
  *held = Dispatched{};
  finish_and_drop(*stayer);
  EXPECT_EQ(played_->opened(), 2);
}

TEST_F(WaitingTest, AFullQueueRefusesAtOnce) {
  configure(kOnePlace);
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(begin_waiting("chat"));
  auto refused = dispatch("chat");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  ASSERT_TRUE(refused.error().retry_after);
  EXPECT_GE(refused.error().retry_after->count(), 1);
  EXPECT_NE(refused.error().message.find("chat"), std::string::npos);
  *held = Dispatched{};
  for (auto& call : calls) finish_and_drop(*call);
}

// With one answer it is known how long a newcomer waits: what is under way, and those before.
TEST_F(WaitingTest, TheWaitFollowsFromWhatSuchWorkTook) {
  configure(kOnePlace);
  const auto now = [] { return std::chrono::steady_clock::now(); };
  EXPECT_FALSE(route("chat")->expect({}));
  {
    auto taught = target("e1", "m");
    const Work work{inference::Operation::chat, true, 50};
    taught->end_work(taught->begin_work(work, now() - 100s), now(), true);
  }
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  auto first = begin_waiting("chat");
  auto second = begin_waiting("chat");
  auto expected = route("chat")->expect({inference::Operation::chat, true, 50});
  ASSERT_TRUE(expected);
  EXPECT_NEAR(static_cast<double>(expected->count()) / 1e9, 100, 1);
  auto wait = route("chat")->wait_of_newcomer(now());
  ASSERT_TRUE(wait);  // less than four were served: the rate says nothing
  EXPECT_GT(*wait, 200s);
  EXPECT_LE(*wait, 301s);
  *held = Dispatched{};
  finish_and_drop(*first);
  finish_and_drop(*second);
}

TEST_F(WaitingTest, AHigherPriorityDisplacesALowerOneInAFullQueue) {
  configure(kOnePlace);
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  std::vector<std::unique_ptr<Call>> low;
  for (int i = 0; i < 3; ++i) {
    low.push_back(prepare_call("chat"));
    low.back()->caller.priority = config::Priority::low;
    start(*low.back());
    EXPECT_TRUE(eventually([&] { return dispatcher_.waiting() == low.size(); }));
  }
  auto high = prepare_call("chat");
  high->caller.priority = config::Priority::high;
  start(*high);
  auto displaced = finish(*low.back());
  ASSERT_FALSE(displaced);
  EXPECT_EQ(displaced.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(displaced.error().retry_after);
  *held = Dispatched{};
  finish_and_drop(*high);  // before the others of a lower one
  EXPECT_TRUE(high->done);
  for (int i = 0; i < 2; ++i) finish_and_drop(*low[static_cast<std::size_t>(i)]);
}

TEST_F(WaitingTest, WaitingEndsWithItsTime) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 1}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], queue_timeout: 30ms}]
)");
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  auto begun = std::chrono::steady_clock::now();
  auto result = dispatch("chat");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(result.error().retry_after);
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 30ms);
  EXPECT_EQ(dispatcher_.waiting(), 0u);
}

TEST_F(WaitingTest, WhenTheOnlyTargetFailedAndRestsTheClientIsToldHowLong) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 1}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], queue_timeout: 30ms,
          retry_backoff_min: 0ms, retry_backoff_max: 1ms}]
gateway: {breaker: {failures: 1}, health: {probe_interval: 0}}
)");
  played_->once(1, Play::refuse(broken()));
  auto result = dispatch("chat");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(result.error().retry_after);
}

TEST_F(WaitingTest, WhoWaitsIsToldWhereItStands) {
  configure(kOnePlace);
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  struct Places {
    std::mutex mutex;
    std::vector<std::size_t> seen;
    static net::Task<void> note(Places* places, QueuePlace place) {
      std::lock_guard lock(places->mutex);
      places->seen.push_back(place.position);
      co_return;
    }
    bool has(std::size_t position) {
      std::lock_guard lock(mutex);
      return std::ranges::find(seen, position) != seen.end();
    }
  } places;
  auto first = begin_waiting("chat", 1);
  auto second = prepare_call("chat");
  second->caller.on_wait = [&places](const QueuePlace& place) {
    return Places::note(&places, place);
  };
  start(*second);
  EXPECT_TRUE(eventually([&] { return places.has(2); }));
  *held = Dispatched{};
  auto one = finish(*first);
  EXPECT_TRUE(eventually([&] { return places.has(1); }));
  ASSERT_TRUE(one);
  *one = Dispatched{};
  auto two = finish(*second);
  ASSERT_TRUE(two);
  EXPECT_EQ(two->queued_at, 2u);
}

TEST(QueuePlace, ReadsWell) {
  using Stage = QueuePlace::Stage;
  QueuePlace place;
  place.position = 2;
  EXPECT_EQ(describe(place), "queued, position 2");
  place.estimate = 3'000ms;
  EXPECT_EQ(describe(place), "queued, position 2, about 3.0 s");
  place.stage = Stage::loading;
  EXPECT_EQ(describe(place), "loading, position 2, about 3.0 s left");
  place.estimate.reset();
  place.passed = 12'300ms;
  EXPECT_EQ(describe(place), "loading, position 2, for 12.3 s now");
  place.stage = Stage::room;
  place.why = "its place is that of a\n\ndata: forged\x7f";
  EXPECT_EQ(describe(place), "waiting for room, position 2: its place is that of a??data: forged?");
  place.why = std::string(10'000, 'x');
  EXPECT_LT(describe(place).size(), 400u);
}

// --- nothing alive -------------------------------------------------------------------------------

TEST_F(WaitingTest, WhenAllIsDownItIsLetInAsSoonAsSomethingRecovers) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
routes: [{name: chat, targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m}]}]
gateway: {health: {probe_interval: 0}}
)");
  target("e1", "m")->force_open();
  target("e2", "m")->force_open();
  auto call = begin_waiting("chat");
  EXPECT_EQ(played_->opened(), 0);
  target("e2", "m")->force_close();
  auto result = finish(*call);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "from 2");
}

TEST_F(WaitingTest, TimeAloneLetsItInWhenABreakerRecovers) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], tries: 1}]
gateway: {breaker: {failures: 1, recovery_remote: 100ms, trials: 1},
          health: {probe_interval: 0}}
)");
  played_->once(1, Play::refuse(broken()));
  EXPECT_FALSE(dispatch("chat"));
  EXPECT_EQ(breaker("e1", "m"), BreakerState::open);
  // One trial at a time: the others wait for it.
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(begin("chat"));
  for (auto& call : calls) finish_and_drop(*call);
  EXPECT_EQ(breaker("e1", "m"), BreakerState::closed);
  EXPECT_EQ(played_->opened(), 6);
}

TEST_F(WaitingTest, NothingComesBackInTime) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], queue_timeout: 20ms}]
gateway: {breaker: {failures: 1, recovery_remote: 10s}, health: {probe_interval: 0}}
)");
  target("e1", "m")->force_open();
  auto result = dispatch("chat");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_NE(result.error().message.find("can be reached"), std::string::npos);
  EXPECT_EQ(result.error().retry_after, 2s);
  // With a time at which it is tried again, that is what is said.
  target("e1", "m")->force_close();
  played_->once(1, Play::refuse(broken()));
  EXPECT_FALSE(dispatch("chat"));
  result = dispatch("chat");
  ASSERT_FALSE(result);
  ASSERT_TRUE(result.error().retry_after);
  EXPECT_GE(*result.error().retry_after, 9s);
  EXPECT_LE(*result.error().retry_after, 13s);
}

TEST_F(WaitingTest, WhatFailedBeforeIsTriedAgainWhenNothingElseIsLeft) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1', capacity: 1}
  - {name: e2, binding: openai, url: 'http://h:2', capacity: 1}
routes:
  - {name: chat, targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m, group: 1}]}
gateway: {health: {probe_interval: 0}}
)");
  target("e1", "m")->force_open();
  auto held = dispatch("chat");  // the place of e2
  ASSERT_TRUE(held);
  target("e1", "m")->force_close();
  played_->once(1, Play::refuse(broken()));
  auto call = begin_waiting("chat");  // for e2
  EXPECT_EQ(played_->opened(1), 1);
  target("e2", "m")->force_open();
  auto result = finish(*call);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "from 1");
  *held = Dispatched{};
}

// --- routes that change --------------------------------------------------------------------------

TEST_F(WaitingTest, RequestsUnderWayOutliveTheirRoute) {
  configure(kOnePlace);
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  auto old = endpoint("e1");
  configure("{gateway: {health: {probe_interval: 0}}}");
  EXPECT_TRUE(old->closed());
  EXPECT_EQ(old->in_flight(), 1u);
  EXPECT_EQ(held->route->name(), "chat");
  *held = Dispatched{};
  EXPECT_EQ(old->in_flight(), 0u);
  EXPECT_EQ(dispatch("chat").error().code, ErrorCode::not_found);
}

TEST_F(WaitingTest, WhoWaitsFollowsTheRouteToItsNewEndpoints) {
  auto [held, calls] = three_behind_one();
  ASSERT_TRUE(held);
  // The old endpoint goes while its place is taken.
  configure(R"(
endpoints: [{name: e2, binding: openai, url: 'http://h:2', capacity: 1}]
routes: [{name: chat, targets: [{endpoint: e2, model: m}], queue_limit: 3}]
gateway: {health: {probe_interval: 0}}
)");
  for (std::size_t i = 0; i < calls.size(); ++i) {
    auto result = finish(*calls[i], 3s);
    ASSERT_TRUE(result) << result.error().describe();
    EXPECT_EQ(text(result), "from 2");
    EXPECT_EQ(played_->opened(2), static_cast<int>(i) + 1);  // in their order
  }
  *held = Dispatched{};
}

TEST_F(WaitingTest, WhoWaitsFollowsTheRouteToItsNewQueue) {
  auto [held, calls] = three_behind_one();
  ASSERT_TRUE(held);
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 1},
            {name: e2, binding: openai, url: 'http://h:2', capacity: 1}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m}],
          queue_limit: 30}]
gateway: {health: {probe_interval: 0}}
)");
  finish_all(calls);
  EXPECT_EQ(played_->opened(2), 3);
  *held = Dispatched{};
}

TEST_F(WaitingTest, WhoWaitsForARouteThatIsNoMoreStillGetsItsEndpoint) {
  configure(kOnePlace);
  auto held = dispatch("chat");
  ASSERT_TRUE(held);
  auto call = begin_waiting("chat");
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 1}]
gateway: {health: {probe_interval: 0}}
)");
  *held = Dispatched{};
  finish_and_drop(*call);
}

TEST_F(WaitingTest, ChangesUnderLoadLoseNobody) {
  const char* yaml = R"(
endpoints:
  - {{name: e1, binding: openai, url: 'http://h:{}', capacity: 2}}
  - {{name: e2, binding: openai, url: 'http://h:{}', capacity: 3}}
routes: [{{name: chat, targets: [{{endpoint: e1, model: m}}, {{endpoint: e2, model: m}}]}}]
gateway: {{health: {{probe_interval: 0}}}}
)";
  configure(fmt::format(fmt::runtime(yaml), 1, 2));
  struct Load {
    Dispatcher* dispatcher;
    std::atomic<int> good{0}, bad{0};
    static net::Task<void> client(Load* load, inference::Request request) {
      Caller caller;
      for (int i = 0; i < 30; ++i) {
        request.model = ModelName("chat");
        Dispatched result;
        auto opened = co_await load->dispatcher->open(request, caller, result);
        if (!opened) {
          ++load->bad;
          continue;
        }
        ++load->good;
        (void)co_await net::sleep_for(500us);
        result.place.report(Outcome::success);
      }
    }
  } load{.dispatcher = &dispatcher_};
  std::vector<std::unique_ptr<net::TaskGroup>> groups;
  for (std::size_t shard = 0; shard < 2; ++shard) {
    auto& on = loops_.shards().serving(shard);
    groups.push_back(std::make_unique<net::TaskGroup>(on));
    loops_.call(on, [&] {
      for (int i = 0; i < 8; ++i) groups[shard]->spawn(Load::client(&load, {.stream = true}));
    });
  }
  for (int i = 0; i < 20; ++i) {
    std::uint16_t first = static_cast<std::uint16_t>(1 + i % 4);
    configure(fmt::format(fmt::runtime(yaml), first, first + 4));
    std::this_thread::sleep_for(3ms);
  }
  EXPECT_TRUE(eventually([&] { return load.good + load.bad == 16 * 30; }, 60s));
  EXPECT_EQ(load.bad, 0);
  for (std::size_t shard = 0; shard < 2; ++shard) {
    loops_.run(loops_.shards().serving(shard), groups[shard]->close());
  }
}

// Many clients on two threads, more than there are places, some of whom leave.
TEST_F(WaitingTest, PlacesAreNeverGivenTwiceNorLost) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1', capacity: 2}
  - {name: e2, binding: openai, url: 'http://h:2', capacity: 1}
routes: [{name: chat, balance: least_busy,
          targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m}]}]
gateway: {health: {probe_interval: 0}}
)");
  std::vector<std::unique_ptr<Call>> stay, go;
  for (std::size_t i = 0; i < 40; ++i) {
    stay.push_back(begin("chat", i % 2));
    go.push_back(begin("chat", (i / 2) % 2));
  }
  for (auto& call : go) (void)leave(*call);
  finish_all(stay);
  EXPECT_LE(played_->living(1)->most, 2);
  EXPECT_LE(played_->living(2)->most, 1);
}

}  // namespace
}  // namespace corral::gateway::flight_test
