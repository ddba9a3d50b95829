// The queue of a route and the room of all queues, driven by hand.
#include "gateway/route_queue.hpp"

#include <gtest/gtest.h>

#include "gateway/route_state.hpp"
#include "gateway/tests/fakes.hpp"
#include "gateway/waiting_room.hpp"
#include "net/tests/test_support.hpp"

namespace corral::gateway::route_queue_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;
using Kind = QueueSignal::Kind;
using Time = RouteQueue::Time;

class RouteQueueTest : public testing::Test {
 protected:
  // Places are taken from an endpoint with one of them.
  QueueRequest request(std::uint64_t principal = 1, Time deadline = Time::max()) {
    QueueRequest wanted;
    wanted.principal = principal;
    wanted.deadline = deadline;
    wanted.take = [this](Time) -> std::optional<Placement> {
      if (empty_grants_) return Placement();
      Lease lease = endpoint_->try_acquire();
      if (!lease) return std::nullopt;
      return Placement(nullptr, {}, std::move(lease));
    };
    return wanted;
  }
  static net::Task<QueueSignal> wait_for(Turn* turn) { co_return co_await turn->wait(); }
  QueueSignal wait(Turn& turn) { return loops_.run(loops_.shards().serving(0), wait_for(&turn)); }

  Loops loops_;
  PlayedBinding binding_;
  std::shared_ptr<Endpoint> endpoint_ = std::make_shared<Endpoint>(
      EndpointName("e"), binding_, bindings::EndpointAddress{}, EndpointOptions{1, false, {}});
  bool empty_grants_ = false;
  Time now_ = std::chrono::steady_clock::now();
  RouteQueue queue_{3};
};

TEST_F(RouteQueueTest, GivesPlacesInTurn) {
  auto first = queue_.join(request(), now_);
  auto second = queue_.join(request(), now_);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->position(), 1u);
  EXPECT_EQ(second->position(), 2u);
  EXPECT_EQ(queue_.waiting(), 2u);
  queue_.pump(now_);
  EXPECT_EQ(queue_.waiting(), 1u);
  auto signal = wait(*first);  // it came while nobody waited for it
  ASSERT_EQ(signal.kind, Kind::granted);
  EXPECT_TRUE(*signal.place);
  queue_.pump(now_);
  EXPECT_EQ(queue_.waiting(), 1u);
  signal.place->give_back();
  queue_.pump(now_);
  EXPECT_EQ(wait(*second).kind, Kind::granted);
  EXPECT_EQ(queue_.waiting(), 0u);
  EXPECT_EQ(endpoint_->in_flight(), 0u);
}

TEST_F(RouteQueueTest, AGrantThatNobodyTakesGoesBack) {
  auto turn = queue_.join(request(), now_);
  queue_.pump(now_);
  EXPECT_EQ(endpoint_->in_flight(), 1u);
  turn.reset();
  EXPECT_EQ(endpoint_->in_flight(), 0u);
  EXPECT_EQ(queue_.waiting(), 0u);
}

TEST_F(RouteQueueTest, WhoIsToChooseAgainGetsAnEmptyPlace) {
  empty_grants_ = true;
  auto turn = queue_.join(request(), now_);
  queue_.pump(now_);
  auto signal = wait(*turn);
  ASSERT_EQ(signal.kind, Kind::granted);
  EXPECT_FALSE(*signal.place);
}

TEST_F(RouteQueueTest, EndsWithItsDeadline) {
  Lease held = endpoint_->try_acquire();
  auto turn = queue_.join(request(1, now_ + 1s), now_);
  queue_.tick(now_ + 999ms, true);
  EXPECT_EQ(queue_.waiting(), 1u);
  queue_.tick(now_ + 1s, true);
  EXPECT_EQ(queue_.waiting(), 0u);
  EXPECT_EQ(wait(*turn).kind, Kind::expired);
}

TEST_F(RouteQueueTest, IsFullAtItsLimitButForHigherPriorities) {
  std::vector<std::unique_ptr<Turn>> turns;
  for (int i = 0; i < 3; ++i) turns.push_back(queue_.join(request(), now_));
  EXPECT_EQ(queue_.limit(), 3u);
  EXPECT_EQ(queue_.join(request(), now_), nullptr);
  auto urgent = request(2);
  urgent.priority = config::Priority::high;
  auto high = queue_.join(std::move(urgent), now_);
  ASSERT_TRUE(high);
  EXPECT_EQ(wait(*turns.back()).kind, Kind::displaced);
  EXPECT_EQ(queue_.waiting(), 3u);
  auto patient = request(3);
  patient.priority = config::Priority::low;
  EXPECT_EQ(queue_.join(std::move(patient), now_), nullptr);
  queue_.pump(now_);
  auto signal = wait(*high);
  EXPECT_EQ(signal.kind, Kind::granted);
  signal.place->give_back();
}

TEST_F(RouteQueueTest, PrincipalsTakeTurns) {
  std::vector<std::unique_ptr<Turn>> turns;
  turns.push_back(queue_.join(request(1), now_));
  turns.push_back(queue_.join(request(1), now_));
  turns.push_back(queue_.join(request(2), now_));
  queue_.pump(now_);
  wait(*turns[0]).place->give_back();
  queue_.pump(now_);
  // The second one of the first principal comes after the first one of the other.
  wait(*turns[2]).place->give_back();
  EXPECT_EQ(queue_.waiting(), 1u);
}

TEST_F(RouteQueueTest, PositionsAreToldToThoseWhoAsk) {
  Lease held = endpoint_->try_acquire();
  auto silent = queue_.join(request(), now_);
  auto wanted = request();
  wanted.updates = true;
  auto curious = queue_.join(std::move(wanted), now_);
  queue_.tick(now_, false);
  queue_.tick(now_, true);
  queue_.tick(now_, true);  // the first one is not taken yet
  auto signal = wait(*curious);
  ASSERT_EQ(signal.kind, Kind::update);
  EXPECT_EQ(signal.where.position, 2u);
  EXPECT_FALSE(queue_.wait_of_newcomer(now_));  // nobody was served yet
  held.give_back();
  queue_.tick(now_, true);
  queue_.pump(now_);
  EXPECT_EQ(wait(*silent).kind, Kind::granted);
  queue_.pump(now_);
  EXPECT_EQ(wait(*curious).kind, Kind::granted);  // instead of a position
}

// What is under way and what waits before tell the wait; without that, how many were let in.
TEST_F(RouteQueueTest, WaitsAreToldByWhatWorkTakes) {
  Lease held = endpoint_->try_acquire();
  auto large = request();
  large.expected = 30s;
  auto first = queue_.join(std::move(large), now_);
  auto curious = request(2);
  curious.updates = true;
  curious.expected = 1s;
  auto second = queue_.join(std::move(curious), now_);
  queue_.tick(now_, true);
  EXPECT_FALSE(wait(*second).where.estimate);
  queue_.set_forecast(WaitForecast({5}, now_));
  queue_.tick(now_ + 1s, true);
  auto told = wait(*second).where;
  EXPECT_EQ(told.position, 2u);
  ASSERT_TRUE(told.estimate);
  EXPECT_NEAR(static_cast<double>(told.estimate->count()), 34'000, 50);
  auto newcomer = queue_.wait_of_newcomer(now_ + 1s);
  ASSERT_TRUE(newcomer);
  EXPECT_NEAR(static_cast<double>(newcomer->count()), 35'000, 50);
  queue_.set_forecast(WaitForecast());
  EXPECT_FALSE(queue_.wait_of_newcomer(now_));
}

net::Task<void> wait_and_note(Turn* turn, std::atomic<int>* kind) {
  auto signal = co_await turn->wait();
  *kind = static_cast<int>(signal.kind);
}

TEST_F(RouteQueueTest, WhoIsCancelledHasLeft) {
  Lease held = endpoint_->try_acquire();
  auto turn = queue_.join(request(), now_);
  std::atomic<int> kind{-1};
  auto& shard = loops_.shards().serving(0);
  net::TaskGroup group(shard);
  loops_.call(shard, [&] { group.spawn(wait_and_note(turn.get(), &kind)); });
  loops_.run(shard, group.close());
  EXPECT_EQ(kind, static_cast<int>(Kind::left));
  EXPECT_EQ(queue_.waiting(), 1u);
  // A place that is given to it now goes back.
  held.give_back();
  queue_.pump(now_);
  EXPECT_EQ(endpoint_->in_flight(), 0u);
  turn.reset();
  EXPECT_EQ(queue_.waiting(), 0u);
}

TEST_F(RouteQueueTest, TheRoomAsksThoseWhoWait) {
  WaitingRoom room;
  room.poke();
  room.tick();
  EXPECT_EQ(room.waiting(), 0u);
  auto route = std::make_shared<RouteState>("r", 2, false);
  Lease held = endpoint_->try_acquire();
  auto first = room.join(route, request(1, Time::max()));
  auto second = room.join(route, request(2, now_ + 1h));
  EXPECT_EQ(room.join(route, request(3)), nullptr);
  EXPECT_EQ(room.waiting(), 2u);
  room.tick();
  room.poke();
  EXPECT_EQ(room.waiting(), 2u);
  held.give_back();
  room.poke();
  EXPECT_EQ(room.waiting(), 1u);
  auto signal = wait(*first);
  ASSERT_EQ(signal.kind, Kind::granted);
  signal.place->give_back();
  room.tick();  // without a poke: time lets it in
  EXPECT_EQ(wait(*second).kind, Kind::granted);
  EXPECT_EQ(room.waiting(), 0u);
  // Who joins when there is a place waits for nothing.
  room.tick();
  auto third = room.join(route, request());
  EXPECT_EQ(wait(*third).kind, Kind::granted);
}

}  // namespace
}  // namespace corral::gateway::route_queue_test
