#include "gateway/core/latency.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace corral::gateway::latency_test {
namespace {

using namespace std::chrono_literals;
using Time = PeakEwma::Time;

const Time kStart{1000s};

double ms(std::chrono::nanoseconds duration) { return static_cast<double>(duration.count()) / 1e6; }

TEST(PeakEwma, JumpsUpAtOnceAndSinksSlowly) {
  PeakEwma ewma;
  EXPECT_FALSE(ewma.latency(kStart));
  ewma.observe(100ms, kStart);
  EXPECT_EQ(ewma.latency(kStart), 100ms);
  ewma.observe(900ms, kStart);
  EXPECT_EQ(ewma.latency(kStart), 900ms);
  ewma.observe(100ms, kStart);  // no time has passed: weighs nothing
  EXPECT_EQ(ewma.latency(kStart), 900ms);
  ewma.observe(100ms, kStart + 10s);
  EXPECT_NEAR(ms(*ewma.latency(kStart + 10s)), 100 + 800 / std::exp(1.0), 0.01);
}

TEST(PeakEwma, SinksWithoutSamplesSoThatItIsTriedAgain) {
  PeakEwma ewma(10s);
  ewma.observe(30s, kStart);
  EXPECT_NEAR(ms(*ewma.latency(kStart + 10s)), 30'000 / std::exp(1.0), 0.1);
  EXPECT_LT(ms(*ewma.latency(kStart + 60s)), 100);
}

TEST(PeakEwma, CostGrowsWithWhatIsUnderWay) {
  PeakEwma ewma;
  EXPECT_DOUBLE_EQ(ewma.cost(0, kStart, 200ms), 200e6);  // fresh: as its group
  EXPECT_DOUBLE_EQ(ewma.cost(3, kStart, 200ms), 800e6);
  ewma.observe(50ms, kStart);
  EXPECT_DOUBLE_EQ(ewma.cost(0, kStart, 200ms), 50e6);
  EXPECT_DOUBLE_EQ(ewma.cost(1, kStart, 200ms), 100e6);
}

TEST(PeakEwma, AFailureIsNotFast) {
  PeakEwma ewma;
  ewma.observe_failure(300ms, kStart);
  EXPECT_EQ(ewma.latency(kStart), 300ms);
  ewma.observe_failure(300ms, kStart);
  EXPECT_EQ(ewma.latency(kStart), 600ms);
  for (int i = 0; i < 100; ++i) ewma.observe_failure(1ms, kStart);
  EXPECT_EQ(ewma.latency(kStart), 60s);
}

TEST(PeakEwma, OddTimesAreHarmless) {
  PeakEwma ewma;
  ewma.observe(-5ms, kStart);
  EXPECT_EQ(ewma.latency(kStart), 0ns);
  ewma.observe(10ms, kStart);
  ewma.observe(5ms, kStart - 1h);  // read before the other
  EXPECT_EQ(ewma.latency(kStart - 1h), 10ms);
}

TEST(LatencyQuantile, IsSmall) { EXPECT_LT(sizeof(LatencyQuantile), 2048u); }

TEST(LatencyQuantile, AgreesWithTheExactOneWithinAFewPercent) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    std::mt19937_64 random(seed);
    std::lognormal_distribution<double> distribution(std::log(80.0), 1.0);  // in ms
    LatencyQuantile quantile;
    std::vector<double> exact;
    for (int i = 0; i < 20'000; ++i) {
      double value = distribution(random);
      exact.push_back(value);
      quantile.observe(std::chrono::nanoseconds(static_cast<std::int64_t>(value * 1e6)), kStart);
    }
    std::ranges::sort(exact);
    for (double part : {0.1, 0.5, 0.9, 0.95, 0.99}) {
      double truth = exact[static_cast<std::size_t>(part * static_cast<double>(exact.size()))];
      EXPECT_NEAR(ms(*quantile.quantile(part, kStart)) / truth, 1.0, 0.04) << part;
    }
    EXPECT_NEAR(quantile.samples(kStart), 20'000, 1);
  }
}

TEST(LatencyQuantile, ForgetsOldSamples) {
  LatencyQuantile quantile(60s);
  EXPECT_FALSE(quantile.quantile(0.5, kStart));
  EXPECT_EQ(quantile.samples(kStart), 0);
  for (int i = 0; i < 1000; ++i) quantile.observe(2s, kStart);
  EXPECT_NEAR(quantile.samples(kStart + 60s), 1000 / std::exp(1.0), 0.1);
  for (int i = 0; i < 1000; ++i) quantile.observe(20ms, kStart + 300s);
  EXPECT_NEAR(ms(*quantile.quantile(0.95, kStart + 300s)), 20, 1);
  // Long silence, and far beyond what weights can carry without being rescaled.
  EXPECT_FALSE(quantile.quantile(0.95, kStart + 24h));
  quantile.observe(40ms, kStart + 24h);
  EXPECT_NEAR(ms(*quantile.quantile(0.95, kStart + 24h)), 40, 2);
  EXPECT_NEAR(quantile.samples(kStart + 24h), 1, 0.01);
}

TEST(LatencyQuantile, StaysRightOverADayOfTraffic) {
  LatencyQuantile quantile(60s);
  Time now = kStart;
  for (int i = 0; i < 200'000; ++i) {
    now += 400ms;
    quantile.observe(i % 10 == 0 ? 1s : 50ms, now);
  }
  EXPECT_NEAR(quantile.samples(now), 150, 3);
  EXPECT_NEAR(ms(*quantile.quantile(0.5, now)), 50, 2);
  EXPECT_NEAR(ms(*quantile.quantile(0.95, now)), 1000, 35);
}

TEST(LatencyQuantile, ExtremesFallIntoTheOuterBuckets) {
  LatencyQuantile quantile;
  quantile.observe(-1s, kStart);
  quantile.observe(0s, kStart);
  EXPECT_EQ(quantile.quantile(1, kStart), 500us);
  quantile.observe(1000h, kStart);
  EXPECT_GT(*quantile.quantile(2, kStart), 20min);
  EXPECT_EQ(quantile.quantile(-1, kStart), 500us);
}

}  // namespace
}  // namespace corral::gateway::latency_test
