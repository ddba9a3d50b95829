// What it costs to learn how long work takes, to say how long the next one will, and to forecast
// the wait of all who wait at a route.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "gateway/core/wait_forecast.hpp"

namespace {

using namespace corral::gateway;
using namespace std::chrono_literals;

std::vector<Work> some_work() {
  std::mt19937_64 random(9);
  std::vector<Work> all;
  for (int i = 0; i < 1024; ++i) {
    all.push_back({static_cast<corral::inference::Operation>(random() % 3), random() % 2 == 0,
                   random() % 65'536});
  }
  return all;
}

void learn_work(benchmark::State& state) {
  const auto work = some_work();
  WorkEstimate estimate;
  std::size_t i = 0;
  for (auto _ : state) {
    const auto& each = work[++i % work.size()];
    estimate.learn(each, std::chrono::microseconds(1000 + each.input));
  }
  benchmark::DoNotOptimize(estimate);
}
BENCHMARK(learn_work);

void predict_work(benchmark::State& state) {
  const auto work = some_work();
  WorkEstimate estimate;
  for (const auto& each : work) estimate.learn(each, std::chrono::microseconds(1000 + each.input));
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(estimate.predict(work[++i % work.size()]));
}
BENCHMARK(predict_work);

void begin_and_end_work(benchmark::State& state) {
  RunningWork running;
  for (int i = 0; i < 64; ++i) (void)running.begin({}, {});
  for (auto _ : state) benchmark::DoNotOptimize(running.end(running.begin({}, {})));
}
BENCHMARK(begin_and_end_work);

void forecast_wait(benchmark::State& state) {
  std::vector<double> left;
  for (int i = 0; i < state.range(0); ++i) left.push_back(0.1 * i);
  const WaitForecast forecast(std::move(left), {});
  std::size_t before = 0;
  for (auto _ : state) {
    before = (before + 37) % 10'000 + 1;
    benchmark::DoNotOptimize(forecast.wait(before, static_cast<double>(before), {}));
  }
}
BENCHMARK(forecast_wait)->Arg(4)->Arg(1000);

}  // namespace
