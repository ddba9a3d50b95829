#include "gateway/target_state.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace corral::gateway::target_state_test {
namespace {

using namespace std::chrono_literals;

class TargetStateTest : public testing::Test {
 protected:
  static BreakerPolicy policy() {
    BreakerPolicy policy;
    policy.consecutive_failures = 2;
    policy.jitter_percent = 0;
    policy.recovery = 10s;
    policy.trials = 1;
    policy.trial_successes = 1;
    policy.cooldown = 5s;
    return policy;
  }
  void attempt(Outcome outcome, std::optional<std::chrono::seconds> after = std::nullopt) {
    auto permit = state_.try_pass(now_);
    ASSERT_TRUE(permit);
    state_.report(std::move(permit), outcome, now_, after);
  }

  TargetState::Time now_ = std::chrono::steady_clock::now();
  std::vector<BreakerTransition> changes_;
  TargetState state_{"e", "m", policy(),
                     [this](const TargetState& which, const BreakerTransition& change) {
                       EXPECT_EQ(&which, &state_);
                       // No lock is held: whoever hears of it may ask.
                       (void)which.view(now_);
                       changes_.push_back(change);
                     }};
};

TEST_F(TargetStateTest, OpensRecoversAndTellsOfIt) {
  EXPECT_TRUE(state_.allow(now_));
  attempt(Outcome::server_error);
  EXPECT_TRUE(changes_.empty());
  attempt(Outcome::timeout);
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0].to, BreakerState::open);
  EXPECT_FALSE(state_.allow(now_));
  EXPECT_FALSE(state_.try_pass(now_));
  EXPECT_EQ(state_.next_change_at(now_), now_ + 10s);
  now_ += 10s;
  EXPECT_TRUE(state_.allow(now_));
  auto trial = state_.try_pass(now_);
  EXPECT_TRUE(trial.trial());
  EXPECT_EQ(changes_.back().to, BreakerState::half_open);
  EXPECT_FALSE(state_.allow(now_));  // the only trial is under way
  state_.release(std::move(trial));
  EXPECT_TRUE(state_.allow(now_));
  attempt(Outcome::success);
  EXPECT_EQ(changes_.back().to, BreakerState::closed);
  EXPECT_EQ(changes_.size(), 3u);
  EXPECT_EQ(state_.failures(), 2u);
  EXPECT_EQ(state_.successes(), 1u);
  EXPECT_EQ(state_.next_change_at(now_), std::nullopt);
}

TEST_F(TargetStateTest, WhatIsNotItsFaultCountsForNothing) {
  for (int i = 0; i < 10; ++i) {
    attempt(Outcome::client_error);
    attempt(Outcome::cancelled);
  }
  EXPECT_TRUE(changes_.empty());
  EXPECT_EQ(state_.failures(), 0u);
  EXPECT_TRUE(state_.allow(now_));
}

TEST_F(TargetStateTest, CoolsDownWithoutOpening) {
  attempt(Outcome::rate_limited, 30s);
  EXPECT_TRUE(changes_.empty());
  EXPECT_FALSE(state_.allow(now_ + 29s));
  EXPECT_EQ(state_.next_change_at(now_), now_ + 30s);
  EXPECT_TRUE(state_.allow(now_ + 30s));
  EXPECT_EQ(state_.view(now_).state, BreakerState::closed);
  now_ += 30s;
  attempt(Outcome::rate_limited);
  EXPECT_FALSE(state_.allow(now_ + 4s));
}

TEST_F(TargetStateTest, AProbeEndsTheRecoveryEarly) {
  attempt(Outcome::server_error);
  attempt(Outcome::server_error);
  state_.probe_succeeded(now_ + 1s);
  EXPECT_EQ(changes_.back().reason, BreakerReason::probe_succeeded);
  EXPECT_TRUE(state_.allow(now_ + 1s));
}

TEST_F(TargetStateTest, PeopleMayForceIt) {
  state_.force_open();
  EXPECT_EQ(changes_.back().to, BreakerState::open);
  EXPECT_FALSE(state_.allow(now_ + 24h));
  EXPECT_TRUE(state_.view(now_).forced);
  state_.force_close();
  EXPECT_EQ(changes_.back().to, BreakerState::closed);
  EXPECT_TRUE(state_.allow(now_));
}

TEST_F(TargetStateTest, RemembersHowQuickItIs) {
  EXPECT_EQ(state_.latency_ns(now_), 0.0);
  state_.observe(20ms, now_);
  EXPECT_NEAR(state_.latency_ns(now_), 20e6, 1e3);
  state_.observe_failure(1ms, now_);
  EXPECT_GT(state_.latency_ns(now_), 30e6);
}

TEST_F(TargetStateTest, GivesWhatItLearnedOnce) {
  const Work work{inference::Operation::chat, true, 100};
  EXPECT_FALSE(state_.estimate());
  EXPECT_FALSE(state_.take_learned());
  state_.end_work(state_.begin_work(work, now_), now_ + 1s, false);
  EXPECT_FALSE(state_.take_learned());  // what was not answered teaches nothing
  state_.end_work(state_.begin_work(work, now_), now_ + 2s, true);
  auto learned = state_.take_learned();
  ASSERT_TRUE(learned);
  EXPECT_EQ(learned->predict(work), 2s);
  EXPECT_FALSE(state_.take_learned());
  EXPECT_EQ(state_.estimate()->kept(), learned->kept());

  TargetState later("e", "m", policy(), {});
  later.recall(*learned, true);
  EXPECT_EQ(later.expect(work), 2s);
  EXPECT_FALSE(later.take_learned());
  TargetState unsaved("e", "m", policy(), {});
  unsaved.recall(*learned, false);
  EXPECT_TRUE(unsaved.take_learned());
}

TEST(TargetStates, HaveTheIdOfTheirNames) {
  TargetState one("e", "m", {}, {});
  TargetState same("e", "m", {}, {});
  TargetState other("e", "n", {}, {});
  EXPECT_EQ(one.id(), same.id());
  EXPECT_NE(one.id(), other.id());
  EXPECT_EQ(one.endpoint(), "e");
  EXPECT_EQ(one.model(), "m");
  one.force_open();  // nobody listens
  EXPECT_FALSE(one.allow(std::chrono::steady_clock::now()));
}

TEST(TargetStates, AreUsedByManyThreads) {
  std::atomic<int> opened{0};
  BreakerPolicy policy;
  policy.consecutive_failures = 3;
  policy.recovery = 0ms;
  policy.recovery_max = 0ms;
  policy.early_recovery = 0ms;
  TargetState state("e", "m", policy, [&](const TargetState&, const BreakerTransition& change) {
    opened += change.to == BreakerState::open ? 1 : 0;
  });
  std::atomic<std::uint64_t> failed{0};
  auto work = [&](int number) {
    for (int i = 0; i < 500; ++i) {
      auto now = std::chrono::steady_clock::now();
      if (!state.allow(now)) continue;
      auto permit = state.try_pass(now);
      if (!permit) continue;
      bool fails = (i / 8 + number) % 2 == 0;
      failed += fails ? 1 : 0;
      if (i % 7 == 0 && !fails) {
        state.release(std::move(permit));
        continue;
      }
      state.observe(1ms, now);
      state.report(std::move(permit), fails ? Outcome::timeout : Outcome::success, now);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (auto& thread : threads) thread.join();
  auto view = state.view(std::chrono::steady_clock::now());
  EXPECT_EQ(view.trials_under_way, 0u);
  EXPECT_EQ(state.failures(), failed);
  EXPECT_GT(opened, 0);
}

}  // namespace
}  // namespace corral::gateway::target_state_test
