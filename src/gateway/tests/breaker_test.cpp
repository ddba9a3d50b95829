#include "gateway/core/breaker.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace corral::gateway::breaker_test {
namespace {

using namespace std::chrono_literals;
using Time = Breaker::Time;
using State = BreakerState;
using Why = BreakerReason;

const Time kStart{1000s};
constexpr std::uint64_t kSeed = 7;

BreakerPolicy without_jitter() {
  BreakerPolicy policy;
  policy.jitter_percent = 0;
  return policy;
}

Breaker::Transition send(Breaker& breaker, Outcome outcome, Time now,
                         std::optional<std::chrono::seconds> retry_after = {}) {
  auto pass = breaker.try_pass(now);
  EXPECT_TRUE(pass.permit);
  return breaker.report(std::move(pass.permit), outcome, now, retry_after);
}

void open_it(Breaker& breaker, Time now) {
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(send(breaker, Outcome::timeout, now));
  EXPECT_EQ(send(breaker, Outcome::timeout, now),
            (BreakerTransition{State::closed, State::open, Why::consecutive_failures}));
}

TEST(Breaker, OpensAfterFiveFailuresInARow) {
  Breaker breaker(without_jitter(), kSeed);
  for (auto failure :
       {Outcome::connect_error, Outcome::timeout, Outcome::server_error, Outcome::rubbish}) {
    EXPECT_FALSE(send(breaker, failure, kStart));
  }
  EXPECT_TRUE(breaker.allow(kStart));
  EXPECT_FALSE(send(breaker, Outcome::success, kStart));  // begins anew
  open_it(breaker, kStart);
  EXPECT_FALSE(breaker.allow(kStart));
  EXPECT_FALSE(breaker.try_pass(kStart).permit);
  EXPECT_EQ(breaker.state(kStart), State::open);
  EXPECT_EQ(breaker.next_change_at(kStart), kStart + 30s);
  EXPECT_EQ(breaker.view(kStart).opens_again_for_trials, kStart + 30s);
}

TEST(Breaker, ClientErrorsAndCancellationsCountForNothing) {
  Breaker breaker(without_jitter(), kSeed);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(send(breaker, Outcome::timeout, kStart));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(send(breaker, i % 2 == 0 ? Outcome::client_error : Outcome::cancelled, kStart));
  }
  EXPECT_EQ(breaker.view(kStart).window_requests, 4u);
  EXPECT_EQ(breaker.view(kStart).failures_in_a_row, 4u);  // nor do they clear anything
  EXPECT_TRUE(send(breaker, Outcome::timeout, kStart));
}

TEST(Breaker, OpensOnTheErrorRateOverAMinimumVolume) {
  Breaker breaker(without_jitter(), kSeed);
  for (int i = 0; i < 19; ++i) {
    EXPECT_FALSE(
        send(breaker, i % 2 == 0 ? Outcome::rubbish : Outcome::success, kStart + i * 10ms));
  }
  EXPECT_EQ(breaker.view(kStart + 190ms).window_failures, 10u);
  EXPECT_FALSE(
      send(breaker, Outcome::success, kStart + 200ms));  // the 20th; a success opens nothing
  EXPECT_EQ(send(breaker, Outcome::rubbish, kStart + 210ms),
            (BreakerTransition{State::closed, State::open, Why::error_rate}));
}

TEST(Breaker, OldFailuresLeaveTheWindow) {
  Breaker breaker(without_jitter(), kSeed);
  for (int i = 0; i < 19; ++i) {
    send(breaker, i % 2 == 0 ? Outcome::rubbish : Outcome::success, kStart);
  }
  Time later = kStart + 10s;
  EXPECT_EQ(breaker.view(later).window_requests, 0u);
  EXPECT_FALSE(send(breaker, Outcome::rubbish, later));
  EXPECT_EQ(breaker.view(later).window_requests, 1u);
  // A clock read before another thread's counts as the newest, and harms nothing.
  EXPECT_FALSE(send(breaker, Outcome::success, later - 5s));
  EXPECT_EQ(breaker.view(later).window_requests, 2u);
}

TEST(Breaker, RulesCanBeSwitchedOff) {
  auto policy = without_jitter();
  policy.consecutive_failures = 0;
  policy.error_percent = 0;
  Breaker breaker(policy, kSeed);
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(send(breaker, Outcome::timeout, kStart));
  EXPECT_EQ(breaker.state(kStart), State::closed);
}

TEST(Breaker, ThreeTrialsAtOnceAndThreeSuccessesCloseIt) {
  Breaker breaker(without_jitter(), kSeed);
  open_it(breaker, kStart);
  Time later = kStart + 30s;
  EXPECT_EQ(breaker.state(later - 1ms), State::open);
  EXPECT_EQ(breaker.state(later), State::half_open);
  EXPECT_TRUE(breaker.allow(later));
  auto first = breaker.try_pass(later);
  EXPECT_EQ(first.transition,
            (BreakerTransition{State::open, State::half_open, Why::recovery_over}));
  EXPECT_TRUE(first.permit.trial());
  auto second = breaker.try_pass(later);
  auto third = breaker.try_pass(later);
  EXPECT_FALSE(second.transition);
  EXPECT_FALSE(breaker.allow(later));
  EXPECT_FALSE(breaker.try_pass(later).permit);
  EXPECT_FALSE(breaker.next_change_at(later));  // only an event leads on
  EXPECT_FALSE(breaker.report(std::move(first.permit), Outcome::success, later));
  breaker.release(std::move(second.permit));
  EXPECT_EQ(breaker.view(later).trials_under_way, 1u);
  EXPECT_FALSE(breaker.report(std::move(third.permit), Outcome::success, later));
  EXPECT_EQ(send(breaker, Outcome::success, later),
            (BreakerTransition{State::half_open, State::closed, Why::trials_succeeded}));
  EXPECT_EQ(breaker.view(later).window_requests, 0u);
  EXPECT_FALSE(breaker.try_pass(later).permit.trial());
}

TEST(Breaker, AFailedTrialOpensItForTwiceAsLongUpToABound) {
  Breaker breaker(without_jitter(), kSeed);
  open_it(breaker, kStart);
  Time now = kStart;
  for (auto recovery : {30s, 60s, 120s, 240s, 300s, 300s}) {
    ASSERT_EQ(breaker.next_change_at(now), now + recovery);
    now += recovery;
    EXPECT_EQ(send(breaker, Outcome::server_error, now),
              (BreakerTransition{State::half_open, State::open, Why::trial_failed}));
  }
  now += 300s;
  for (int i = 0; i < 3; ++i) send(breaker, Outcome::success, now);
  EXPECT_EQ(breaker.state(now), State::closed);
  open_it(breaker, now);
  EXPECT_EQ(breaker.next_change_at(now), now + 30s);
}

TEST(Breaker, JitterSpreadsAFleetAndNeverShortens) {
  std::set<Time> times;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Breaker breaker(BreakerPolicy::for_remote(), seed);
    open_it(breaker, kStart);
    Time at = breaker.next_change_at(kStart).value();
    EXPECT_GE(at, kStart + 60s);
    EXPECT_LE(at, kStart + 72s);
    times.insert(at);
  }
  EXPECT_GT(times.size(), 90u);
  EXPECT_EQ(BreakerPolicy::for_instance().recovery, 30s);
}

TEST(Breaker, AProbeLetsItHalfOpenEarlyButNotAtOnce) {
  Breaker breaker(without_jitter(), kSeed);
  EXPECT_FALSE(breaker.probe_succeeded(kStart));  // closed
  open_it(breaker, kStart);
  EXPECT_FALSE(breaker.probe_succeeded(kStart + 499ms));
  BreakerTransition early{State::open, State::half_open, Why::probe_succeeded};
  Time now = kStart + 500ms;
  EXPECT_EQ(breaker.probe_succeeded(now), early);
  // One that answers probes and fails requests is tried less and less.
  for (auto pause : {1s, 2s, 4s, 8s, 16s, 30s, 30s}) {
    EXPECT_TRUE(send(breaker, Outcome::server_error, now));
    EXPECT_FALSE(breaker.probe_succeeded(now + pause - 1ms));
    now += pause;
    EXPECT_EQ(breaker.probe_succeeded(now), early);
  }
}

TEST(Breaker, LateReportsDoNotCountAgainstTheNewState) {
  Breaker breaker(without_jitter(), kSeed);
  std::vector<Breaker::Permit> late;
  for (int i = 0; i < 20; ++i) late.push_back(breaker.try_pass(kStart).permit);
  open_it(breaker, kStart);
  Time later = kStart + 30s;
  auto trial = breaker.try_pass(later);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(breaker.report(std::move(late[i]), Outcome::timeout, later));
  }
  EXPECT_EQ(breaker.state(later), State::half_open);
  for (int i = 10; i < 15; ++i) {
    EXPECT_FALSE(breaker.report(std::move(late[i]), Outcome::success, later));
  }
  EXPECT_EQ(breaker.state(later), State::half_open);  // nor for it
  breaker.report(std::move(trial.permit), Outcome::success, later);
  send(breaker, Outcome::success, later);
  send(breaker, Outcome::success, later);
  ASSERT_EQ(breaker.state(later), State::closed);
  for (int i = 15; i < 20; ++i) {
    EXPECT_FALSE(breaker.report(std::move(late[i]), Outcome::timeout, later));
  }
  EXPECT_EQ(breaker.state(later), State::closed);
  EXPECT_EQ(breaker.view(later).failures_in_a_row, 0u);
}

TEST(Breaker, TrialsOfAnEarlierPeriodStillTakeTheirPlaces) {
  Breaker breaker(without_jitter(), kSeed);
  open_it(breaker, kStart);
  Time now = kStart + 30s;
  auto slow = breaker.try_pass(now).permit;
  auto slower = breaker.try_pass(now).permit;
  send(breaker, Outcome::timeout, now);
  now += 60s;
  auto fresh = breaker.try_pass(now).permit;
  EXPECT_TRUE(fresh);
  EXPECT_FALSE(breaker.allow(now));
  EXPECT_FALSE(breaker.report(std::move(slow), Outcome::timeout, now));
  EXPECT_EQ(breaker.state(now), State::half_open);
  EXPECT_TRUE(breaker.allow(now));
  breaker.release(std::move(slower));
  breaker.release(std::move(fresh));
  EXPECT_EQ(breaker.view(now).trials_under_way, 0u);
}

TEST(Breaker, TrialsThatProveNothingOnlyGiveTheirPlaceBack) {
  Breaker breaker(without_jitter(), kSeed);
  open_it(breaker, kStart);
  Time now = kStart + 30s;
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(send(breaker, i % 2 == 0 ? Outcome::cancelled : Outcome::client_error, now));
  }
  EXPECT_EQ(breaker.state(now), State::half_open);
  EXPECT_EQ(breaker.view(now).trials_under_way, 0u);
}

TEST(Breaker, AMovedOrEmptyPermitDoesNothing) {
  Breaker breaker(without_jitter(), kSeed);
  Breaker::Permit permit = breaker.try_pass(kStart).permit;
  Breaker::Permit moved;
  moved = std::move(permit);
  EXPECT_TRUE(moved);
  breaker.report(std::move(moved), Outcome::timeout, kStart);
  breaker.report(Breaker::Permit(), Outcome::timeout, kStart);
  breaker.release(Breaker::Permit());
  EXPECT_EQ(breaker.view(kStart).failures_in_a_row, 1u);
}

TEST(Breaker, A429CoolsDownWithoutOpening) {
  Breaker breaker(without_jitter(), kSeed);
  EXPECT_FALSE(send(breaker, Outcome::rate_limited, kStart, 20s));
  EXPECT_EQ(breaker.state(kStart), State::closed);
  EXPECT_TRUE(breaker.cooling(kStart));
  EXPECT_FALSE(breaker.allow(kStart + 19999ms));
  EXPECT_FALSE(breaker.try_pass(kStart + 19999ms).permit);
  EXPECT_EQ(breaker.next_change_at(kStart), kStart + 20s);
  EXPECT_EQ(breaker.view(kStart).cooling_until, kStart + 20s);
  EXPECT_TRUE(breaker.allow(kStart + 20s));
  EXPECT_FALSE(breaker.view(kStart + 20s).cooling_until);
  EXPECT_EQ(breaker.view(kStart + 20s).window_failures, 0u);
}

TEST(Breaker, RetryAfterIsBounded) {
  for (auto asked : {601s, 86400s, std::chrono::seconds::max()}) {
    Breaker breaker(without_jitter(), kSeed);
    send(breaker, Outcome::rate_limited, kStart, asked);
    EXPECT_EQ(breaker.next_change_at(kStart), kStart + 600s);
  }
  for (auto asked : {0s, -1s, std::chrono::seconds::min()}) {
    Breaker breaker(without_jitter(), kSeed);
    send(breaker, Outcome::rate_limited, kStart, asked);
    EXPECT_EQ(breaker.next_change_at(kStart), kStart + 5s);
  }
}

TEST(Breaker, CoolDownsWithoutRetryAfterGrowOnceForEach) {
  Breaker breaker(without_jitter(), kSeed);
  Time now = kStart;
  for (auto pause : {5s, 10s, 20s, 40s, 80s, 160s, 320s, 600s, 600s}) {
    std::vector<Breaker::Permit> together;
    for (int i = 0; i < 50; ++i) together.push_back(breaker.try_pass(now).permit);
    for (auto& each : together) breaker.report(std::move(each), Outcome::rate_limited, now);
    ASSERT_EQ(breaker.next_change_at(now), now + pause);
    now += pause;
  }
  send(breaker, Outcome::success, now);
  send(breaker, Outcome::rate_limited, now);
  EXPECT_EQ(breaker.next_change_at(now), now + 5s);
}

TEST(Breaker, ALongerRetryAfterOfTheSameBurstCounts) {
  Breaker breaker(without_jitter(), kSeed);
  auto one = breaker.try_pass(kStart).permit;
  auto two = breaker.try_pass(kStart).permit;
  auto three = breaker.try_pass(kStart).permit;
  breaker.report(std::move(one), Outcome::rate_limited, kStart, 3s);
  breaker.report(std::move(two), Outcome::rate_limited, kStart, 30s);
  breaker.report(std::move(three), Outcome::rate_limited, kStart, 1s);
  EXPECT_EQ(breaker.next_change_at(kStart), kStart + 30s);
}

TEST(Breaker, CoolDownOutlastsTheRecoveryIfItIsLonger) {
  Breaker breaker(without_jitter(), kSeed);
  auto permit = breaker.try_pass(kStart).permit;
  open_it(breaker, kStart);
  breaker.report(std::move(permit), Outcome::rate_limited, kStart, 45s);
  EXPECT_EQ(breaker.next_change_at(kStart), kStart + 45s);
  EXPECT_FALSE(breaker.allow(kStart + 44s));
  EXPECT_EQ(breaker.state(kStart + 44s), State::half_open);
  EXPECT_TRUE(breaker.allow(kStart + 45s));
}

TEST(Breaker, TickMakesTheTransitionOfTime) {
  Breaker breaker(without_jitter(), kSeed);
  EXPECT_FALSE(breaker.tick(kStart));
  EXPECT_FALSE(breaker.next_change_at(kStart));
  open_it(breaker, kStart);
  EXPECT_FALSE(breaker.tick(kStart + 29s));
  EXPECT_TRUE(breaker.tick(kStart + 30s));
  EXPECT_FALSE(breaker.tick(kStart + 30s));
}

TEST(Breaker, AnAdministratorMayHoldItOpenAndCloseIt) {
  Breaker breaker(without_jitter(), kSeed);
  EXPECT_EQ(breaker.force_open(kStart),
            (BreakerTransition{State::closed, State::open, Why::forced}));
  EXPECT_FALSE(breaker.force_open(kStart));
  EXPECT_FALSE(breaker.allow(kStart + 1000h));
  EXPECT_FALSE(breaker.probe_succeeded(kStart + 1000h));
  EXPECT_FALSE(breaker.next_change_at(kStart));
  EXPECT_TRUE(breaker.view(kStart).forced);
  EXPECT_FALSE(breaker.view(kStart).opens_again_for_trials);
  EXPECT_EQ(breaker.force_close(kStart),
            (BreakerTransition{State::open, State::closed, Why::forced}));
  EXPECT_FALSE(breaker.force_close(kStart));
  EXPECT_TRUE(breaker.allow(kStart));

  send(breaker, Outcome::rate_limited, kStart, 60s);
  EXPECT_FALSE(breaker.force_close(kStart));  // ends the cool-down as well
  EXPECT_TRUE(breaker.allow(kStart));

  open_it(breaker, kStart);
  EXPECT_FALSE(breaker.force_open(kStart));  // open already, and now held
  EXPECT_FALSE(breaker.allow(kStart + 1000h));
}

TEST(Breaker, SaysWhyAndSinceWhenItIsAsItIs) {
  using Change = Breaker::Change;
  Breaker breaker(without_jitter(), kSeed);
  EXPECT_FALSE(breaker.view(kStart).last_change);  // closed from the beginning
  EXPECT_FALSE(breaker.force_close(kStart));
  EXPECT_FALSE(breaker.view(kStart).last_change);  // nothing changed
  open_it(breaker, kStart);
  EXPECT_EQ(breaker.view(kStart + 29s).last_change, (Change{Why::consecutive_failures, kStart}));
  // Time alone made it half-open, whether anybody asked since or not.
  EXPECT_EQ(breaker.view(kStart + 40s).last_change, (Change{Why::recovery_over, kStart + 30s}));
  EXPECT_TRUE(breaker.tick(kStart + 50s));
  EXPECT_EQ(breaker.view(kStart + 50s).last_change, (Change{Why::recovery_over, kStart + 30s}));
  send(breaker, Outcome::timeout, kStart + 51s);
  EXPECT_EQ(breaker.view(kStart + 51s).last_change, (Change{Why::trial_failed, kStart + 51s}));
  EXPECT_FALSE(breaker.force_open(kStart + 52s));  // held by hand, but open since then
  EXPECT_EQ(breaker.view(kStart + 52s).last_change, (Change{Why::trial_failed, kStart + 51s}));
  EXPECT_TRUE(breaker.force_close(kStart + 53s));
  EXPECT_EQ(breaker.view(kStart + 54s).last_change, (Change{Why::forced, kStart + 53s}));
}

TEST(Breaker, NamesAreDistinct) {
  std::set<std::string_view> states;
  for (auto s : {State::closed, State::open, State::half_open}) states.insert(to_string(s));
  EXPECT_EQ(states.size(), 3u);
  std::set<std::string_view> reasons;
  for (auto why : {Why::consecutive_failures, Why::error_rate, Why::trial_failed,
                   Why::recovery_over, Why::probe_succeeded, Why::trials_succeeded, Why::forced}) {
    reasons.insert(to_string(why));
  }
  EXPECT_EQ(reasons.size(), 7u);
  EXPECT_EQ(to_string(static_cast<State>(9)), "unknown");
  EXPECT_EQ(to_string(static_cast<Why>(99)), "unknown");
}

// Any order of requests, outcomes, probes and pauses. What must hold: trials under way are at most
// three and exactly those that the test holds; transitions follow each other; an open breaker gives
// no permit; and once all that is under way is given back, successes alone close it.
class RandomLife {
 public:
  explicit RandomLife(std::uint64_t seed) : random_(seed), breaker_({}, seed) {}

  void run() {
    for (int i = 0; i < 3000; ++i) {
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    recover();
  }

 private:
  struct Held {
    Breaker::Permit permit;
    bool trial;
  };

  void step() {
    now_ += std::chrono::milliseconds(random_() % 4 == 0 ? random_() % 20'000 : random_() % 50);
    switch (random_() % 12) {
      case 0: saw(breaker_.probe_succeeded(now_)); break;
      case 1: saw(breaker_.tick(now_)); break;
      case 2:
        if (random_() % 50 == 0) saw(breaker_.force_close(now_));
        break;
      case 3:
      case 4:
      case 5:
      case 6:
      case 7: pass(); break;
      default: give_back(); break;
    }
    check();
  }

  void pass() {
    bool allowed = breaker_.allow(now_);
    auto pass = breaker_.try_pass(now_);
    saw(pass.transition);
    ASSERT_EQ(allowed, static_cast<bool>(pass.permit));
    if (!pass.permit) return;
    ASSERT_NE(state_, State::open);
    ASSERT_EQ(pass.permit.trial(), state_ == State::half_open);
    bool trial = pass.permit.trial();
    held_.push_back({std::move(pass.permit), trial});
  }

  void give_back() {
    if (held_.empty()) return;
    std::swap(held_[random_() % held_.size()], held_.back());
    auto held = std::move(held_.back());
    held_.pop_back();
    if (random_() % 8 == 0) {
      breaker_.release(std::move(held.permit));
      return;
    }
    auto outcome = static_cast<Outcome>(random_() % 8);
    if (random_() % 2 == 0) outcome = Outcome::success;
    std::optional<std::chrono::seconds> after;
    if (random_() % 2 == 0) after = std::chrono::seconds(random_() % 100);
    saw(breaker_.report(std::move(held.permit), outcome, now_, after));
  }

  void saw(Breaker::Transition transition) {
    if (!transition) return;
    ASSERT_EQ(transition->from, state_);
    ASSERT_NE(transition->to, state_);
    state_ = transition->to;
  }

  void check() {
    unsigned trials = 0;
    for (const auto& each : held_) trials += each.trial ? 1 : 0;
    auto view = breaker_.view(now_);
    ASSERT_LE(view.trials_under_way, 3u);
    ASSERT_EQ(view.trials_under_way, trials);
    ASSERT_LE(view.window_failures, view.window_requests);
    auto at = breaker_.next_change_at(now_);
    if (at) {
      ASSERT_GT(*at, now_);
      ASSERT_LE(*at, now_ + 601s);
      ASSERT_FALSE(breaker_.allow(now_));
    } else if (!breaker_.allow(now_)) {
      ASSERT_EQ(breaker_.state(now_), State::half_open);
      ASSERT_EQ(view.trials_under_way, 3u);
    }
  }

  void recover() {
    while (!held_.empty()) {
      breaker_.release(std::move(held_.back().permit));
      held_.pop_back();
    }
    for (int i = 0; i < 10 && breaker_.state(now_) != State::closed; ++i) {
      if (auto at = breaker_.next_change_at(now_)) now_ = *at;
      auto pass = breaker_.try_pass(now_);
      ASSERT_TRUE(pass.permit);
      breaker_.report(std::move(pass.permit), Outcome::success, now_);
    }
    ASSERT_EQ(breaker_.state(now_), State::closed);
  }

  std::mt19937_64 random_;
  Breaker breaker_;
  Time now_ = kStart;
  State state_ = State::closed;
  std::vector<Held> held_;
};

TEST(BreakerProperty, AnyOrderOfEvents) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    RandomLife(seed).run();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace corral::gateway::breaker_test
