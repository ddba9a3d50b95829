#include "gateway/endpoint.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "gateway/placement.hpp"
#include "gateway/tests/fakes.hpp"

namespace corral::gateway::endpoint_test {
namespace {

using namespace std::chrono_literals;
using SharedEndpoint = std::shared_ptr<Endpoint>;

class EndpointTest : public testing::Test {
 protected:
  SharedEndpoint make(std::size_t capacity, bool managed = false) {
    bindings::EndpointAddress address;
    address.target.port = 7;
    return std::make_shared<Endpoint>(EndpointName("e"), binding_, std::move(address),
                                      EndpointOptions{capacity, managed, [this] { ++freed_; }});
  }
  PlayedBinding binding_;
  std::atomic<int> freed_{0};
};

TEST_F(EndpointTest, KnowsWhatItIs) {
  auto endpoint = make(3, true);
  EXPECT_EQ(endpoint->name().str(), "e");
  EXPECT_EQ(&endpoint->binding(), &binding_);
  EXPECT_EQ(endpoint->address().target.port, 7);
  EXPECT_TRUE(endpoint->managed());
  EXPECT_EQ(endpoint->capacity(), 3u);
  EXPECT_TRUE(endpoint->up());
  EXPECT_EQ(endpoint->share(), 1.0);
}

TEST_F(EndpointTest, LeasesAreGivenBackOnceAndSaidToBeFree) {
  auto endpoint = make(1);
  Lease held = endpoint->try_acquire();
  ASSERT_TRUE(held);
  EXPECT_EQ(held.endpoint(), endpoint);
  EXPECT_FALSE(endpoint->has_place());
  EXPECT_FALSE(endpoint->try_acquire());
  EXPECT_EQ(endpoint->in_flight(), 1u);
  held.give_back();
  EXPECT_FALSE(held);
  held.give_back();  // twice is nothing
  EXPECT_EQ(freed_, 1);
  EXPECT_EQ(endpoint->in_flight(), 0u);
  EXPECT_TRUE(endpoint->has_place());
  auto load = endpoint->load();
  EXPECT_EQ(load.in_flight, 0u);
  EXPECT_EQ(load.capacity, 1u);
  EXPECT_EQ(load.served, 1u);
  endpoint->try_acquire().give_back_unused();
  EXPECT_EQ(endpoint->load().served, 1u);
}

TEST_F(EndpointTest, LeasesMove) {
  auto endpoint = make(2);
  Lease first = endpoint->try_acquire();
  Lease second = endpoint->try_acquire();
  EXPECT_EQ(endpoint->load().in_flight, 2u);
  first = std::move(second);  // gives the first place back
  EXPECT_EQ(endpoint->load().in_flight, 1u);
  Lease third(std::move(first));
  EXPECT_TRUE(third);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): what it is then is part of its contract
  third = Lease();
  EXPECT_EQ(endpoint->load().in_flight, 0u);
}

TEST_F(EndpointTest, AClosedOneTakesNobodyAndLeasesOutliveTheClosing) {
  auto endpoint = make(2);
  Lease held = endpoint->try_acquire();
  endpoint->close();
  EXPECT_TRUE(endpoint->closed());
  EXPECT_FALSE(endpoint->has_place());
  EXPECT_FALSE(endpoint->may_have_place());
  EXPECT_FALSE(endpoint->try_acquire());
  EXPECT_EQ(endpoint->in_flight(), 1u);
  std::weak_ptr<Endpoint> watched = endpoint;
  endpoint.reset();
  EXPECT_FALSE(watched.expired());
  held.give_back();
  EXPECT_TRUE(watched.expired());
}

TEST_F(EndpointTest, ClosesWhenIdleOnly) {
  auto endpoint = make(1);
  EXPECT_FALSE(endpoint->close_if_idle(1h));
  Lease held = endpoint->try_acquire();
  EXPECT_FALSE(endpoint->close_if_idle(0ms));
  held.give_back();
  EXPECT_TRUE(endpoint->close_if_idle(0ms));
  EXPECT_TRUE(endpoint->closed());
}

TEST_F(EndpointTest, OneThatComesBackGetsAShareOnly) {
  auto endpoint = make(10);
  endpoint->set_health(true, 0.2);
  Lease first = endpoint->try_acquire();
  Lease second = endpoint->try_acquire();
  EXPECT_FALSE(endpoint->has_place());
  EXPECT_FALSE(endpoint->may_have_place());
  EXPECT_FALSE(endpoint->try_acquire());
  endpoint->set_health(true, 0.3);
  EXPECT_TRUE(endpoint->may_have_place());
  endpoint->set_health(false, 1.0);
  EXPECT_FALSE(endpoint->up());
  EXPECT_TRUE(endpoint->try_acquire());  // whether it is up is for the choosing to look at
}

TEST_F(EndpointTest, KeepsTheCapacityAcrossThreads) {
  auto endpoint = make(3);
  std::atomic<int> inside{0}, most{0}, served{0};
  auto visit = [&] {
    for (int i = 0; i < 2000; ++i) {
      Lease lease = endpoint->try_acquire();
      if (!lease) continue;
      int now = ++inside;
      int seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {}
      ++served;
      --inside;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(visit);
  for (auto& thread : threads) thread.join();
  EXPECT_LE(most, 3);
  EXPECT_GT(served, 0);
  EXPECT_EQ(endpoint->in_flight(), 0u);
  EXPECT_EQ(endpoint->load().served, static_cast<std::uint64_t>(served));
  EXPECT_EQ(freed_, served);
}

// --- placements ----------------------------------------------------------------------------------

class PlacementTest : public EndpointTest {
 protected:
  static TargetState::Time now() { return std::chrono::steady_clock::now(); }
  Placement place() { return Placement(state_, state_->try_pass(now()), endpoint_->try_acquire()); }
  static BreakerPolicy policy() {
    BreakerPolicy policy;
    policy.consecutive_failures = 1;
    policy.recovery = 0ms;
    policy.recovery_max = 0ms;
    policy.trials = 2;
    policy.trial_successes = 2;
    return policy;
  }
  void open_breaker() { place().report(Outcome::server_error); }
  unsigned trials() const { return state_->view(now()).trials_under_way; }

  SharedEndpoint endpoint_ = make(2);
  std::shared_ptr<TargetState> state_ =
      std::make_shared<TargetState>("e", "m", policy(), TargetState::Listener());
};

TEST_F(PlacementTest, HoldsAPlaceUntilItGoes) {
  EXPECT_FALSE(Placement());
  {
    Placement held = place();
    EXPECT_TRUE(held);
    EXPECT_EQ(&held.endpoint(), endpoint_.get());
    EXPECT_EQ(held.state(), state_);
    EXPECT_FALSE(held.trial());
    EXPECT_EQ(endpoint_->in_flight(), 1u);
    held.report(Outcome::success);
    held.report(Outcome::server_error);  // only the first counts
    EXPECT_EQ(endpoint_->in_flight(), 1u);
  }
  EXPECT_EQ(endpoint_->in_flight(), 0u);
  EXPECT_EQ(state_->successes(), 1u);
  EXPECT_EQ(state_->failures(), 0u);
}

// What was answered teaches how long such work takes; what was not, nothing.
TEST_F(PlacementTest, AnswersTeachHowLongWorkTakes) {
  const Work work{inference::Operation::chat, true, 1000};
  {
    Placement failed = place();
    failed.begin(work, now());
    failed.report(Outcome::cancelled);
    Placement silent = place();
    silent.begin(work, now());
    std::vector<double> left;
    EXPECT_FALSE(state_->append_left(now(), left));  // two are under way, nothing is known of them
  }
  EXPECT_FALSE(state_->expect(work));
  EXPECT_TRUE(state_->learned().empty());
  {
    Placement held = place();
    held.begin(work, now() - 3s);
    held.begin(work, now());  // the first time counts
    Placement moved(std::move(held));
    held = std::move(moved);
    held.report(Outcome::success);
  }
  ASSERT_TRUE(state_->expect(work));
  EXPECT_GE(*state_->expect(work), 3s);
  ASSERT_EQ(state_->learned().size(), 1u);
  EXPECT_EQ(state_->learned()[0].requests, 1u);
  std::vector<double> left;
  EXPECT_TRUE(state_->append_left(now(), left));
  EXPECT_TRUE(left.empty());  // each was counted once
}

TEST_F(PlacementTest, TrialsTeachNothing) {
  open_breaker();
  Placement trial = place();
  trial.begin({}, now());
  ASSERT_TRUE(trial.trial());
  trial.report(Outcome::success);
  trial.give_back();
  EXPECT_TRUE(state_->learned().empty());
}

TEST_F(PlacementTest, TrialsAreGivenBackWithoutAReport) {
  open_breaker();
  {
    Placement held = place();
    ASSERT_TRUE(held);
    EXPECT_TRUE(held.trial());
    EXPECT_EQ(trials(), 1u);
  }
  EXPECT_EQ(trials(), 0u);
  Placement one = place();
  one.give_back();
  EXPECT_FALSE(one);
  EXPECT_EQ(trials(), 0u);
  one = place();
  one = place();  // gives the first one back
  EXPECT_EQ(trials(), 1u);
  EXPECT_EQ(endpoint_->in_flight(), 1u);
  one.model = "there";
  Placement other(std::move(one));
  EXPECT_EQ(other.model, "there");
  EXPECT_EQ(trials(), 1u);
  other.report(Outcome::cancelled);
  EXPECT_EQ(trials(), 0u);
  EXPECT_EQ(state_->view(now()).state, BreakerState::half_open);
}

}  // namespace
}  // namespace corral::gateway::endpoint_test
