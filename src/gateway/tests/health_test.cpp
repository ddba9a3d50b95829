#include "gateway/core/health.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace corral::gateway::health_test {
namespace {

using namespace std::chrono_literals;
using Time = EndpointHealth::Time;
using State = HealthState;
using Why = HealthReason;

const Time kStart{1000s};

HealthPolicy without_jitter() {
  HealthPolicy policy;
  policy.jitter_percent = 0;
  return policy;
}

// Drives the machine as a driver would: waits for what is due, and answers the probe.
class Driver {
 public:
  explicit Driver(HealthPolicy policy, std::uint64_t seed = 1) : health(policy, seed, kStart) {}

  // Until the next probe is asked for; false if none comes without another event.
  bool until_probe() {
    while (auto at = health.wake_at()) {
      now = std::max(now, *at);
      last = health.tick(now);
      if (last.probe) return true;
    }
    return false;
  }
  HealthStep probe(Check result) {
    EXPECT_TRUE(until_probe());
    return health.probed(now, result);
  }
  void go_down() {
    probe(Check::passed);
    for (int i = 0; i < 3; ++i) probe(Check::failed);
    EXPECT_EQ(health.state(), State::down);
  }

  EndpointHealth health;
  Time now = kStart;
  HealthStep last;
};

TEST(Health, ProbesAtOnceAndThenEveryThirtySeconds) {
  Driver driver(without_jitter());
  EXPECT_TRUE(driver.health.usable());
  EXPECT_EQ(driver.health.capacity_share(kStart), 1.0);
  EXPECT_TRUE(driver.until_probe());
  EXPECT_LE(driver.now, kStart + 500ms);
  EXPECT_FALSE(driver.health.wake_at());  // one is under way
  EXPECT_FALSE(driver.health.tick(driver.now + 1h).probe);
  EXPECT_FALSE(driver.health.probed(driver.now, Check::passed).transition);
  EXPECT_EQ(driver.health.wake_at(), driver.now + 30s);
  EXPECT_FALSE(driver.health.tick(driver.now + 29s).probe);
}

TEST(Health, ThreeStrikesTakeItDown) {
  Driver driver(without_jitter());
  driver.probe(Check::passed);
  EXPECT_EQ(driver.probe(Check::failed).transition,
            (HealthTransition{State::healthy, State::suspect, Why::probe_failed}));
  EXPECT_TRUE(driver.health.usable());
  EXPECT_FALSE(driver.probe(Check::failed).transition);
  EXPECT_EQ(driver.health.strikes(), 2u);
  Time second = driver.now;
  EXPECT_EQ(driver.probe(Check::failed).transition,
            (HealthTransition{State::suspect, State::down, Why::probe_failed}));
  EXPECT_EQ(driver.now - second, 30s);
  EXPECT_FALSE(driver.health.usable());
  EXPECT_EQ(driver.health.capacity_share(driver.now), 0.0);
}

TEST(Health, OnePassedProbeForgivesTheStrikes) {
  Driver driver(without_jitter());
  driver.probe(Check::passed);
  driver.probe(Check::failed);
  driver.probe(Check::failed);
  EXPECT_EQ(driver.probe(Check::passed).transition,
            (HealthTransition{State::suspect, State::healthy, Why::probe_passed}));
  driver.probe(Check::failed);
  driver.probe(Check::failed);
  EXPECT_EQ(driver.health.state(), State::suspect);
}

TEST(Health, OneThatWasNeverWellIsFoundDownSoon) {
  Driver driver(without_jitter());
  for (int i = 0; i < 3; ++i) driver.probe(Check::failed);
  EXPECT_EQ(driver.health.state(), State::down);
  EXPECT_LE(driver.now, kStart + 1500ms);
}

TEST(Health, ProbesOfOneThatIsDownSlowDownWithTheLengthOfTheOutage) {
  Driver driver(without_jitter());
  driver.go_down();
  Time down = driver.now;
  while (driver.now - down < 1h) {
    Time before = driver.now;
    driver.probe(Check::failed);
    auto pause = driver.now - before;
    ASSERT_GE(pause, 500ms);
    ASSERT_LE(pause, 10s);
    // Whoever comes back is found within a sixteenth of the time it was away.
    ASSERT_LE(pause, std::max<std::chrono::nanoseconds>(500ms, (before - down) / 16 + 1ms));
  }
  Time before = driver.now;
  driver.probe(Check::failed);
  EXPECT_EQ(driver.now - before, 10s);
}

TEST(Health, ComesBackByProbeValidationAndSlowStart) {
  Driver driver(without_jitter());
  driver.go_down();
  auto step = driver.probe(Check::passed);
  EXPECT_TRUE(step.validate);
  EXPECT_EQ(step.transition, (HealthTransition{State::down, State::validating, Why::probe_passed}));
  EXPECT_FALSE(driver.health.usable());
  EXPECT_FALSE(driver.health.wake_at());
  Time began = driver.now += 300ms;
  EXPECT_EQ(driver.health.validated(began, Check::passed).transition,
            (HealthTransition{State::validating, State::slow_start, Why::validation_passed}));
  EXPECT_TRUE(driver.health.usable());
  EXPECT_DOUBLE_EQ(driver.health.capacity_share(began), 0.1);
  EXPECT_DOUBLE_EQ(driver.health.capacity_share(began - 1s), 0.1);
  EXPECT_DOUBLE_EQ(driver.health.capacity_share(began + 5s), 0.55);
  EXPECT_DOUBLE_EQ(driver.health.capacity_share(began + 20s), 1.0);
  EXPECT_FALSE(driver.probe(Check::passed).transition);
  EXPECT_EQ(driver.now, began + 5s);
  ASSERT_EQ(driver.health.wake_at(), began + 10s);
  step = driver.health.tick(began + 10s);
  EXPECT_EQ(step.transition,
            (HealthTransition{State::slow_start, State::healthy, Why::slow_start_over}));
  EXPECT_EQ(driver.health.capacity_share(began + 10s), 1.0);
}

TEST(Health, AFailedValidationGoesOnWaiting) {
  Driver driver(without_jitter());
  driver.go_down();
  Time down = driver.now;
  driver.probe(Check::passed);
  auto step = driver.health.validated(driver.now + 100s, Check::failed);
  EXPECT_EQ(step.transition,
            (HealthTransition{State::validating, State::down, Why::validation_failed}));
  EXPECT_FALSE(step.restart);
  // The outage did not begin anew, so the pause is that of a long one.
  EXPECT_GT(*driver.health.wake_at() - (driver.now + 100s), (driver.now - down + 100s) / 17);
}

TEST(Health, AFailedProbeInSlowStartTakesItDownAtOnce) {
  Driver driver(without_jitter());
  driver.go_down();
  driver.probe(Check::passed);
  driver.health.validated(driver.now, Check::passed);
  EXPECT_EQ(driver.probe(Check::failed).transition,
            (HealthTransition{State::slow_start, State::down, Why::probe_failed}));
}

TEST(Health, AnInstanceOfOursIsRestarted) {
  auto policy = without_jitter();
  policy.restartable = true;
  Driver driver(policy);
  driver.go_down();
  auto step = driver.probe(Check::failed);
  EXPECT_TRUE(step.restart);
  EXPECT_EQ(step.transition,
            (HealthTransition{State::down, State::restarting, Why::restart_wanted}));
  Time asked = driver.now;
  EXPECT_EQ(driver.health.wake_at(), asked + 150s);
  step = driver.health.restarted(asked + 20s, Check::passed);
  EXPECT_TRUE(step.validate);
  EXPECT_EQ(step.transition,
            (HealthTransition{State::restarting, State::validating, Why::restart_done}));
  // It does not work, and was restarted a moment ago: not again yet.
  step = driver.health.validated(asked + 21s, Check::failed);
  EXPECT_FALSE(step.restart);
  EXPECT_EQ(driver.health.state(), State::down);
  driver.now = asked + 21s;
  while (!driver.probe(Check::failed).restart) ASSERT_LT(driver.now, asked + 80s);
  EXPECT_GE(driver.now, asked + 60s);
}

TEST(Health, OneThatAnswersProbesButNoRequestsIsRestartedToo) {
  auto policy = without_jitter();
  policy.restartable = true;
  Driver driver(policy);
  driver.go_down();
  EXPECT_TRUE(driver.probe(Check::passed).validate);
  auto step = driver.health.validated(driver.now, Check::failed);
  EXPECT_TRUE(step.restart);
  EXPECT_EQ(step.transition,
            (HealthTransition{State::validating, State::restarting, Why::validation_failed}));
  step = driver.health.restarted(driver.now, Check::failed);
  EXPECT_EQ(step.transition,
            (HealthTransition{State::restarting, State::down, Why::restart_failed}));
  EXPECT_TRUE(driver.health.wake_at());
}

TEST(Health, ARestartThatNeverEndsIsGivenUp) {
  auto policy = without_jitter();
  policy.restartable = true;
  Driver driver(policy);
  driver.go_down();
  driver.probe(Check::failed);
  Time at = driver.health.wake_at().value();
  EXPECT_EQ(driver.health.tick(at).transition,
            (HealthTransition{State::restarting, State::down, Why::restart_timed_out}));
  EXPECT_FALSE(driver.health.restarted(at + 1s, Check::passed).transition);  // too late
  driver.now = at;
  EXPECT_TRUE(driver.probe(Check::passed).validate);
}

TEST(Health, ValidationAndSlowStartCanBeSwitchedOff) {
  auto policy = without_jitter();
  policy.validate = false;
  Driver driver(policy);
  driver.go_down();
  auto step = driver.probe(Check::passed);
  EXPECT_FALSE(step.validate);
  EXPECT_EQ(driver.health.state(), State::slow_start);
  policy.slow_start = 0ms;
  Driver other(policy);
  other.go_down();
  EXPECT_EQ(other.probe(Check::passed).transition,
            (HealthTransition{State::down, State::healthy, Why::probe_passed}));
  EXPECT_EQ(other.health.wake_at(), other.now + 30s);
}

TEST(Health, AnswersNobodyAskedForAreIgnored) {
  Driver driver(without_jitter());
  EXPECT_FALSE(driver.health.probed(kStart, Check::failed).transition);
  EXPECT_FALSE(driver.health.validated(kStart, Check::failed).transition);
  EXPECT_FALSE(driver.health.restarted(kStart, Check::passed).transition);
  EXPECT_EQ(driver.health.strikes(), 0u);
  EXPECT_EQ(driver.health.state(), State::healthy);
}

TEST(Health, AnOutlierRestsLongerEachTime) {
  Driver driver(without_jitter());
  driver.probe(Check::passed);
  Time now = driver.now;
  for (auto rest : {30s, 60s, 90s, 120s, 150s, 180s, 210s, 240s, 270s, 300s, 300s}) {
    EXPECT_EQ(driver.health.eject(now).transition->to, State::ejected);
    EXPECT_FALSE(driver.health.usable());
    EXPECT_FALSE(driver.health.eject(now).transition);  // it rests already
    EXPECT_FALSE(driver.health.tick(now + rest - 1ms).transition);
    auto step = driver.health.tick(now + rest);
    ASSERT_EQ(step.transition,
              (HealthTransition{State::ejected, State::slow_start, Why::ejection_over}));
    now += rest;
  }
  EXPECT_EQ(driver.health.ejections(), 11u);
  driver.health.tick(now + 10s);
  now += 600s;
  driver.health.eject(now);
  EXPECT_EQ(driver.health.ejections(), 1u);
}

TEST(Health, AnEjectedOneIsStillProbed) {
  Driver driver(without_jitter());
  driver.probe(Check::passed);
  auto policy = without_jitter();
  policy.ejection = 300'000ms;
  Driver long_rest(policy);
  long_rest.probe(Check::passed);
  long_rest.health.eject(long_rest.now);
  EXPECT_FALSE(long_rest.probe(Check::failed).transition);
  EXPECT_FALSE(long_rest.probe(Check::failed).transition);
  EXPECT_EQ(long_rest.probe(Check::failed).transition,
            (HealthTransition{State::ejected, State::down, Why::probe_failed}));
  // A probe under way while it comes back is not doubled.
  driver.until_probe();
  driver.health.eject(driver.now);
  auto step = driver.health.tick(driver.now + 30s);
  EXPECT_EQ(step.transition->to, State::slow_start);
  EXPECT_FALSE(step.probe);
  EXPECT_FALSE(driver.health.tick(driver.now + 39s).probe);
}

TEST(Health, AnOpenBreakerMakesProbesFaster) {
  Driver driver(without_jitter());
  driver.probe(Check::passed);
  Time opened = driver.now + 10s;
  driver.health.breaker_opened(opened);
  EXPECT_EQ(driver.health.wake_at(), opened + 500ms);
  driver.health.breaker_opened(opened + 400ms);  // told already
  EXPECT_EQ(driver.health.wake_at(), opened + 500ms);
  driver.probe(Check::passed);
  EXPECT_EQ(driver.health.wake_at(), driver.now + 500ms);
  driver.health.breaker_closed();
  driver.probe(Check::passed);
  EXPECT_EQ(driver.health.wake_at(), driver.now + 30s);
  // Not later than planned, and not while one is under way.
  driver.health.breaker_opened(driver.now + 29'900ms);
  EXPECT_EQ(driver.health.wake_at(), driver.now + 30s);
  driver.health.breaker_closed();
  EXPECT_TRUE(driver.until_probe());
  driver.health.breaker_opened(driver.now);
  EXPECT_FALSE(driver.health.wake_at());
}

TEST(Health, JitterSpreadsProbes) {
  std::set<Time> first;
  std::set<Time> second;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Driver driver(HealthPolicy{}, seed);
    driver.probe(Check::passed);
    first.insert(driver.now);
    Time next = driver.health.wake_at().value();
    EXPECT_GE(next, driver.now + 30s);
    EXPECT_LE(next, driver.now + 33s);
    second.insert(next);
  }
  EXPECT_GT(first.size(), 40u);
  EXPECT_GT(second.size(), 45u);
}

TEST(Health, OddSettingsAreHarmless) {
  HealthPolicy policy;
  policy.strikes = 0;
  policy.fast_fraction = 0;
  policy.fast_slowest = 0ms;
  policy.slow_start_percent = 500;
  policy.ejection = 0ms;
  Driver driver(policy);
  driver.probe(Check::passed);
  driver.probe(Check::failed);
  EXPECT_EQ(driver.health.state(), State::down);
  driver.probe(Check::passed);
  driver.health.validated(driver.now, Check::passed);
  EXPECT_DOUBLE_EQ(driver.health.capacity_share(driver.now), 1.0);
  driver.health.eject(driver.now);
  EXPECT_EQ(driver.health.tick(driver.now).transition->to, State::slow_start);
}

TEST(Health, NamesAreDistinct) {
  std::set<std::string_view> states;
  for (int i = 0; i <= static_cast<int>(State::slow_start); ++i) {
    states.insert(to_string(static_cast<State>(i)));
  }
  EXPECT_EQ(states.size(), 7u);
  std::set<std::string_view> reasons;
  for (int i = 0; i <= static_cast<int>(Why::slow_start_over); ++i) {
    reasons.insert(to_string(static_cast<Why>(i)));
  }
  EXPECT_EQ(reasons.size(), 11u);
  EXPECT_FALSE(states.contains("unknown") || reasons.contains("unknown"));
  EXPECT_EQ(to_string(static_cast<State>(99)), "unknown");
  EXPECT_EQ(to_string(static_cast<Why>(99)), "unknown");
}

// Any order of events. What must hold: at most one thing is asked of the driver at a time, it never
// waits for nothing, transitions follow each other, and from anywhere it becomes healthy once all
// checks pass.
class RandomHealth {
 public:
  explicit RandomHealth(std::uint64_t seed)
      : random_(seed), health_(policy(random_), seed, kStart) {}

  void run() {
    for (int i = 0; i < 500; ++i) {
      event();
      if (::testing::Test::HasFatalFailure()) return;
    }
    for (int i = 0; i < 2000 && state_ != State::healthy; ++i) {
      answer(Check::passed);
      if (auto at = health_.wake_at()) now_ = std::max(now_, *at);
      saw(health_.tick(now_));
      if (::testing::Test::HasFatalFailure()) return;
    }
    ASSERT_EQ(state_, State::healthy);
  }

 private:
  static HealthPolicy policy(std::mt19937_64& random) {
    HealthPolicy policy;
    policy.restartable = random() % 2 == 0;
    policy.validate = random() % 4 != 0;
    return policy;
  }

  void event() {
    if (auto at = health_.wake_at(); at && random_() % 2 == 0) now_ = std::max(now_, *at);
    now_ += std::chrono::milliseconds(random_() % 1000);
    switch (random_() % 8) {
      case 0: saw(health_.eject(now_)); break;
      case 1: health_.breaker_opened(now_); break;
      case 2: health_.breaker_closed(); break;
      case 3:
      case 4: answer(random_() % 3 == 0 ? Check::passed : Check::failed); break;
      default: saw(health_.tick(now_)); break;
    }
  }

  void answer(Check result) {
    if (probing_) {
      probing_ = false;
      saw(health_.probed(now_, result));
    } else if (validating_) {
      validating_ = false;
      saw(health_.validated(now_, result));
    } else if (restarting_) {
      restarting_ = false;
      saw(health_.restarted(now_, result));
    }
  }

  void saw(const HealthStep& step) {
    if (step.transition) {
      ASSERT_EQ(step.transition->from, state_);
      ASSERT_NE(step.transition->to, state_);
      state_ = step.transition->to;
      if (state_ != State::restarting) restarting_ = false;  // given up
    }
    ASSERT_FALSE(step.probe && probing_);
    probing_ = probing_ || step.probe;
    validating_ = validating_ || step.validate;
    restarting_ = restarting_ || step.restart;
    ASSERT_EQ(health_.state(), state_);
    ASSERT_EQ(validating_, state_ == State::validating);
    ASSERT_EQ(restarting_, state_ == State::restarting);
    ASSERT_FALSE(probing_ && (validating_ || restarting_));
    ASSERT_TRUE(health_.wake_at() || probing_ || validating_);
    double share = health_.capacity_share(now_);
    ASSERT_EQ(share > 0, health_.usable());
    ASSERT_LE(share, 1.0);
  }

  std::mt19937_64 random_;
  EndpointHealth health_;
  Time now_ = kStart;
  State state_ = State::healthy;
  bool probing_ = false;
  bool validating_ = false;
  bool restarting_ = false;
};

TEST(HealthProperty, AnyOrderOfEvents) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    RandomHealth(seed).run();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace corral::gateway::health_test
