// What a benchmark's rounds come to, and which rounds fit its budget.
#include "models/core/bench.hpp"

#include <gtest/gtest.h>

namespace corral::models::bench_test {
namespace {

using Seconds = BenchCourse::Seconds;

BenchSample sample(double first, double ended, std::uint64_t prompt, std::uint64_t generated) {
  return {Seconds(0), Seconds(first), Seconds(ended), prompt, generated};
}

TEST(BenchMeasure, OneRequest) {
  const BenchRound round{{sample(0.5, 1.5, 100, 11)}, Seconds(1.5)};
  const auto out = measure_of({100, 1}, {round});
  EXPECT_EQ(out.requests, 1u);
  EXPECT_DOUBLE_EQ(out.prompt_rate, 200);
  EXPECT_DOUBLE_EQ(out.generation_rate, 10);
  EXPECT_DOUBLE_EQ(out.generation_rate_each, 10);
  EXPECT_DOUBLE_EQ(out.first_token_p50, 0.5);
  EXPECT_DOUBLE_EQ(out.first_token_worst, 0.5);
}

TEST(BenchMeasure, SeveralAtOnceCountTogether) {
  const BenchRound round{{sample(1, 3, 100, 21), sample(2, 4, 100, 41)}, Seconds(4)};
  const auto out = measure_of({100, 2}, {round});
  EXPECT_DOUBLE_EQ(out.prompt_rate, 100);          // 200 tokens until the last first token
  EXPECT_DOUBLE_EQ(out.generation_rate, 20);       // 60 tokens from 1 s to 4 s
  EXPECT_DOUBLE_EQ(out.generation_rate_each, 15);  // of 10 and 20
  EXPECT_DOUBLE_EQ(out.request_rate, 0.5);
  EXPECT_DOUBLE_EQ(out.first_token_p50, 1.5);
  EXPECT_DOUBLE_EQ(out.first_token_worst, 2);
}

TEST(BenchMeasure, WaitsCountFromTheRequestNotTheRound) {
  BenchSample late = sample(2, 3, 10, 2);
  late.begun = Seconds(1.5);
  EXPECT_DOUBLE_EQ(measure_of({10, 1}, {{{late}, Seconds(3)}}).first_token_worst, 0.5);
}

TEST(BenchMeasure, OfSeveralRoundsTheMedianCounts) {
  std::vector<BenchRound> rounds;
  for (double first : {1.0, 0.5, 4.0}) rounds.push_back({{sample(first, first + 1, 100, 2)}, {}});
  const auto out = measure_of({100, 1}, rounds);
  EXPECT_EQ(out.rounds, 3u);
  EXPECT_DOUBLE_EQ(out.prompt_rate, 100);
  EXPECT_DOUBLE_EQ(out.first_token_worst, 4);
}

TEST(BenchMeasure, NothingAndNoTimeAreNoRates) {
  EXPECT_EQ(measure_of({1, 1}, {}).first_token_worst, 0);
  const auto out = measure_of({1, 1}, {{{sample(0, 0, 1, 1)}, Seconds(0)}});
  EXPECT_EQ(out.prompt_rate, 0);
  EXPECT_EQ(out.generation_rate, 0);
}

TEST(BenchMeasure, TheMedianOfAnEvenNumberIsBetween) {
  EXPECT_DOUBLE_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_DOUBLE_EQ(median({}), 0);
}

TEST(BenchCases, CheapestFirstAndNoDoubles) {
  const auto cases = bench_cases({512, 128, 128}, {1, 4});
  ASSERT_EQ(cases.size(), 4u);
  EXPECT_EQ(cases[0], (BenchCase{128, 1}));
  EXPECT_EQ(cases[1], (BenchCase{512, 1}));
  EXPECT_EQ(cases[2], (BenchCase{128, 4}));
  EXPECT_EQ(cases[3], (BenchCase{512, 4}));
}

TEST(BenchCases, LengthsLeaveRoomForTheAnswer) {
  EXPECT_EQ(default_prompts(4096, 64), (std::vector<unsigned>{128, 512, 2048}));
  EXPECT_EQ(default_prompts(1024, 64), (std::vector<unsigned>{128, 512}));
  EXPECT_EQ(default_prompts(512, 64), (std::vector<unsigned>{128}));
  EXPECT_EQ(default_prompts(100, 64), (std::vector<unsigned>{50}));
  EXPECT_EQ(default_prompts(1, 64), (std::vector<unsigned>{1}));
}

// Runs a course whose rounds take as long as their tokens at a rate.
struct Simulated {
  std::vector<std::size_t> order;
  Seconds elapsed{0};
};
Simulated simulate(BenchCourse& course, double tokens_a_second) {
  Simulated out;
  while (auto index = course.next(out.elapsed)) {
    const auto& what = course.cases()[*index];
    const Seconds took{what.prompt * what.concurrency / tokens_a_second};
    course.measured({{sample(took.count(), took.count(), what.prompt, 1)}, took});
    out.elapsed += took;
    out.order.push_back(*index);
  }
  return out;
}

TEST(BenchCourse, EveryCaseBeforeAnyAgain) {
  BenchCourse course({bench_cases({1, 2}, {1}), 3, Seconds(1000)});
  const auto run = simulate(course, 1);
  EXPECT_EQ(run.order, (std::vector<std::size_t>{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(course.rounds_done(), course.rounds_wanted());
  EXPECT_TRUE(course.skipped().empty());
  EXPECT_EQ(course.results()[1].rounds, 3u);
}

TEST(BenchCourse, WhatDoesNotFitTheBudgetIsSkippedAndSaid) {
  BenchCourse course({bench_cases({1, 2, 100}, {1}), 3, Seconds(20)});
  const auto run = simulate(course, 1);
  EXPECT_LE(run.elapsed, Seconds(20));
  EXPECT_EQ(course.results().size(), 2u);
  ASSERT_EQ(course.skipped().size(), 1u);
  EXPECT_EQ(course.skipped()[0].prompt, 100u);
}

TEST(BenchCourse, TheFirstRoundIsMadeInAnyCase) {
  BenchCourse course({bench_cases({100}, {1}), 3, Seconds(0)});
  EXPECT_EQ(simulate(course, 1).order.size(), 1u);
}

TEST(BenchCourse, EndsInTimeWhateverTheBudget) {
  for (int budget = 1; budget < 200; ++budget) {
    BenchCourse course({bench_cases({8, 32, 64}, {1, 4}), 3, Seconds(budget)});
    const auto run = simulate(course, 10);
    if (run.order.size() > 1) EXPECT_LE(run.elapsed, Seconds(budget)) << budget;
  }
}

TEST(BenchCourse, NoCasesNoRounds) {
  BenchCourse course({{}, 3, Seconds(10)});
  EXPECT_FALSE(course.next(Seconds(0)));
}

}  // namespace
}  // namespace corral::models::bench_test
