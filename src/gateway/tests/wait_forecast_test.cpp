// How long requests wait, from what is under way.
#include "gateway/core/wait_forecast.hpp"

#include <gtest/gtest.h>

#include <queue>
#include <random>

namespace corral::gateway::wait_forecast_test {
namespace {

using namespace std::chrono_literals;
using inference::Operation;

const WaitForecast::Time kStart{1h};

double wait(const WaitForecast& forecast, std::size_t before, double work) {
  auto found = forecast.wait(before, work, kStart);
  return found ? std::chrono::duration<double>(*found).count() : -1;
}

TEST(WaitForecast, OfNothingIsNone) {
  EXPECT_FALSE(WaitForecast().known());
  EXPECT_FALSE(WaitForecast({}, kStart).wait(0, 0, kStart));
  EXPECT_FALSE(WaitForecast({1}, kStart).wait(2, 0, kStart));  // how long those take is not known
}

TEST(WaitForecast, TheFirstGetsThePlaceThatIsFreeFirst) {
  WaitForecast forecast({3, 1, 2}, kStart);
  EXPECT_DOUBLE_EQ(wait(forecast, 0, 0), 1);
  EXPECT_NEAR(wait(forecast, 1, 10), 2, 0.01);
  EXPECT_NEAR(wait(forecast, 2, 20), 3, 0.01);
  EXPECT_NEAR(wait(forecast, 3, 30), 11, 0.01);
}

TEST(WaitForecast, AStragglerHoldsUpNobodyElse) {
  WaitForecast forecast({0.1, 1000}, kStart);
  EXPECT_NEAR(wait(forecast, 1, 1), 1.1, 0.01);
  EXPECT_NEAR(wait(forecast, 20, 20), 20.1, 0.1);
}

TEST(WaitForecast, TimePasses) {
  WaitForecast forecast({5}, kStart);
  EXPECT_EQ(forecast.wait(0, 0, kStart + 2s), 3s);
  EXPECT_EQ(forecast.wait(0, 0, kStart + 1min), 0s);
}

// Against places that are really given out one after the other.
TEST(WaitForecast, AgreesWithASimulation) {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> left(0, 20);
  std::uniform_real_distribution<double> length(0.1, 20);
  for (int round = 0; round < 300; ++round) {
    const std::size_t places = 1 + random() % 40;
    const std::size_t before = random() % 200;
    const double each = length(random);
    std::vector<double> free;
    std::priority_queue<double, std::vector<double>, std::greater<>> heap;
    for (std::size_t i = 0; i < places; ++i) {
      free.push_back(left(random));
      heap.push(free.back());
    }
    for (std::size_t i = 0; i < before; ++i) {
      const double at = heap.top();
      heap.pop();
      heap.push(at + each);
    }
    const double expected = heap.top();
    const double found =
        wait(WaitForecast(free, kStart), before, each * static_cast<double>(before));
    EXPECT_NEAR(found, expected, 0.01 + 0.03 * each * (1 + static_cast<double>(before) / places))
        << places << " places, " << before << " before of " << each;
  }
}

TEST(WaitForecast, ASampleStandsForManyPlaces) {
  std::vector<double> free;
  for (int i = 0; i < 1000; ++i) free.push_back(i * 0.01);
  WaitForecast forecast(free, kStart);
  EXPECT_LT(wait(forecast, 0, 0), 0.2);
  EXPECT_NEAR(wait(forecast, 500, 5000), 5, 0.5);  // each takes 10 s
  EXPECT_NEAR(wait(forecast, 1500, 15000), 15, 0.5);
}

TEST(RunningWork, TellsWhatIsLeft) {
  WorkEstimate estimate;
  RunningWork running;
  std::vector<double> left;
  const auto one = running.begin({Operation::chat, true, 1024}, kStart);
  EXPECT_FALSE(running.append_left(estimate, kStart, left));  // nothing was learned
  EXPECT_TRUE(left.empty());
  estimate.learn({Operation::chat, true, 1024}, 10s);
  EXPECT_TRUE(running.append_left(estimate, kStart + 4s, left));
  EXPECT_EQ(left, std::vector<double>{6});
  left.clear();
  EXPECT_TRUE(running.append_left(estimate, kStart + 16s, left));  // it is late
  EXPECT_EQ(left, std::vector<double>{2});
  running.begin({Operation::embedding, false, 10}, kStart);
  EXPECT_FALSE(running.append_left(estimate, kStart, left));
  EXPECT_EQ(running.size(), 2u);
  const auto item = running.end(one);
  EXPECT_EQ(item.begun, kStart);
  EXPECT_EQ(item.work.input, 1024u);
  EXPECT_EQ(running.size(), 1u);
  EXPECT_EQ(running.begin({}, kStart), one);  // its number is free again
}

}  // namespace
}  // namespace corral::gateway::wait_forecast_test
