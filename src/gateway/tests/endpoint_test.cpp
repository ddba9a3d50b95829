// The endpoint and the dispatcher on real event loops.
#include "gateway/endpoint.hpp"

#include <gtest/gtest.h>

#include "gateway/dispatcher.hpp"
#include "gateway/tests/fakes.hpp"
#include "net/tests/test_support.hpp"

namespace corral::gateway {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;

using SharedEndpoint = std::shared_ptr<Endpoint>;

// What several coroutines report, from any thread.
class Notes {
 public:
  void add(std::string text) {
    std::lock_guard lock(mutex_);
    lines_.push_back(std::move(text));
  }
  std::vector<std::string> all() const {
    std::lock_guard lock(mutex_);
    return lines_;
  }
  std::size_t count() const { return all().size(); }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

// Takes a place, notes that under `name`, and gives it back at once.
net::Task<void> visit(SharedEndpoint endpoint, Notes* notes, std::string name) {
  auto lease = co_await endpoint->acquire();
  if (lease)
    notes->add(name);
  else
    notes->add(name + ": " + std::string(to_string(lease.error().code)));
}

net::Task<Result<Lease>> take(SharedEndpoint endpoint) { co_return co_await endpoint->acquire(); }

class EndpointTest : public testing::Test {
 protected:
  ~EndpointTest() override { finish(); }

  SharedEndpoint make(std::size_t capacity, std::size_t queue, bool managed = false) {
    bindings::EndpointAddress address;
    address.target.port = ++port_;
    return std::make_shared<Endpoint>(EndpointName("e"), binding_, std::move(address),
                                      EndpointLimits{capacity, queue}, managed);
  }
  net::Shard& shard() { return loops_.shards().serving(0); }
  Lease lease(const SharedEndpoint& endpoint) {
    auto taken = loops_.run(shard(), take(endpoint));
    EXPECT_TRUE(taken);
    return taken ? std::move(*taken) : Lease();
  }
  // Spawns visitors one after the other, each only when the one before waits.
  void visitors(const SharedEndpoint& endpoint, int count) {
    for (int i = 1; i <= count; ++i) {
      group().spawn(visit(endpoint, &notes_, std::to_string(i)));
      EXPECT_TRUE(eventually([&] { return endpoint->load().waiting == std::size_t(i); }));
    }
  }
  net::TaskGroup& group() {
    if (!group_) group_ = std::make_unique<net::TaskGroup>(shard());
    return *group_;
  }
  void finish() {
    if (group_) loops_.run(shard(), group_->close());
    loops_.end();
    group_.reset();
  }

  Loops loops_;
  PlayedBinding binding_;
  Notes notes_;
  std::unique_ptr<net::TaskGroup> group_;
  std::uint16_t port_ = 0;
};

TEST_F(EndpointTest, WaitersComeInInOrder) {
  auto endpoint = make(1, 10);
  Lease held = lease(endpoint);
  EXPECT_EQ(held.endpoint(), endpoint);
  visitors(endpoint, 4);
  EXPECT_EQ(notes_.count(), 0u);
  held.give_back();
  EXPECT_FALSE(held);
  held.give_back();  // twice is nothing
  EXPECT_TRUE(eventually([&] { return notes_.count() == 4; }));
  EXPECT_EQ(notes_.all(), (std::vector<std::string>{"1", "2", "3", "4"}));
  EXPECT_TRUE(eventually([&] { return endpoint->load().in_flight == 0; }));
  EXPECT_EQ(endpoint->load().served, 5u);
  EXPECT_EQ(endpoint->load().waiting, 0u);
}

TEST_F(EndpointTest, AFullQueueRefusesAtOnce) {
  auto endpoint = make(1, 1);
  Lease held = lease(endpoint);
  visitors(endpoint, 1);
  auto refused = loops_.run(shard(), take(endpoint));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  ASSERT_TRUE(refused.error().retry_after);
  EXPECT_GT(refused.error().retry_after->count(), 0);
  held.give_back();
  EXPECT_TRUE(eventually([&] { return notes_.count() == 1; }));
}

TEST_F(EndpointTest, WhoLeavesTheQueueLosesNoPlace) {
  auto endpoint = make(1, 10);
  Lease held = lease(endpoint);
  net::TaskGroup leaving(shard());
  leaving.spawn(visit(endpoint, &notes_, "leaver"));
  EXPECT_TRUE(eventually([&] { return endpoint->load().waiting == 1; }));
  group().spawn(visit(endpoint, &notes_, "stayer"));
  EXPECT_TRUE(eventually([&] { return endpoint->load().waiting == 2; }));
  loops_.run(shard(), leaving.close());
  EXPECT_EQ(notes_.all(), std::vector<std::string>{"leaver: cancelled"});
  EXPECT_EQ(endpoint->load().waiting, 1u);
  held.give_back();
  EXPECT_TRUE(eventually([&] { return notes_.count() == 2; }));
  EXPECT_EQ(notes_.all().back(), "stayer");
  EXPECT_TRUE(eventually([&] { return endpoint->load().in_flight == 0; }));
  finish();
}

TEST_F(EndpointTest, ClosingSendsTheWaitersElsewhere) {
  auto endpoint = make(1, 10);
  Lease held = lease(endpoint);
  visitors(endpoint, 2);
  endpoint->close();
  EXPECT_TRUE(endpoint->closed());
  EXPECT_TRUE(eventually([&] { return notes_.count() == 2; }));
  EXPECT_EQ(notes_.all(), (std::vector<std::string>{"1: conflict", "2: conflict"}));
  auto late = loops_.run(shard(), take(endpoint));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::conflict);
  EXPECT_EQ(endpoint->load().in_flight, 1u);  // the lease outlives the closing
  held.give_back();
  EXPECT_EQ(endpoint->load().in_flight, 0u);
}

TEST_F(EndpointTest, WaitingTooLongIsATimeout) {
  auto endpoint = make(1, 10);
  Lease held = lease(endpoint);
  visitors(endpoint, 1);
  endpoint->expire(1h);
  EXPECT_EQ(endpoint->load().waiting, 1u);
  endpoint->expire(-1ms);  // any wait at all
  EXPECT_TRUE(eventually([&] { return notes_.count() == 1; }));
  EXPECT_EQ(notes_.all(), std::vector<std::string>{"1: timeout"});
  EXPECT_EQ(endpoint->load().in_flight, 1u);
}

TEST_F(EndpointTest, ClosesWhenIdleOnly) {
  auto endpoint = make(1, 10);
  EXPECT_FALSE(endpoint->close_if_idle(1h));
  Lease held = lease(endpoint);
  EXPECT_FALSE(endpoint->close_if_idle(0ms));
  held.give_back();
  EXPECT_TRUE(endpoint->close_if_idle(0ms));
  EXPECT_TRUE(endpoint->closed());
}

TEST_F(EndpointTest, LeasesMove) {
  auto endpoint = make(2, 0);
  Lease first = lease(endpoint);
  Lease second = lease(endpoint);
  EXPECT_EQ(endpoint->load().in_flight, 2u);
  first = std::move(second);  // gives the first place back
  EXPECT_EQ(endpoint->load().in_flight, 1u);
  Lease third(std::move(first));
  EXPECT_TRUE(third);
  EXPECT_EQ(endpoint->load().in_flight, 1u);
  third = Lease();
  EXPECT_EQ(endpoint->load().in_flight, 0u);
}

// Many visitors on several shards, some of whom leave; never more inside than there are places.
struct Crowd {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> served{0};
  std::atomic<int> ended{0};
};

net::Task<void> stay(SharedEndpoint endpoint, Crowd* crowd, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    auto lease = co_await endpoint->acquire();
    if (!lease) break;
    int now = ++crowd->inside;
    int most = crowd->most;
    while (now > most && !crowd->most.compare_exchange_weak(most, now)) {}
    auto slept = co_await net::sleep_for(100us);
    --crowd->inside;
    if (!slept) break;
    ++crowd->served;
  }
  ++crowd->ended;
}

TEST(EndpointCrowd, KeepsTheCapacityAcrossThreads) {
  Loops loops(3);
  PlayedBinding binding;
  auto endpoint = std::make_shared<Endpoint>(
      EndpointName("e"), binding, bindings::EndpointAddress{}, EndpointLimits{3, 1000}, false);
  Crowd crowd;
  std::vector<std::unique_ptr<net::TaskGroup>> stayers, leavers;
  for (std::size_t s = 0; s < 3; ++s) {
    auto& shard = loops.shards().serving(s);
    stayers.push_back(std::make_unique<net::TaskGroup>(shard));
    leavers.push_back(std::make_unique<net::TaskGroup>(shard));
    for (int i = 0; i < 10; ++i) stayers.back()->spawn(stay(endpoint, &crowd, 10));
    for (int i = 0; i < 10; ++i) leavers.back()->spawn(stay(endpoint, &crowd, 1000));
  }
  EXPECT_TRUE(eventually([&] { return crowd.served > 30; }, 30s));
  for (std::size_t s = 0; s < 3; ++s) loops.run(loops.shards().serving(s), leavers[s]->close());
  EXPECT_TRUE(eventually([&] { return crowd.ended == 60; }, 60s));
  EXPECT_LE(crowd.most, 3);
  EXPECT_GE(crowd.served, 300);
  EXPECT_EQ(endpoint->load().in_flight, 0u);
  EXPECT_EQ(endpoint->load().waiting, 0u);
  for (std::size_t s = 0; s < 3; ++s) loops.run(loops.shards().serving(s), stayers[s]->close());
  loops.end();
}

// Knows one model; `ensure` gives out the prepared endpoints in turn.
class PlayedSource final : public EndpointSource {
 public:
  Target ready(const ModelName& model, inference::Operation) const override {
    return model.str() == "m" ? now : Target{};
  }
  net::Task<Result<Target>> ensure(ModelName model, inference::Operation) override {
    ++ensured;
    if (model.str() != "m") co_return std::unexpected(fail(ErrorCode::not_found, "no such model"));
    if (!next.empty()) {
      now = next.front();
      next.pop_front();
    }
    co_return now;
  }

  Target now;
  std::deque<Target> next;
  int ensured = 0;
};

class DispatcherTest : public EndpointTest {
 protected:
  static net::Task<Result<Dispatched>> open(Dispatcher* dispatcher, inference::Request* request) {
    co_return co_await dispatcher->open(*request, {.connect = 7ms});
  }
  Result<Dispatched> dispatch(std::string model = "m") {
    request_.model = ModelName(std::move(model));
    return loops_.run(shard(), open(&dispatcher_, &request_));
  }

  PlayedSource source_;
  Dispatcher dispatcher_{source_};
  inference::Request request_;
};

TEST_F(DispatcherTest, UsesWhatIsReady) {
  source_.now = {make(1, 0), "backend-name"};
  auto call = dispatch();
  ASSERT_TRUE(call);
  EXPECT_EQ(call->attempts, 1u);
  EXPECT_EQ(source_.ensured, 0);
  EXPECT_EQ(request_.backend_model, "backend-name");
  EXPECT_EQ(binding_.model(), "backend-name");
  EXPECT_EQ(binding_.timeouts().connect, 7ms);
  EXPECT_EQ(source_.now.endpoint->load().in_flight, 1u);
  EXPECT_GE(call->waited.count(), 0);
  EXPECT_TRUE(call->answer);
  *call = Dispatched{};
  EXPECT_EQ(source_.now.endpoint->load().in_flight, 0u);
}

TEST_F(DispatcherTest, MakesReadyWhatIsNot) {
  source_.next = {{make(1, 0), "b"}};
  EXPECT_TRUE(dispatch());
  EXPECT_EQ(source_.ensured, 1);
  auto unknown = dispatch("other");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
}

TEST_F(DispatcherTest, AClosedEndpointIsReplaced) {
  source_.now = {make(1, 0), "b"};
  source_.now.endpoint->close();
  source_.next = {{make(1, 0), "b"}};
  auto call = dispatch();
  ASSERT_TRUE(call);
  EXPECT_EQ(binding_.port(), 2);
  EXPECT_EQ(call->attempts, 1u);
}

TEST_F(DispatcherTest, ClosedWhileWaitingIsTriedAgain) {
  source_.now = {make(1, 5), "b"};
  source_.next = {{make(1, 0), "b"}};
  auto first = source_.now.endpoint;
  Lease held = lease(first);
  request_.model = ModelName("m");
  auto call = std::async(std::launch::async, [this] { return dispatch(); });
  EXPECT_TRUE(eventually([&] { return first->load().waiting == 1; }));
  first->close();
  auto result = call.get();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->attempts, 2u);
  EXPECT_EQ(binding_.port(), 2);
}

TEST_F(DispatcherTest, ClosedAgainAndAgainIsUnavailable) {
  for (int i = 0; i < 5; ++i) {
    source_.next.push_back({make(1, 0), "b"});
    source_.next.back().endpoint->close();
  }
  auto call = dispatch();
  ASSERT_FALSE(call);
  EXPECT_EQ(call.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(call.error().retry_after);
  EXPECT_EQ(source_.ensured, 3);
  EXPECT_EQ(binding_.opened(), 0);
}

TEST_F(DispatcherTest, AnInstanceOfOursThatRefusesIsTriedAgain) {
  source_.now = {make(1, 0, true), "b"};
  auto first = source_.now.endpoint;
  source_.next = {{make(1, 0, true), "b"}};
  binding_.refuse(fail(ErrorCode::unavailable, "connection refused"));
  auto call = dispatch();
  ASSERT_TRUE(call) << call.error().describe();
  EXPECT_EQ(call->attempts, 2u);
  EXPECT_TRUE(first->closed());
  EXPECT_EQ(first->load().in_flight, 0u);
  EXPECT_EQ(binding_.port(), 2);
}

TEST_F(DispatcherTest, ThreeTriesAndNoMore) {
  for (int i = 0; i < 5; ++i) {
    source_.next.push_back({make(1, 0, true), "b"});
    binding_.refuse(fail(ErrorCode::unavailable, "refused " + std::to_string(i)));
  }
  auto call = dispatch();
  ASSERT_FALSE(call);
  EXPECT_EQ(call.error().message, "refused 2");
  EXPECT_EQ(binding_.opened(), 3);
}

TEST_F(DispatcherTest, OthersAreNotTriedAgain) {
  source_.now = {make(1, 0, false), "b"};  // not ours
  binding_.refuse(fail(ErrorCode::unavailable, "down"));
  EXPECT_EQ(dispatch().error().message, "down");
  EXPECT_FALSE(source_.now.endpoint->closed());
  EXPECT_EQ(binding_.opened(), 1);

  source_.now = {make(1, 0, true), "b"};  // ours, but the request may have had an effect
  binding_.refuse(fail(ErrorCode::upstream, "cut"));
  EXPECT_EQ(dispatch().error().message, "cut");
  EXPECT_FALSE(source_.now.endpoint->closed());
  EXPECT_EQ(binding_.opened(), 2);
  EXPECT_EQ(source_.now.endpoint->load().in_flight, 0u);
}

TEST_F(DispatcherTest, AFullQueueIsNotTriedAgain) {
  source_.now = {make(1, 0, true), "b"};
  Lease held = lease(source_.now.endpoint);
  auto call = dispatch();
  ASSERT_FALSE(call);
  EXPECT_EQ(call.error().code, ErrorCode::unavailable);
  EXPECT_EQ(binding_.opened(), 0);
}

net::Task<void> dispatch_and_note(Dispatcher* dispatcher, inference::Request* request,
                                  Notes* notes) {
  auto call = co_await dispatcher->open(*request, {});
  notes->add(call ? "opened" : std::string(to_string(call.error().code)));
}

TEST_F(DispatcherTest, LeavesTheQueueWhenCancelled) {
  source_.now = {make(1, 5), "b"};
  Lease held = lease(source_.now.endpoint);
  request_.model = ModelName("m");
  group().spawn(dispatch_and_note(&dispatcher_, &request_, &notes_));
  EXPECT_TRUE(eventually([&] { return source_.now.endpoint->load().waiting == 1; }));
  loops_.run(shard(), group().close());
  EXPECT_EQ(notes_.all(), std::vector<std::string>{"cancelled"});
  EXPECT_EQ(source_.now.endpoint->load().waiting, 0u);
  EXPECT_EQ(binding_.opened(), 0);
}

}  // namespace
}  // namespace corral::gateway
