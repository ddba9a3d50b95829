// One decision of the placement with 1,000 deployments on 16 devices.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "scheduler/core/placement.hpp"

namespace {

using namespace corral::scheduler;
using namespace std::chrono_literals;

constexpr UnitId kUnits = 1000;
constexpr int kDevices = 16;
constexpr int kEach = 60;  // units that fit on a device

class Engines final : public Units {
 public:
  Use use(UnitId unit) const override { return {busy ? std::size_t{1} : 0, 0, 1, used[unit]}; }
  bool close_if_idle(UnitId, std::chrono::milliseconds) override { return !busy; }
  std::vector<corral::sys::Steady> used = std::vector<corral::sys::Steady>(kUnits);
  bool busy = false;
};

class Machine {
 public:
  Machine() {
    std::vector<AccountSpec> accounts;
    std::vector<Place> places;
    for (int i = 0; i < kDevices; ++i) {
      std::string name = "g" + std::to_string(i);
      accounts.push_back({name, kEach, ""});
      places.push_back({name, {{name, 1}}, 0});
    }
    placement.configure({}, accounts);
    for (UnitId i = 0; i < kUnits; ++i) placement.add({"m" + std::to_string(i), places, false});
    for (UnitId i = 0; i < kDevices * kEach; ++i) {
      placement.want(i, ++ticket, now);
      (void)placement.step(now, engines);
      placement.ready(i, now);
      now += 1ms;
      (void)placement.step(now, engines);
      engines.used[i] = now;
    }
    now += 10s;
  }
  Placement placement;
  Engines engines;
  TicketId ticket = 0;
  corral::sys::Steady now{1000s};
};

// All devices are full of idle ones: one is chosen, goes, and the new one starts.
void place_one_more(benchmark::State& state) {
  Machine machine;
  UnitId next = kDevices * kEach;
  std::vector<UnitId> out;
  for (UnitId i = next; i < kUnits; ++i) out.push_back(i);
  for (auto _ : state) {
    UnitId unit = out.front();
    out.erase(out.begin());
    machine.placement.want(unit, ++machine.ticket, machine.now);
    auto actions = machine.placement.step(machine.now, machine.engines);
    state.PauseTiming();
    for (const auto& action : actions) {
      if (action.kind != PlacementAction::Kind::stop) continue;
      machine.placement.gone(action.unit);
      out.push_back(action.unit);
    }
    machine.now += 1ms;
    (void)machine.placement.step(machine.now, machine.engines);
    machine.placement.ready(unit, machine.now);
    machine.engines.used[unit] = machine.now;
    (void)machine.placement.step(machine.now, machine.engines);
    machine.now += 2s;
    state.ResumeTiming();
  }
}

// All are busy, and 40 models wait: what a look costs that changes nothing.
void look_while_all_are_busy(benchmark::State& state) {
  Machine machine;
  machine.engines.busy = true;
  for (UnitId unit = kDevices * kEach; unit < kUnits; ++unit) {
    machine.placement.want(unit, ++machine.ticket, machine.now);
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(machine.placement.step(machine.now, machine.engines));
  }
}

BENCHMARK(place_one_more)->Unit(benchmark::kMicrosecond);
BENCHMARK(look_while_all_are_busy)->Unit(benchmark::kMicrosecond);

}  // namespace
