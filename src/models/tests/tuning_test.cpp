// The search for better engine settings, driven by machines that are made up.
#include "models/core/tuning.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <random>

namespace corral::models::tuning_test {
namespace {

using Seconds = Tuner::Seconds;
using ::testing::HasSubstr;

TuneFacts facts() {
  TuneFacts out;
  out.threads = 4;
  out.logical_cpus = 8;
  out.batch = 256;
  out.slots = 4;
  out.concurrency = 4;
  out.context = 4096;
  out.can_repack = true;
  return out;
}

// A machine: how fast a choice truly is, how much measurements vary, and how long one takes.
struct MadeUp {
  std::function<TuneScore(const EngineChoice&)> speed;
  double noise = 0;  // each rate is off by up to this share
  Seconds takes{10};
  std::function<bool(const EngineChoice&)> fails = [](const EngineChoice&) { return false; };
};

struct Run {
  std::vector<std::string> trials;
  Seconds elapsed{0};
  bool in_time = true;
};

Run drive(Tuner& tuner, const MadeUp& machine, unsigned seed) {
  std::mt19937 random(seed);
  auto off = [&](double rate) {
    std::uniform_real_distribution<double> share(1 - machine.noise, 1 + machine.noise);
    return rate * share(random);
  };
  std::uniform_real_distribution<double> longer(0.9, 1.1);
  Run run;
  while (auto trial = tuner.next(run.elapsed)) {
    run.trials.push_back(trial->what);
    EXPECT_GE(trial->limit, Seconds(0));
    const Seconds took = machine.takes * longer(random);
    // As the driver does: what takes too long is cut off.
    if (took > trial->limit) {
      run.elapsed += trial->limit;
      run.in_time = run.trials.size() == 1;
      tuner.failed("it took too long", trial->limit);
    } else if (machine.fails(trial->choice)) {
      run.elapsed += took;
      tuner.failed("it did not start", took);
    } else {
      run.elapsed += took;
      const auto score = machine.speed(trial->choice);
      tuner.measured({off(score.prompt), off(score.generation), off(score.together)}, took);
    }
    EXPECT_LT(run.trials.size(), 1000u);
  }
  return run;
}

TuneScore even(double factor) { return {100 * factor, 20 * factor, 50 * factor}; }

// Batch 512 is good, 2 threads are better still; nothing else matters.
TuneScore known(const EngineChoice& choice) {
  double factor = 1;
  if (choice.batch == 512u) factor *= 1.2;
  if (choice.threads == 2u) factor *= 1.3;
  if (choice.threads == 8u) factor *= 0.7;
  return even(factor);
}

TEST(TuneScoreOf, IsTheGeometricMeanOfWhatApplies) {
  EXPECT_NEAR((TuneScore{8, 27, 1}.total()), std::cbrt(8.0 * 27), 1e-9);
  EXPECT_NEAR((TuneScore{4, 0, 9}.total()), 6, 1e-9);
  EXPECT_EQ(TuneScore{}.total(), 0);
}

TEST(TuneAxes, OnTheHostThreadsBatchAndRepack) {
  std::vector<std::string> names;
  for (const auto& axis : tune_axes(facts())) names.push_back(axis.name);
  EXPECT_THAT(names, ::testing::ElementsAre("threads", "batch", "repack"));
}

TEST(TuneAxes, ThreadsAreNeverMoreThanThereAreNorTheDefault) {
  for (unsigned threads = 1; threads <= 16; ++threads) {
    for (unsigned cpus = threads; cpus <= 16; ++cpus) {
      auto known = facts();
      known.threads = threads;
      known.logical_cpus = cpus;
      for (const auto& axis : tune_axes(known)) {
        if (axis.name != "threads") continue;
        for (const auto& value : axis.values) {
          EXPECT_GE(*value.threads, 1u);
          EXPECT_LE(*value.threads, cpus);
          EXPECT_NE(*value.threads, threads);
        }
      }
    }
  }
}

TEST(TuneAxes, WhatTheConfigurationSaysIsLeftAlone) {
  auto known = facts();
  known.layers = 10;
  known.concurrency = 8;
  known.smaller_cache = true;
  known.fixed_threads = known.fixed_batch = known.fixed_slots = known.fixed_cache =
      known.fixed_layers = true;
  known.can_repack = false;
  EXPECT_TRUE(tune_axes(known).empty());
}

TEST(TuneAxes, QualityIsLoweredOnlyWhenAsked) {
  auto has_cache = [](const TuneFacts& known) {
    auto axes = tune_axes(known);
    return std::ranges::any_of(axes, [](const auto& axis) { return axis.name == "cache"; });
  };
  auto known = facts();
  EXPECT_FALSE(has_cache(known));
  known.smaller_cache = true;
  EXPECT_TRUE(has_cache(known));
}

TEST(TuneAxes, MoreSlotsForMoreAtOnceAndLayersWithAnAccelerator) {
  auto known = facts();
  known.concurrency = 16;
  known.layers = 20;
  known.on_host = false;
  known.embedding = true;
  std::vector<std::string> names;
  for (const auto& axis : tune_axes(known)) names.push_back(axis.name);
  EXPECT_THAT(names, ::testing::ElementsAre("layers", "slots"));
}

TEST(Tuner, FindsWhatIsBetterAndMeasuresItAgainInPairs) {
  Tuner tuner({.budget = Seconds(10'000)}, tune_axes(facts()));
  const auto run = drive(tuner, {known, 0.005}, 1);
  EXPECT_TRUE(tuner.outcome().better) << tuner.outcome().why;
  EXPECT_EQ(tuner.outcome().choice.threads, 2u);
  EXPECT_EQ(tuner.outcome().choice.batch, 512u);
  EXPECT_FALSE(tuner.outcome().choice.repack.has_value());
  EXPECT_NEAR(tuner.outcome().gain, 0.56, 0.03);
  EXPECT_THAT(tuner.outcome().why, HasSubstr("threads 2, batch 512: 5"));
  ASSERT_GT(run.trials.size(), 6u);
  EXPECT_EQ(run.trials.front(), "the default");
  // Default, winner; winner, default; default, winner.
  const std::vector<std::string> last(run.trials.end() - 6, run.trials.end());
  EXPECT_THAT(last[0], HasSubstr("the default against"));
  EXPECT_THAT(last[1], HasSubstr("against the default"));
  EXPECT_THAT(last[2], HasSubstr("against the default"));
  EXPECT_THAT(last[3], HasSubstr("the default against"));
  EXPECT_THAT(last[5], HasSubstr("against the default"));
}

TEST(Tuner, WhereNothingIsBetterTheDefaultStays) {
  Tuner tuner({.budget = Seconds(10'000)}, tune_axes(facts()));
  drive(tuner, {[](const EngineChoice&) { return even(1); }, 0.005}, 1);
  EXPECT_FALSE(tuner.outcome().better);
  EXPECT_THAT(tuner.outcome().why, HasSubstr("nothing that was tried is faster"));
}

TEST(Tuner, WithoutAnythingToTryTheDefaultStays) {
  Tuner tuner({.budget = Seconds(100)}, {});
  EXPECT_EQ(drive(tuner, {known}, 1).trials.size(), 1u);
  EXPECT_FALSE(tuner.outcome().better);
}

TEST(Tuner, TheSameMeasurementsLeadToTheSameTrials) {
  for (unsigned seed = 1; seed < 20; ++seed) {
    Tuner one({.budget = Seconds(300)}, tune_axes(facts()));
    Tuner two({.budget = Seconds(300)}, tune_axes(facts()));
    const auto first = drive(one, {known, 0.05}, seed);
    EXPECT_EQ(first.trials, drive(two, {known, 0.05}, seed).trials);
    EXPECT_EQ(one.outcome().choice, two.outcome().choice);
    EXPECT_EQ(one.outcome().better, two.outcome().better);
  }
}

// Random machines, where each setting of each kind makes it faster or slower.
std::function<TuneScore(const EngineChoice&)> random_machine(unsigned seed) {
  return [seed](const EngineChoice& choice) {
    auto factor = [seed](unsigned kind, std::uint64_t value) {
      std::mt19937_64 random(seed * 1'000'003 + kind * 7919 + value);
      return std::uniform_real_distribution<double>(0.6, 1.5)(random);
    };
    TuneScore score{100, 20, 50};
    for (double* rate : {&score.prompt, &score.generation, &score.together}) {
      const auto which = static_cast<unsigned>(rate - &score.prompt);
      if (choice.threads) *rate *= factor(1 + 10 * which, *choice.threads);
      if (choice.batch) *rate *= factor(2 + 10 * which, *choice.batch);
      if (choice.repack) *rate *= factor(3 + 10 * which, *choice.repack ? 1 : 0);
    }
    return score;
  };
}

TEST(Tuner, IsNeverWorseThanTheDefaultInAnyRate) {
  int kept = 0;
  for (unsigned seed = 1; seed <= 500; ++seed) {
    const auto speed = random_machine(seed);
    Tuner tuner({.budget = Seconds(10'000)}, tune_axes(facts()));
    drive(tuner, {speed, 0.005}, seed);
    if (!tuner.outcome().better) continue;
    ++kept;
    const auto base = speed({});
    const auto got = speed(tuner.outcome().choice);
    EXPECT_GT(got.total(), base.total()) << seed;
    // But for what cannot be told from noise.
    EXPECT_GT(got.prompt, base.prompt * 0.98) << seed;
    EXPECT_GT(got.generation, base.generation * 0.98) << seed;
    EXPECT_GT(got.together, base.together * 0.98) << seed;
  }
  EXPECT_GT(kept, 20);  // or nothing was shown
}

TEST(Tuner, NoiseIsNotTakenForSpeed) {
  int kept = 0;
  for (unsigned seed = 1; seed <= 500; ++seed) {
    Tuner tuner({.budget = Seconds(10'000)}, tune_axes(facts()));
    drive(tuner, {[](const EngineChoice&) { return even(1); }, 0.2}, seed);
    kept += tuner.outcome().better ? 1 : 0;
  }
  EXPECT_LT(kept, 25);  // one in twenty
}

TEST(Tuner, WhatGainsInOneRateAndLosesInAnotherIsNotKept) {
  Tuner tuner({.budget = Seconds(10'000)}, tune_axes(facts()));
  drive(tuner,
        {[](const EngineChoice& choice) {
           return choice.batch == 1024u ? TuneScore{200, 15, 50} : TuneScore{100, 20, 50};
         },
         0.002},
        1);
  EXPECT_FALSE(tuner.outcome().better);
  EXPECT_GT(tuner.outcome().gain, 0.1);
  EXPECT_THAT(tuner.outcome().why, HasSubstr("slower with one answer"));
}

TEST(Tuner, EndsWithinTheBudget) {
  for (int budget = 1; budget <= 400; ++budget) {
    for (double takes : {0.5, 7.0, 60.0, 500.0}) {
      Tuner tuner({.budget = Seconds(budget)}, tune_axes(facts()));
      const auto run = drive(tuner, {known, 0.02, Seconds(takes)}, 3);
      EXPECT_LE(run.elapsed, Seconds(budget)) << budget << " " << takes;
      EXPECT_TRUE(run.in_time) << "only the first trial may be cut off";
      EXPECT_FALSE(tuner.next(run.elapsed)) << "it is over";
      if (tuner.outcome().better) EXPECT_GE(run.trials.size(), 6u);
      EXPECT_FALSE(tuner.outcome().why.empty());
    }
  }
}

TEST(Tuner, WithoutTimeTheDefaultStays) {
  Tuner none({.budget = Seconds(0)}, tune_axes(facts()));
  EXPECT_FALSE(none.next(Seconds(0)));
  EXPECT_THAT(none.outcome().why, HasSubstr("no time to measure"));
  Tuner one({.budget = Seconds(20)}, tune_axes(facts()));
  EXPECT_EQ(drive(one, {known}, 1).trials.size(), 1u);
  EXPECT_FALSE(one.outcome().better);
  ASSERT_TRUE(one.base());
  EXPECT_GT(one.base()->total(), 0);
}

TEST(Tuner, APairThatTimeDoesNotAllowDoesNotCount) {
  Tuner tuner({.budget = Seconds(1000)}, tune_axes(facts()));
  double elapsed = 0;
  while (auto trial = tuner.next(Seconds(elapsed))) {
    const bool pairs = trial->what.contains("against");
    tuner.measured(known(trial->choice), Seconds(1));
    elapsed += pairs ? 1000 : 1;  // somebody else took the machine
  }
  EXPECT_FALSE(tuner.outcome().better);
  EXPECT_THAT(tuner.outcome().why, HasSubstr("no time to compare"));
}

TEST(Tuner, WhatDoesNotStartIsPassedOver) {
  Tuner tuner({.budget = Seconds(10'000)}, tune_axes(facts()));
  MadeUp machine{known, 0.002};
  machine.fails = [](const EngineChoice& choice) { return choice.threads == 2u; };
  drive(tuner, machine, 1);
  EXPECT_TRUE(tuner.outcome().better);
  EXPECT_FALSE(tuner.outcome().choice.threads.has_value());
  EXPECT_TRUE(std::ranges::any_of(
      tuner.tried(), [](const auto& each) { return each.problem == "it did not start"; }));
}

TEST(Tuner, ADefaultThatFailsEndsIt) {
  Tuner tuner({.budget = Seconds(10'000)}, tune_axes(facts()));
  MadeUp machine{known};
  machine.fails = [](const EngineChoice& choice) { return choice.empty(); };
  EXPECT_EQ(drive(tuner, machine, 1).trials.size(), 1u);
  EXPECT_THAT(tuner.outcome().why, HasSubstr("the default could not be measured"));
}

TEST(Tuner, AWinnerThatFailsInThePairsIsNotKept) {
  Tuner tuner({.budget = Seconds(10'000)}, tune_axes(facts()));
  double elapsed = 0;
  while (auto trial = tuner.next(Seconds(elapsed))) {
    elapsed += 1;
    if (trial->what.contains("against the default")) {
      tuner.failed("it crashed", Seconds(1));
    } else {
      tuner.measured(known(trial->choice), Seconds(1));
    }
  }
  EXPECT_FALSE(tuner.outcome().better);
  EXPECT_THAT(tuner.outcome().why, HasSubstr("it crashed"));
}

TEST(EngineChoices, MergeAndSayWhatTheyAre) {
  EngineChoice base, over;
  base.threads = 4;
  base.batch = 512;
  over.batch = 128;
  over.slots = 8;
  over.cache = CacheType::q8_0;
  over.repack = false;
  over.gpu_layers = 3;
  const auto both = merged(base, over);
  EXPECT_EQ(describe(both), "threads 4, batch 128, slots 8, cache q8_0, repack off, layers 3");
  EXPECT_EQ(merged(both, {}), both);
  EXPECT_EQ(describe({}), "as it is");
  EXPECT_TRUE(EngineChoice{}.empty());
  EXPECT_FALSE(both.empty());
}

}  // namespace
}  // namespace corral::models::tuning_test
