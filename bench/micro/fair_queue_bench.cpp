// One request in and one out with 10,000 waiting, and what those 10,000 weigh in memory.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <random>
#include <vector>

#include "gateway/core/fair_queue.hpp"

namespace {

using namespace corral::gateway;
using namespace std::chrono_literals;

class Arrivals {
 public:
  explicit Arrivals(std::uint64_t principals) : principals_(principals) {}
  FairQueue::Request next() {
    return {.principal = mix64(random_() % principals_),
            .weight = static_cast<std::uint32_t>(1 + random_() % 3),
            .priority = static_cast<Priority>(random_() % 3),
            .cost = static_cast<std::uint32_t>(20 + random_() % 4000),
            .deadline = now + 10min + std::chrono::milliseconds(random_() % 60'000)};
  }
  FairQueue::Time now{1000s};

 private:
  std::uint64_t principals_;
  std::mt19937_64 random_{5};
};

FairQueue filled(Arrivals& arrivals, std::size_t count) {
  FairQueue queue({.limit = count + 1});
  for (std::size_t i = 0; i < count; ++i) (void)queue.push(arrivals.next(), arrivals.now);
  return queue;
}

void enqueue_and_dequeue(benchmark::State& state) {
  Arrivals arrivals(static_cast<std::uint64_t>(state.range(1)));
  auto queue = filled(arrivals, static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    arrivals.now += 1us;
    (void)queue.push(arrivals.next(), arrivals.now);
    auto item = queue.pop(arrivals.now);
    benchmark::DoNotOptimize(item);
  }
}

void enqueue_and_leave(benchmark::State& state) {
  Arrivals arrivals(static_cast<std::uint64_t>(state.range(1)));
  auto queue = filled(arrivals, static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    auto answer = queue.push(arrivals.next(), arrivals.now);
    benchmark::DoNotOptimize(queue.remove(answer.ticket));
  }
}

void place_in_queue(benchmark::State& state) {
  Arrivals arrivals(static_cast<std::uint64_t>(state.range(1)));
  auto queue = filled(arrivals, static_cast<std::size_t>(state.range(0)));
  auto ticket = queue.push(arrivals.next(), arrivals.now).ticket;
  for (auto _ : state) {
    auto place = queue.place(ticket, arrivals.now);
    benchmark::DoNotOptimize(place);
  }
}

// The time is that of filling the queue; the counters are what matters.
void memory_of_waiting(benchmark::State& state) {
  double bytes = 0;
  for (auto _ : state) {
    Arrivals arrivals(static_cast<std::uint64_t>(state.range(1)));
    auto before = mallinfo2();
    auto queue = filled(arrivals, static_cast<std::size_t>(state.range(0)));
    auto after = mallinfo2();
    bytes = static_cast<double>(after.uordblks + after.hblkhd) -
            static_cast<double>(before.uordblks + before.hblkhd);
    benchmark::DoNotOptimize(queue);
  }
  state.counters["bytes"] = bytes;
  state.counters["bytes_per_request"] = bytes / static_cast<double>(state.range(0));
}

BENCHMARK(enqueue_and_dequeue)->Args({100, 10})->Args({10'000, 10})->Args({10'000, 1'000});
BENCHMARK(enqueue_and_leave)->Args({10'000, 1'000});
BENCHMARK(place_in_queue)->Args({10'000, 1'000});
BENCHMARK(memory_of_waiting)->Args({10'000, 1})->Args({10'000, 1'000})->Args({10'000, 10'000});

}  // namespace
