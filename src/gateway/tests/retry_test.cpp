#include "gateway/core/retry.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <set>

namespace corral::gateway::retry_test {
namespace {

using namespace std::chrono_literals;
using Time = FailedTry::Time;

const Time kStart{1000s};
constexpr std::uint64_t kMost = ~std::uint64_t{0};  // the longest delay

RetryBudget plenty() { return RetryBudget({.percent = 0, .floor_per_second = 1e6}); }

TEST(Retry, DelaysDoubleUpToABound) {
  auto budget = plenty();
  RetryPolicy policy = RetryPolicy::interactive();
  policy.tries = 100;
  unsigned attempts = 1;
  for (auto bound : {100ms, 200ms, 400ms, 800ms, 1600ms, 2000ms, 2000ms}) {
    FailedTry failed{.attempts = attempts++, .now = kStart, .random = kMost};
    EXPECT_EQ(next_try(policy, budget, failed), bound);
    failed.random = 0;
    EXPECT_EQ(next_try(policy, budget, failed), 0ms);
  }
  auto background = RetryPolicy::background();
  background.tries = 100;
  attempts = 1;
  for (auto bound : {2000ms, 4000ms, 8000ms, 10000ms, 10000ms}) {
    FailedTry failed{.attempts = attempts++, .now = kStart, .random = kMost};
    EXPECT_EQ(next_try(background, budget, failed), bound);
  }
}

TEST(Retry, JitterIsFull) {
  auto budget = plenty();
  std::mt19937_64 random(1);
  double sum = 0;
  for (int i = 0; i < 2000; ++i) {
    FailedTry failed{.attempts = 2, .now = kStart, .random = random()};
    auto delay = next_try(RetryPolicy::interactive(), budget, failed);
    ASSERT_TRUE(delay);
    ASSERT_GE(*delay, 0ms);
    ASSERT_LE(*delay, 200ms);
    sum += static_cast<double>(delay->count());
  }
  EXPECT_NEAR(sum / 2000, 100, 5);
}

TEST(Retry, GivesUpForAReason) {
  auto budget = plenty();
  auto policy = RetryPolicy::interactive();
  auto reason = [&](FailedTry failed) { return next_try(policy, budget, failed).error(); };
  for (auto outcome : {Outcome::client_error, Outcome::cancelled, Outcome::success}) {
    EXPECT_EQ(reason({.outcome = outcome, .now = kStart}), GiveUp::not_retryable);
  }
  EXPECT_EQ(reason({.attempts = 3, .now = kStart}), GiveUp::tries_used);
  EXPECT_EQ(reason({.now = kStart, .deadline = kStart + 100ms, .random = kMost}), GiveUp::deadline);
  EXPECT_EQ(reason({.now = kStart, .deadline = kStart}), GiveUp::deadline);
  EXPECT_TRUE(next_try(
      policy, budget, {.attempts = 0, .now = kStart, .deadline = kStart + 101ms, .random = kMost}));
  RetryBudget none({.percent = 20, .floor_per_second = 0});
  EXPECT_EQ(next_try(policy, none, {.now = kStart}).error(), GiveUp::budget);
}

TEST(Retry, RetryAfterOfTheSameTargetIsHonoured) {
  auto budget = plenty();
  auto policy = RetryPolicy::interactive();
  FailedTry failed{.outcome = Outcome::rate_limited, .now = kStart, .retry_after = 7s};
  EXPECT_EQ(next_try(policy, budget, failed), 7000ms);
  failed.deadline = kStart + 7s;
  EXPECT_EQ(next_try(policy, budget, failed).error(), GiveUp::deadline);
  failed.deadline.reset();
  failed.retry_after = std::chrono::seconds::max();
  EXPECT_EQ(next_try(policy, budget, failed), 24h);
  failed.retry_after = -5s;
  EXPECT_EQ(next_try(policy, budget, failed), 0ms);
}

TEST(Retry, WhatIsGivenUpCostsNothing) {
  RetryBudget budget({.percent = 0, .floor_per_second = 1});
  auto policy = RetryPolicy::interactive();
  EXPECT_FALSE(next_try(policy, budget, {.attempts = 3, .now = kStart}));
  EXPECT_FALSE(next_try(policy, budget, {.now = kStart, .deadline = kStart}));
  EXPECT_FALSE(next_try(policy, budget, {.outcome = Outcome::client_error, .now = kStart}));
  EXPECT_TRUE(next_try(policy, budget, {.now = kStart}));
  EXPECT_FALSE(next_try(policy, budget, {.now = kStart}));
}

TEST(Retry, NamesAreDistinct) {
  std::set<std::string_view> names;
  for (auto why : {GiveUp::not_retryable, GiveUp::tries_used, GiveUp::deadline, GiveUp::budget}) {
    names.insert(to_string(why));
  }
  EXPECT_EQ(names.size(), 4u);
  EXPECT_EQ(to_string(static_cast<GiveUp>(99)), "unknown");
}

TEST(LoadBudget, QuietRoutesMayRetryAFewTimesASecond) {
  LoadBudget budget(BudgetPolicy::for_retries());
  EXPECT_EQ(budget.left(kStart), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.try_spend(kStart));
  EXPECT_FALSE(budget.try_spend(kStart));
  EXPECT_FALSE(budget.try_spend(kStart - 1s));  // a clock read earlier gives nothing
  EXPECT_FALSE(budget.try_spend(kStart + 333ms));
  EXPECT_TRUE(budget.try_spend(kStart + 334ms));
  EXPECT_FALSE(budget.try_spend(kStart + 334ms));
  EXPECT_EQ(budget.left(kStart + 1h), 3u);  // not saved up
}

TEST(LoadBudget, AFifthOfTheLoadOfTheLastTenSeconds) {
  LoadBudget budget({.percent = 20, .floor_per_second = 0});
  for (int i = 0; i < 100; ++i) budget.request(kStart);
  EXPECT_EQ(budget.left(kStart), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(budget.try_spend(kStart + 5s));
  EXPECT_FALSE(budget.try_spend(kStart + 5s));
  for (int i = 0; i < 5; ++i) budget.request(kStart + 6s);
  EXPECT_TRUE(budget.try_spend(kStart + 6s));
  EXPECT_FALSE(budget.try_spend(kStart + 11s));  // the requests are too long ago
  EXPECT_EQ(budget.left(kStart + 30s), 0u);
}

TEST(LoadBudget, AFloorBelowOneASecondStillAllowsOne) {
  LoadBudget budget({.percent = 0, .floor_per_second = 0.1});
  EXPECT_TRUE(budget.try_spend(kStart));
  EXPECT_FALSE(budget.try_spend(kStart + 9s));
  EXPECT_TRUE(budget.try_spend(kStart + 19s));
}

TEST(LoadBudget, HedgesAreFiveOfAHundred) {
  LoadBudget budget(BudgetPolicy::for_hedges());
  EXPECT_FALSE(budget.try_spend(kStart));
  for (int i = 0; i < 60; ++i) budget.request(kStart + i * 1s);
  unsigned spent = 0;
  while (budget.try_spend(kStart + 59s)) ++spent;
  EXPECT_GE(spent, 2u);
  EXPECT_LE(spent, 3u);
}

// How much was spent in the windows that end at each spending, against the requests of the last
// `windows` of them.
void expect_bound(BudgetPolicy policy, std::uint64_t seed, int windows) {
  std::mt19937_64 random(seed);
  LoadBudget budget(policy);
  std::deque<Time> requests;
  std::deque<Time> spent;
  Time now = kStart + std::chrono::milliseconds(random() % 5000);
  unsigned rate = 1 + random() % 20;
  double floor = policy.floor_per_second * 11;  // ten seconds, and what was saved up
  std::size_t granted = 0;
  for (int i = 0; i < 4000; ++i) {
    if (random() % 400 == 0) rate = 1 + random() % 50;                    // the load changes
    if (random() % 800 == 0) now += std::chrono::seconds(random() % 15);  // silence
    now += std::chrono::milliseconds(random() % rate);
    if (random() % 2 == 0) {
      budget.request(now);
      requests.push_back(now);
    }
    if (!budget.try_spend(now)) continue;
    ++granted;
    spent.push_back(now);
    while (!requests.empty() && requests.front() <= now - windows * policy.window) {
      requests.pop_front();
    }
    while (spent.front() <= now - policy.window) spent.pop_front();
    double part = policy.percent / 100.0 * static_cast<double>(requests.size());
    ASSERT_LE(static_cast<double>(spent.size()), part + floor) << "seed " << seed;
  }
  EXPECT_GT(granted, 50u);  // more was asked for than there was
}

TEST(LoadBudgetProperty, NeverMoreThanThePartAndTheFloorInAnyWindow) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    expect_bound({.percent = 20, .floor_per_second = 0}, seed, 1);
    expect_bound({.percent = 0, .floor_per_second = 3}, seed, 1);
    expect_bound(BudgetPolicy::for_retries(), seed, 2);
  }
}

}  // namespace
}  // namespace corral::gateway::retry_test
