#include "gateway/core/hedge.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace corral::gateway::hedge_test {
namespace {

using namespace std::chrono_literals;
using Lane = HedgeRace::Lane;

const LatencyQuantile::Time kStart{1000s};

TEST(HedgeAfter, WaitsForTheRoutesQuantile) {
  HedgePolicy policy;
  LatencyQuantile route;
  for (int i = 0; i < 99; ++i) route.observe(i < 90 ? 100ms : 800ms, kStart);
  EXPECT_FALSE(hedge_after(policy, route, kStart));  // not enough samples
  route.observe(100ms, kStart);
  route.observe(100ms, kStart);
  auto delay = hedge_after(policy, route, kStart);
  ASSERT_TRUE(delay);
  EXPECT_GT(*delay, 750ms);
  EXPECT_LT(*delay, 850ms);
  policy.enabled = false;
  EXPECT_FALSE(hedge_after(policy, route, kStart));
}

TEST(HedgeAfter, HasAFloorAndForgets) {
  LatencyQuantile route;
  for (int i = 0; i < 200; ++i) route.observe(1ms, kStart);
  EXPECT_EQ(hedge_after({}, route, kStart), 50ms);
  EXPECT_FALSE(hedge_after({}, route, kStart + 1h));
  HedgePolicy careless;
  careless.minimum_samples = 0;
  EXPECT_FALSE(hedge_after(careless, LatencyQuantile(), kStart));
}

TEST(HedgeRace, TheFirstWinsAlone) {
  HedgeRace race;
  auto step = race.answered(Lane::first);
  EXPECT_EQ(step.winner, Lane::first);
  EXPECT_FALSE(step.cancels(Lane::second));
  EXPECT_FALSE(race.start_second());
}

TEST(HedgeRace, TheSecondWinsAndTheFirstIsCancelled) {
  HedgeRace race;
  EXPECT_TRUE(race.start_second());
  EXPECT_FALSE(race.start_second());
  auto step = race.answered(Lane::second);
  EXPECT_EQ(step.winner, Lane::second);
  EXPECT_TRUE(step.cancels(Lane::first));
  EXPECT_FALSE(race.under_way(Lane::first));
  auto late = race.answered(Lane::first);
  EXPECT_FALSE(late.winner);
  EXPECT_TRUE(late.cancels(Lane::first));
  EXPECT_FALSE(race.failed(Lane::first, fail(ErrorCode::cancelled, "x")).lost);
  EXPECT_EQ(race.winner(), Lane::second);
}

TEST(HedgeRace, OneFailingLeavesTheOtherRunning) {
  HedgeRace race;
  EXPECT_TRUE(race.start_second());
  auto step = race.failed(Lane::first, fail(ErrorCode::upstream, "broken"));
  EXPECT_FALSE(step.lost);
  EXPECT_FALSE(step.cancels(Lane::second));
  EXPECT_TRUE(race.under_way(Lane::second));
  EXPECT_EQ(race.answered(Lane::second).winner, Lane::second);
  EXPECT_FALSE(race.error());
}

TEST(HedgeRace, BothFailingGivesTheMoreMeaningfulError) {
  auto refused = fail(ErrorCode::unavailable, "refused");
  auto wrong = fail(ErrorCode::invalid_argument, "wrong");
  for (bool swapped : {false, true}) {
    HedgeRace race;
    EXPECT_TRUE(race.start_second());
    EXPECT_FALSE(race.failed(Lane::second, swapped ? wrong : refused).lost);
    EXPECT_TRUE(race.failed(Lane::first, swapped ? refused : wrong).lost);
    ASSERT_TRUE(race.error());
    EXPECT_EQ(race.error()->message, "wrong");
    EXPECT_FALSE(race.winner());
  }
}

TEST(HedgeRace, AFailureBeforeTheHedgeLosesTheRace) {
  HedgeRace race;
  EXPECT_TRUE(race.failed(Lane::first, fail(ErrorCode::timeout, "slow")).lost);
  EXPECT_FALSE(race.start_second());
  EXPECT_EQ(race.error()->code, ErrorCode::timeout);
  EXPECT_FALSE(race.failed(Lane::first, fail(ErrorCode::upstream, "again")).lost);
  EXPECT_EQ(race.error()->code, ErrorCode::timeout);
}

TEST(HedgeRace, AClientThatLeavesCancelsWhatIsUnderWay) {
  HedgeRace race;
  EXPECT_TRUE(race.start_second());
  auto step = race.client_left();
  EXPECT_TRUE(step.cancels(Lane::first));
  EXPECT_TRUE(step.cancels(Lane::second));
  EXPECT_FALSE(race.answered(Lane::first).winner);
  EXPECT_FALSE(race.winner());
}

// Two attempts whose events come in any order, also after the race is decided.
class RandomRace {
 public:
  explicit RandomRace(std::mt19937_64& random) : random_(random) {}

  void run() {
    for (int i = 0; i < 12; ++i) {
      event(random_() % 2 == 0 ? Lane::first : Lane::second);
      if (::testing::Test::HasFatalFailure()) return;
    }
    if (winners_ == 0 && !left_ && ended_[0] && ended_[1] == begun_[1]) {
      ASSERT_EQ(losses_, 1);
      ASSERT_TRUE(race_.error());
    }
  }
  int winners() const { return winners_; }
  int losses() const { return losses_; }

 private:
  void event(Lane lane) {
    auto index = static_cast<std::size_t>(lane);
    bool running = begun_[index] && !ended_[index];
    auto kind = random_() % 8;
    if (kind == 0) {
      begun_[1] = race_.start_second() || begun_[1];
    } else if (kind == 1 && random_() % 4 == 0 && winners_ == 0) {
      left_ = true;
      saw(race_.client_left(), lane);
    } else if (kind <= 4 && running) {
      saw(race_.answered(lane), lane);
      ended_[index] = true;
    } else if (running) {
      saw(race_.failed(lane, fail(ErrorCode::upstream, "x")), lane);
      ended_[index] = true;
    }
    if (winners_ == 1 || left_) check_decided();
  }

  void saw(const HedgeRace::Step& step, Lane lane) {
    if (step.winner) {
      ++winners_;
      ASSERT_EQ(*step.winner, lane);
      ASSERT_FALSE(left_);
    }
    if (step.lost) ++losses_;
    for (std::size_t i = 0; i < 2; ++i) told_[i] = told_[i] || step.cancelled[i];
    ASSERT_LE(winners_, 1);
    ASSERT_LE(losses_, 1);
    ASSERT_FALSE(winners_ == 1 && losses_ == 1);
  }

  // Nothing goes on unobserved: each is the winner, over, told to stop, or was never begun.
  void check_decided() {
    for (auto lane : {Lane::first, Lane::second}) {
      auto index = static_cast<std::size_t>(lane);
      ASSERT_FALSE(race_.under_way(lane));
      ASSERT_FALSE(race_.start_second());
      ASSERT_TRUE(race_.winner() == lane || !begun_[index] || ended_[index] || told_[index]);
    }
  }

  std::mt19937_64& random_;
  HedgeRace race_;
  int winners_ = 0;
  int losses_ = 0;
  bool left_ = false;
  std::array<bool, 2> begun_{true, false};
  std::array<bool, 2> ended_{};
  std::array<bool, 2> told_{};
};

TEST(HedgeRaceProperty, NeverTwoWinnersAndEveryLoserIsCancelled) {
  std::mt19937_64 random(42);
  int wins = 0;
  int losses = 0;
  for (int round = 0; round < 20'000; ++round) {
    RandomRace race(random);
    race.run();
    if (HasFatalFailure()) return;
    wins += race.winners();
    losses += race.losses();
  }
  EXPECT_GT(wins, 1000);
  EXPECT_GT(losses, 1000);
}

}  // namespace
}  // namespace corral::gateway::hedge_test
