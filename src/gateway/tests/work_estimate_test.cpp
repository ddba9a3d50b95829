// What is learned of how long work takes.
#include "gateway/core/work_estimate.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace corral::gateway::work_estimate_test {
namespace {

using namespace std::chrono_literals;
using inference::Operation;

constexpr std::uint64_t kKib = 1024;

double seconds(std::optional<WorkEstimate::Duration> value) {
  return value ? std::chrono::duration<double>(*value).count() : -1;
}

Work chat(std::uint64_t bytes, bool stream = false) { return {Operation::chat, stream, bytes}; }

WorkEstimate::Duration of(double seconds) {
  return std::chrono::nanoseconds(std::llround(seconds * 1e9));
}

TEST(WorkEstimate, KnowsNothingAtFirst) {
  WorkEstimate estimate;
  EXPECT_FALSE(estimate.predict(chat(100)));
  EXPECT_FALSE(estimate.view(0));
}

TEST(WorkEstimate, OneRequestTellsOfTheNext) {
  WorkEstimate estimate;
  estimate.learn(chat(2 * kKib), 3s);
  EXPECT_DOUBLE_EQ(seconds(estimate.predict(chat(2 * kKib))), 3);
  EXPECT_DOUBLE_EQ(seconds(estimate.predict(chat(0))), 3);  // nothing is known of other sizes
}

TEST(WorkEstimate, LearnsAFixedPartAndOneForEachKib) {
  WorkEstimate estimate;
  std::mt19937 random(1);
  std::uniform_int_distribution<std::uint64_t> size(0, 32 * kKib);
  for (int i = 0; i < 200; ++i) {
    const auto input = size(random);
    estimate.learn(chat(input), of(2 + 0.25 * static_cast<double>(input) / kKib));
  }
  EXPECT_NEAR(seconds(estimate.predict(chat(0))), 2, 0.1);
  EXPECT_NEAR(seconds(estimate.predict(chat(8 * kKib))), 4, 0.1);
  EXPECT_NEAR(seconds(estimate.predict(chat(32 * kKib))), 10, 0.2);
  auto view = estimate.view(0);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->operation, Operation::chat);
  EXPECT_FALSE(view->stream);
  EXPECT_EQ(view->requests, 200u);
  EXPECT_NEAR(seconds(view->fixed), 2, 0.1);
  EXPECT_NEAR(seconds(view->per_kib), 0.25, 0.01);
  EXPECT_GT(view->usual, 3s);
}

// Whatever the numbers: with noise of half the duration the line is found.
TEST(WorkEstimate, ConvergesOnAnyLineThroughNoise) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> any(0.05, 5);
  for (int round = 0; round < 50; ++round) {
    const double fixed = any(random);
    const double rise = any(random);
    std::uniform_int_distribution<std::uint64_t> size(0, 16 * kKib);
    std::uniform_real_distribution<double> noise(0.5, 1.5);
    WorkEstimate estimate;
    auto truth = [&](std::uint64_t input) {
      return fixed + rise * static_cast<double>(input) / kKib;
    };
    for (int i = 0; i < 500; ++i) {
      const auto input = size(random);
      estimate.learn(chat(input), of(truth(input) * noise(random)));
    }
    for (const std::uint64_t input : {4 * kKib, 8 * kKib, 16 * kKib}) {
      EXPECT_NEAR(seconds(estimate.predict(chat(input))) / truth(input), 1, 0.35)
          << fixed << " + " << rise << " a KiB, at " << input;
    }
  }
}

TEST(WorkEstimate, KindsAreKeptApart) {
  WorkEstimate estimate;
  for (int i = 0; i < 20; ++i) {
    estimate.learn({Operation::chat, true, kKib}, 8s);
    estimate.learn({Operation::chat, false, kKib}, 4s);
    estimate.learn({Operation::completion, false, kKib}, 2s);
    estimate.learn({Operation::embedding, false, kKib}, 10ms);
  }
  EXPECT_NEAR(seconds(estimate.predict({Operation::chat, true, kKib})), 8, 1e-6);
  EXPECT_NEAR(seconds(estimate.predict({Operation::chat, false, kKib})), 4, 1e-6);
  EXPECT_NEAR(seconds(estimate.predict({Operation::completion, false, kKib})), 2, 1e-6);
  EXPECT_NEAR(seconds(estimate.predict({Operation::embedding, false, kKib})), 0.01, 1e-6);
}

TEST(WorkEstimate, AnUnknownKindIsLikeItsSiblings) {
  WorkEstimate estimate;
  estimate.learn({Operation::chat, true, kKib}, 8s);
  EXPECT_EQ(seconds(estimate.predict({Operation::chat, false, kKib})), 8);
  EXPECT_EQ(seconds(estimate.predict({Operation::completion, false, kKib})), 8);
  EXPECT_FALSE(estimate.predict({Operation::embedding, false, kKib}));
  estimate.learn({Operation::completion, false, kKib}, 3s);
  EXPECT_EQ(seconds(estimate.predict({Operation::completion, true, kKib})), 3);
  EXPECT_EQ(seconds(estimate.predict({Operation::chat, false, kKib})), 8);
  WorkEstimate embeddings;
  embeddings.learn({Operation::embedding, false, kKib}, 1s);
  EXPECT_FALSE(embeddings.predict({Operation::chat, false, kKib}));
}

TEST(WorkEstimate, AnOutlierDoesNotRuinIt) {
  WorkEstimate estimate;
  for (int i = 0; i < 100; ++i) estimate.learn(chat(kKib + 100 * (i % 7)), of(1 + 0.1 * (i % 3)));
  const double before = seconds(estimate.predict(chat(kKib)));
  estimate.learn(chat(kKib), 1h);
  EXPECT_NEAR(seconds(estimate.predict(chat(kKib))), before, 0.1);
  estimate.learn(chat(kKib), 0s);
  EXPECT_NEAR(seconds(estimate.predict(chat(kKib))), before, 0.1);
}

TEST(WorkEstimate, ARealChangeIsFollowed) {
  WorkEstimate estimate;
  for (int i = 0; i < 100; ++i) estimate.learn(chat(kKib), 1s);
  for (int i = 0; i < 60; ++i) estimate.learn(chat(kKib), 10s);
  EXPECT_GT(seconds(estimate.predict(chat(kKib))), 5);
  for (int i = 0; i < 200; ++i) estimate.learn(chat(kKib), 1s);
  EXPECT_NEAR(seconds(estimate.predict(chat(kKib))), 1, 0.2);
}

// Sizes that hardly differ say nothing of other sizes, and no prediction is below nothing.
TEST(WorkEstimate, NoiseGivesNoSlope) {
  std::mt19937 random(3);
  std::uniform_int_distribution<std::uint64_t> size(900, 1000);
  std::uniform_real_distribution<double> took(0.5, 5);
  WorkEstimate estimate;
  for (int i = 0; i < 300; ++i) estimate.learn(chat(size(random)), of(took(random)));
  const double usual = seconds(estimate.predict(chat(950)));
  EXPECT_NEAR(seconds(estimate.predict(chat(4 * kKib))), usual, usual);
}

TEST(WorkEstimate, StaysWithinReasonWhateverComes) {
  std::mt19937_64 random(11);
  WorkEstimate estimate;
  for (int i = 0; i < 20'000; ++i) {
    const auto shift = random() % 64;
    const Work work{static_cast<Operation>(random() % 3), random() % 2 == 0, random() >> shift};
    estimate.learn(work, std::chrono::nanoseconds(static_cast<std::int64_t>(random() >> shift)));
    const auto next = estimate.predict({work.operation, work.stream, random() >> (random() % 64)});
    ASSERT_TRUE(next);
    ASSERT_GE(next->count(), 0);
    ASSERT_LE(*next, 24h);
  }
}

TEST(WorkEstimate, GoesOnFromWhatWasKept) {
  WorkEstimate before;
  for (int i = 0; i < 50; ++i) {
    before.learn(chat(static_cast<std::uint64_t>(i) * kKib), of(1 + 0.5 * i));
    before.learn({Operation::embedding, true, 10}, 7s);
  }
  auto kept = before.kept();
  ASSERT_EQ(kept.size(), 2u);
  WorkEstimate after;
  for (const auto& kind : kept) EXPECT_TRUE(after.restore(kind));
  EXPECT_EQ(after.kept(), kept);
  EXPECT_EQ(after.predict(chat(20 * kKib)), before.predict(chat(20 * kKib)));
  EXPECT_EQ(after.view(0)->requests, 50u);
  EXPECT_DOUBLE_EQ(seconds(after.predict({Operation::embedding, true, 10})), 7);
  EXPECT_FALSE(after.view(3));
  // And learns as the one before would have.
  before.learn(chat(60 * kKib), 90s);
  after.learn(chat(60 * kKib), 90s);
  EXPECT_EQ(after.kept(), before.kept());
}

TEST(WorkEstimate, TakesNoNonsenseForWhatWasLearned) {
  const WorkEstimate::Kept good{Operation::chat, false, 3, 1, 2, 0.5, -0.1, 0.2};
  const double nan = std::nan("");
  for (double bad : {nan, -1.0, 1e30, double{INFINITY}}) {
    for (auto member : {&WorkEstimate::Kept::mean_kib, &WorkEstimate::Kept::mean_seconds,
                        &WorkEstimate::Kept::spread, &WorkEstimate::Kept::deviation}) {
      auto kind = good;
      kind.*member = bad;
      WorkEstimate estimate;
      EXPECT_FALSE(estimate.restore(kind)) << bad;
      EXPECT_FALSE(estimate.view(0));
    }
  }
  for (double bad : {nan, -1e30, 1e30}) {
    auto kind = good;
    kind.together = bad;
    EXPECT_FALSE(WorkEstimate().restore(kind)) << bad;
  }
  auto none = good;
  none.requests = 0;
  EXPECT_FALSE(WorkEstimate().restore(none));
  EXPECT_TRUE(WorkEstimate().restore(good));
}

}  // namespace
}  // namespace corral::gateway::work_estimate_test
