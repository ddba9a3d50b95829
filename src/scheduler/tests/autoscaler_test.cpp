// The autoscaler by hand: one deployment under loads that come and go, in virtual time.
#include "scheduler/core/autoscaler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace corral::scheduler::autoscaler_test {
namespace {

using namespace std::chrono_literals;
using Kind = ScaleDecision::Kind;

Autoscaler::Policy policy() {
  Autoscaler::Policy policy;
  policy.enabled = true;
  policy.wait_target = 200ms;
  policy.over_target = 10s;
  policy.cooldown_up = 20s;
  policy.cooldown_down = 30s;
  return policy;
}

class AutoscalerTest : public testing::Test {
 protected:
  AutoscalerTest() {
    sample_.in_flight = 4;
    sample_.places = 4;
    sample_.most = 4;
    sample_.room = true;
    sample_.memory = 0.2;
    sample_.cpu = 0.5;
  }
  std::optional<ScaleDecision> tick() {
    now_ += 1s;
    return scaler_.look(policy_, sample_, now_);
  }
  // The first decision within so long; what it says is done.
  std::optional<ScaleDecision> within(std::chrono::seconds time) {
    for (auto end = now_ + time; now_ < end;) {
      if (auto decision = tick()) {
        sample_.count = decision->to;
        return decision;
      }
    }
    return std::nullopt;
  }

  Autoscaler scaler_;
  Autoscaler::Policy policy_ = policy();
  ScaleSample sample_;
  sys::Steady now_{1000s};
};

TEST_F(AutoscalerTest, NothingHappensWhileAllIsWell) {
  sample_.wait = 50ms;
  sample_.first_token = 1s;
  sample_.tokens_per_second = 1.0;  // targets of 0 are not looked at
  EXPECT_FALSE(within(10min));
}

TEST_F(AutoscalerTest, OneMoreWhenTheWaitIsTooLongForLongEnough) {
  sample_.wait = 500ms;
  auto begun = now_;
  auto decision = within(60s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->kind, Kind::up);
  EXPECT_EQ(decision->signal, ScaleSignal::wait);
  EXPECT_EQ(decision->from, 1u);
  EXPECT_EQ(decision->to, 2u);
  EXPECT_EQ(decision->reason, "for 10s requests waited 500ms for a place, over 200ms");
  EXPECT_GE(now_ - begun, 10s);
  EXPECT_LE(now_ - begun, 12s);
}

TEST_F(AutoscalerTest, ABreakBeginsTheTimeAnew) {
  for (int i = 0; i < 10; ++i) {
    sample_.wait = 500ms;
    EXPECT_FALSE(within(9s));
    sample_.wait = 0ms;
    EXPECT_FALSE(within(9s));
  }
}

TEST_F(AutoscalerTest, OneSlowRequestIsNoReason) {
  policy_.over_target = 100s;
  sample_.wait = 0ms;
  tick();
  sample_.wait = 1s;
  tick();
  sample_.wait = 0ms;
  EXPECT_FALSE(within(10min));
}

TEST_F(AutoscalerTest, OtherMeasuresAskForMoreToo) {
  policy_.first_token_target = 2s;
  sample_.first_token = 3s;
  auto decision = within(20s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->signal, ScaleSignal::first_token);
  EXPECT_EQ(decision->reason, "for 10s the first token took 3s, over 2s");

  sample_.first_token = 1s;
  policy_.tokens_target = 20;
  sample_.tokens_per_second = 12.5;
  decision = within(60s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->signal, ScaleSignal::tokens);
  EXPECT_EQ(decision->reason, "for 10s each request got 12.5 tokens/s, under 20.0");

  sample_.tokens_per_second = 30;
  sample_.cpu = 0.95;
  decision = within(120s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->signal, ScaleSignal::cpu);
  EXPECT_TRUE(decision->reason.contains("of the processors' time was used, over 80 %"))
      << decision->reason;
  EXPECT_EQ(decision->to, 4u);
}

TEST_F(AutoscalerTest, BusyProcessorsAreNoReasonWithoutMemoryOrRequests) {
  sample_.cpu = 0.95;
  sample_.memory = 0.8;
  EXPECT_FALSE(within(5min));
  sample_.memory = 0.2;
  sample_.in_flight = 0;
  EXPECT_FALSE(within(5min));
}

TEST_F(AutoscalerTest, NotWhileAnotherIsStartedAndNotTooSoonAfterOne) {
  sample_.wait = 500ms;
  sample_.starting = 1;
  EXPECT_FALSE(within(60s));
  sample_.starting = 0;
  ASSERT_TRUE(within(2s));
  auto first = now_;
  ASSERT_TRUE(within(60s));
  EXPECT_GE(now_ - first, policy_.cooldown_up);
}

TEST_F(AutoscalerTest, WithoutMemoryThatIsSaidOnce) {
  sample_.wait = 500ms;
  sample_.room = false;
  auto decision = within(60s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->kind, Kind::held_back);
  EXPECT_EQ(decision->to, 1u);
  EXPECT_TRUE(decision->reason.ends_with("; but no memory is free for another instance"));
  EXPECT_FALSE(within(5min));
  sample_.room = true;
  decision = within(2s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->kind, Kind::up);
  // It is news again after a time in which all was well.
  sample_.wait = 0ms;
  sample_.in_flight = 8;  // as many as before: nothing goes
  EXPECT_FALSE(within(60s));
  sample_.room = false;
  sample_.wait = 500ms;
  decision = within(60s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->kind, Kind::held_back);
}

TEST_F(AutoscalerTest, NoMoreThanTheMost) {
  sample_.wait = 500ms;
  sample_.count = 4;
  EXPECT_FALSE(within(5min));
}

TEST_F(AutoscalerTest, OneFewerAtATimeWhenNothingIsAsked) {
  sample_.count = 3;
  sample_.places = 12;
  sample_.in_flight = 0;
  auto begun = now_;
  auto decision = within(60s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->kind, Kind::down);
  EXPECT_EQ(decision->signal, ScaleSignal::idle);
  EXPECT_EQ(decision->to, 2u);
  EXPECT_EQ(decision->reason, "nothing was asked of it for 30s");
  EXPECT_GE(now_ - begun, policy_.cooldown_down);
  auto first = now_;
  ASSERT_TRUE(within(60s));
  EXPECT_GE(now_ - first, policy_.cooldown_down);
  EXPECT_FALSE(within(10min));  // the least
}

TEST_F(AutoscalerTest, OneFewerWhenTheProcessorsAreLittleUsedAndOthersHavePlaces) {
  sample_.count = 2;
  sample_.places = 8;
  sample_.in_flight = 6;
  sample_.cpu = 0.1;
  EXPECT_FALSE(within(5min));  // one has four places
  sample_.in_flight = 2;
  auto decision = within(60s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->signal, ScaleSignal::cpu_low);
  EXPECT_EQ(decision->reason, "for 30s 10 % of the processors' time was used, under 30 %");
}

TEST_F(AutoscalerTest, ShortRequestsBetweenTwoLooksAreNotIdleness) {
  sample_.count = 2;
  sample_.places = 8;
  sample_.in_flight = 0;
  sample_.wait = 0ms;  // some ended since the last look
  sample_.cpu = 0.5;
  EXPECT_FALSE(within(10min));
}

TEST_F(AutoscalerTest, TheLoadThatBroughtAnInstanceKeepsIt) {
  policy_.first_token_target = 1s;
  sample_.first_token = 2s;
  sample_.cpu = 0.05;  // an accelerator does the work
  sample_.in_flight = 3;
  sample_.places = 4;
  ASSERT_TRUE(within(60s));
  sample_.places = 8;
  sample_.first_token = 500ms;
  EXPECT_FALSE(within(1h));
  sample_.in_flight = 1;
  auto decision = within(60s);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->kind, Kind::down);
}

TEST_F(AutoscalerTest, WhatWasMeasuredIsForgottenWhenNobodyAsks) {
  sample_.wait = 500ms;
  sample_.first_token = 1s;
  sample_.tokens_per_second = 5.0;
  tick();
  EXPECT_EQ(scaler_.wait_ms(), 500);
  EXPECT_EQ(scaler_.first_token_ms(), 1000);
  EXPECT_EQ(scaler_.tokens_per_second(), 5);
  sample_ = {};
  for (int i = 0; i < 60; ++i) tick();
  EXPECT_LT(*scaler_.wait_ms(), 1);
  EXPECT_FALSE(scaler_.first_token_ms());
  EXPECT_FALSE(scaler_.tokens_per_second());
  scaler_.reset();
  EXPECT_FALSE(scaler_.wait_ms());
}

TEST(AutoscalerNames, AreStable) {
  EXPECT_EQ(to_string(ScaleSignal::cpu_low), "cpu_low");
  EXPECT_EQ(to_string(ScaleSignal::cpu), "cpu");
  EXPECT_EQ(to_string(ScaleSignal::tokens), "tokens");
  EXPECT_EQ(to_string(ScaleSignal::first_token), "first_token");
  EXPECT_EQ(to_string(ScaleSignal::wait), "wait");
  EXPECT_EQ(to_string(ScaleSignal::idle), "idle");
  EXPECT_EQ(to_string(Kind::up), "up");
  EXPECT_EQ(to_string(Kind::down), "down");
  EXPECT_EQ(to_string(Kind::held_back), "held_back");
}

// --- properties ----------------------------------------------------------------------------------

// A model whose requests take a second each, at engines that take a while to start, on a host with
// memory for some.
class ScaledWorld {
 public:
  ScaledWorld(Autoscaler::Policy policy, std::mt19937_64& random)
      : policy_(std::move(policy)),
        least_(1 + static_cast<unsigned>(random() % 2)),
        most_(least_ + static_cast<unsigned>(random() % 6)),
        fitting_(least_ + static_cast<unsigned>(random() % 8)),
        start_(1 + static_cast<int>(random() % 15)),
        slots_(1 + static_cast<unsigned>(random() % 4)),
        on_accelerator_(random() % 2 == 0) {
    ready_ = least_;
  }

  void second(double load) {
    now_ += 1s;
    if (coming_ > 0 && --coming_in_ == 0) {
      ready_ += coming_;
      coming_ = 0;
    }
    ScaleSample sample = measure(load);
    auto decision = scaler_.look(policy_, sample, now_);
    ASSERT_LE(ready_ + coming_, std::min(most_, fitting_));
    ASSERT_GE(ready_ + coming_, least_);
    if (!decision || decision->kind == Kind::held_back) return;
    ++changes;
    if (decision->kind == Kind::up) {
      ASSERT_EQ(coming_, 0u);
      ASSERT_TRUE(!last_up_ || now_ - *last_up_ >= policy_.cooldown_up);
      last_up_ = last_change_ = now_;
      coming_ = 1;
      coming_in_ = start_;
    } else {
      ASSERT_TRUE(!last_change_ || now_ - *last_change_ >= policy_.cooldown_down);
      last_change_ = now_;
      --ready_;
    }
  }
  unsigned count() const { return ready_ + coming_; }
  unsigned least() const { return least_; }
  unsigned reachable() const { return std::min(most_, fitting_); }
  unsigned slots() const { return slots_; }
  int changes = 0;

 private:
  ScaleSample measure(double load) const {
    ScaleSample sample;
    sample.count = ready_ + coming_;
    sample.starting = coming_;
    sample.least = least_;
    sample.most = most_;
    sample.room = count() < fitting_;
    sample.places = std::size_t{ready_} * slots_;
    auto wanted = static_cast<std::size_t>(std::lround(load));
    sample.in_flight = std::min(wanted, sample.places);
    sample.waiting = wanted - sample.in_flight;
    sample.memory = static_cast<double>(count()) / fitting_;
    sample.cpu = on_accelerator_ ? 0.05 : std::min(1.0, load / 12);
    if (wanted > 0) {
      sample.wait = std::chrono::milliseconds(1000 * sample.waiting / sample.places);
      sample.first_token = std::chrono::milliseconds(300) + *sample.wait;
      sample.tokens_per_second = 60.0 * ready_ / static_cast<double>(sample.in_flight);
    }
    return sample;
  }

  Autoscaler::Policy policy_;
  Autoscaler scaler_;
  unsigned least_, most_, fitting_;
  int start_;
  unsigned slots_;
  bool on_accelerator_;
  unsigned ready_ = 0, coming_ = 0;
  int coming_in_ = 0;
  sys::Steady now_{1000s};
  std::optional<sys::Steady> last_up_, last_change_;
};

Autoscaler::Policy some_policy(std::mt19937_64& random) {
  auto some = policy();
  if (random() % 2 == 0) some.first_token_target = 500ms;
  if (random() % 2 == 0) some.tokens_target = 25;
  some.over_target = std::chrono::seconds(1 + random() % 60);
  some.cooldown_up = std::chrono::seconds(random() % 60);
  some.cooldown_down = std::chrono::seconds(1 + random() % 120);
  return some;
}

TEST(AutoscalerProperty, NeverPastItsLimitsOrItsCoolDownsWhateverIsAsked) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    ScaledWorld world(some_policy(random), random);
    double load = 0;
    for (int i = 0; i < 2000; ++i) {
      if (random() % 50 == 0) load = static_cast<double>(random() % 20);
      world.second(load);
      if (testing::Test::HasFatalFailure()) return;
    }
    for (int i = 0; i < 2000; ++i) world.second(0);
    EXPECT_EQ(world.count(), world.least());
  }
}

TEST(AutoscalerProperty, ASteadyLoadComesToRest) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    ScaledWorld world(some_policy(random), random);
    double load = static_cast<double>(random() % 24);
    for (int i = 0; i < 2500; ++i) world.second(load);
    if (testing::Test::HasFatalFailure()) return;
    int before = world.changes;
    for (int i = 0; i < 2000; ++i) world.second(load);
    EXPECT_EQ(world.changes, before) << "load " << load << " with " << world.slots() << " slots";
    // Others wait less than the target, or there is no room for more.
    double places = world.count() * world.slots();
    EXPECT_TRUE(load <= places * 1.21 || world.count() == world.reachable())
        << load << " at " << places;
  }
}

}  // namespace
}  // namespace corral::scheduler::autoscaler_test
