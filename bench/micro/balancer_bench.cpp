// One balancing decision at 10, 100 and 1,000 targets, for each policy. The targets' figures lie as
// in a running gateway: in atomics of objects that are scattered over the heap. "few usable" is the
// hard case: 1 of 100 targets is usable, so that samples find nobody.
#include <benchmark/benchmark.h>

#include <atomic>
#include <memory>
#include <random>
#include <vector>

#include "gateway/core/balancer.hpp"
#include "gateway/core/prefix_affinity.hpp"

namespace {

using namespace corral::gateway;

struct alignas(64) Target {
  std::atomic<bool> usable{true};
  std::atomic<std::uint32_t> in_flight{0};
  std::uint32_t capacity = 8;
  std::atomic<double> cost_ns{0};
  std::atomic<double> share{1};
};

class Targets final : public LoadView {
 public:
  Targets(std::size_t count, std::size_t one_usable_of) {
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < count; ++i) {
      spacing_.push_back(std::make_unique<char[]>(random() % 2000));
      auto target = std::make_unique<Target>();
      target->usable = random() % one_usable_of == 0 || i == 0;
      target->in_flight = static_cast<std::uint32_t>(random() % 8);
      target->cost_ns = 1e6 * static_cast<double>(1 + random() % 100);
      targets_.push_back(std::move(target));
    }
  }
  bool usable(std::size_t index) const override {
    return targets_[index]->usable.load(std::memory_order_relaxed);
  }
  Load load(std::size_t index) const override {
    const auto& target = *targets_[index];
    return {.in_flight = target.in_flight.load(std::memory_order_relaxed),
            .capacity = target.capacity,
            .cost_ns = target.cost_ns.load(std::memory_order_relaxed),
            .share = target.share.load(std::memory_order_relaxed)};
  }

 private:
  std::vector<std::unique_ptr<char[]>> spacing_;
  std::vector<std::unique_ptr<Target>> targets_;
};

void decide(benchmark::State& state, Policy policy, std::size_t one_usable_of) {
  const auto count = static_cast<std::size_t>(state.range(0));
  std::vector<Member> members;
  for (std::size_t i = 0; i < count; ++i) {
    members.push_back({.id = mix64(i), .weight = static_cast<std::uint32_t>(1 + i % 5)});
  }
  Balancer balancer(policy, members);
  Targets targets(count, one_usable_of);
  RandomStream random(3);
  std::array<std::uint64_t, 2> holders{};
  for (auto _ : state) {
    for (auto& holder : holders) holder = members[random.below(count)].id;
    auto choice =
        balancer.choose(targets, {.sticky = random.next(), .holders = holders}, random.next());
    benchmark::DoNotOptimize(choice);
  }
}

void find_prefix(benchmark::State& state) {
  PrefixAffinity affinity;
  std::mt19937_64 random(1);
  std::vector<PrefixKeys> prompts(3000);
  for (auto& keys : prompts) {
    for (int i = 0; i < 20; ++i) keys.hashes.push_back(random());
    keys.bytes = 8000;
    affinity.learn(keys, random() % 1000);
  }
  std::size_t next = 0;
  for (auto _ : state) {
    auto match = affinity.find(prompts[next++ % prompts.size()]);
    benchmark::DoNotOptimize(match);
  }
  state.counters["bytes_in_memory"] = static_cast<double>(affinity.memory_bytes());
}

void learn_prefix(benchmark::State& state) {
  PrefixAffinity affinity;
  std::mt19937_64 random(1);
  PrefixKeys keys;
  keys.hashes.resize(20);
  for (auto _ : state) {
    for (auto& hash : keys.hashes) hash = random();
    affinity.learn(keys, 7);
  }
}

void hash_prompt(benchmark::State& state) {
  const std::string prompt(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    PrefixHasher hasher(1);
    hasher.add(prompt);
    auto keys = hasher.finish();
    benchmark::DoNotOptimize(keys);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void sizes(benchmark::internal::Benchmark* bench) { bench->Arg(10)->Arg(100)->Arg(1000); }

#define DECISION(name)                                            \
  BENCHMARK_CAPTURE(decide, name, Policy::name, 1)->Apply(sizes); \
  BENCHMARK_CAPTURE(decide, name##_few_usable, Policy::name, 100)->Arg(1000)

DECISION(weighted);
DECISION(round_robin);
DECISION(least_busy);
DECISION(peak_ewma);
DECISION(sticky);
DECISION(prefix);

BENCHMARK(find_prefix);
BENCHMARK(learn_prefix);
BENCHMARK(hash_prompt)->Arg(4096)->Arg(262'144);

}  // namespace
