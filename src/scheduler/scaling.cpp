#include "scheduler/scaling.hpp"

#include <algorithm>

#include "scheduler/scheduler_impl.hpp"

namespace corral::scheduler {
namespace {

// The scheduler sweeps twice a second; about every other time is enough.
constexpr std::chrono::milliseconds kBetweenLooks{900};

Scaling::Name name_of(const DeployedModel& model) {
  return {model.model(), std::string(engines::to_string(model.purpose()))};
}

void put_demand(ScaleSample& sample, const ModelDemand& demand) {
  if (demand.requests > 0) {
    sample.wait = demand.queued / static_cast<std::int64_t>(demand.requests);
  }
  if (demand.first_tokens > 0) {
    sample.first_token = demand.to_first / static_cast<std::int64_t>(demand.first_tokens);
  }
  double seconds = std::chrono::duration<double>(demand.generating).count();
  if (demand.tokens > 0 && seconds > 0) {
    sample.tokens_per_second = static_cast<double>(demand.tokens) / seconds;
  }
}

}  // namespace

bool Scaling::due() {
  auto now = clock_.now();
  if (looked_ && now - *looked_ < kBetweenLooks) return false;
  looked_ = now;
  auto times = sys::cpu_times();
  cpu_ = sys::busy_part(cpu_times_, times);
  cpu_times_ = times;
  return true;
}

std::optional<unsigned> Scaling::look(const Name& name, const config::AutoscaleSettings& policy,
                                      const ScaleSample& sample) {
  auto decision = scalers_[name].look(policy, sample, clock_.now());
  if (!decision) return std::nullopt;
  record(name, *decision);
  if (decision->kind == ScaleDecision::Kind::held_back) return std::nullopt;
  return decision->to;
}

void Scaling::record(const Name& name, const ScaleDecision& decision) {
  ScalingRecord record{clock_.wall(),
                       name.first,
                       name.second,
                       std::string(to_string(decision.kind)),
                       std::string(to_string(decision.signal)),
                       decision.from,
                       decision.to,
                       decision.reason};
  decided(name, decision.kind, decision.signal).add();
  log_.info("scaling", {{"model", record.model},
                        {"purpose", record.purpose},
                        {"kind", record.kind},
                        {"from", record.from},
                        {"to", record.to},
                        {"reason", record.reason}});
  if (decisions_.size() == kKept) decisions_.pop_front();
  decisions_.push_back(std::move(record));
}

telemetry::Counter Scaling::decided(const Name& name, ScaleDecision::Kind kind,
                                    ScaleSignal signal) {
  return metrics_.counter(
      "corral_scaling_decisions_total",
      "Instances added or removed, or not for lack of memory, by what was measured.",
      {{"model", name.first},
       {"purpose", name.second},
       {"kind", std::string(to_string(kind))},
       {"signal", std::string(to_string(signal))}});
}

void Scaling::forget(const Name& name) { scalers_.erase(name); }

void Scaling::show(const Name& name, unsigned ready, unsigned wanted) {
  auto it = gauges_.find(name);
  if (it == gauges_.end()) {
    auto gauge = [&](const char* state) {
      return metrics_.gauge("corral_replicas", "Instances of models that may have several.",
                            {{"model", name.first}, {"purpose", name.second}, {"state", state}});
    };
    it = gauges_.emplace(name, Gauges{gauge("ready"), gauge("wanted")}).first;
    // So that the first of them is seen as a change.
    for (auto signal :
         {ScaleSignal::wait, ScaleSignal::first_token, ScaleSignal::tokens, ScaleSignal::cpu}) {
      decided(name, ScaleDecision::Kind::up, signal);
    }
    for (auto signal : {ScaleSignal::idle, ScaleSignal::cpu_low}) {
      decided(name, ScaleDecision::Kind::down, signal);
    }
  }
  it->second.ready.set(ready);
  it->second.wanted.set(wanted);
}

const Autoscaler* Scaling::find(const Name& name) const {
  auto it = scalers_.find(name);
  return it == scalers_.end() ? nullptr : &it->second;
}

// --- what the scheduler tells it -----------------------------------------------------------------

// All of the deployment's instances together.
ScaleSample Scheduler::Impl::sample_of(const Key& first, unsigned wanted) const {
  ScaleSample sample;
  const Range range = range_of(first.model);
  sample.least = range.least;
  sample.most = range.most;
  sample.cpu = scaling.cpu();
  auto members = members_of(first);
  unsigned ready = 0;
  unsigned serving = 0;
  for (const auto* each : members) {
    if (each->endpoint() != nullptr) sample.in_flight += each->endpoint()->in_flight();
    if (!serves(*each)) continue;
    ++serving;
    if (each->endpoint() == nullptr) continue;
    ++ready;
    sample.places += each->endpoint()->capacity();
  }
  sample.count = std::max(serving, wanted);
  sample.starting = sample.count - ready;
  if (parts.waiting) sample.waiting = parts.waiting(first.model);
  if (members.empty()) return sample;
  UnitId unit = members.front()->unit();
  sample.room = placement.room_for(unit);
  std::uint64_t held = 0;
  std::uint64_t budget = 0;
  for (const auto& place : placement.spec(unit).places) {
    if (place.charges.empty()) continue;
    held += placement.held_of(place.charges.front().account);
    budget += placement.budget_of(place.charges.front().account);
  }
  if (budget > 0) sample.memory = static_cast<double>(held) / static_cast<double>(budget);
  return sample;
}

void Scheduler::Impl::scale() {
  if (stopping || groups.empty() || !scaling.due()) return;
  const auto& policy = settings->scheduler.autoscale;
  std::vector<ModelDemand> demands;
  if (policy.enabled && parts.demand) demands = parts.demand();
  for (auto& [first, wanted] : groups) {
    auto members = members_of(first);
    if (members.empty()) continue;
    const Scaling::Name name = name_of(*members.front());
    ScaleSample sample = sample_of(first, wanted);
    const unsigned ready = sample.count - sample.starting;
    bool loaded = std::ranges::any_of(members, [&](const auto* each) { return serves(*each); });
    scaling.show(name, ready, loaded ? wanted : 0);
    if (!policy.enabled || !loaded) {
      scaling.forget(name);
      continue;
    }
    if (ready == 0) continue;  // what is measured now is the wait for the first one
    for (const auto& demand : demands) {
      if (demand.model != first.model) continue;
      if (demand.embedding != (first.purpose == engines::Purpose::embedding)) continue;
      put_demand(sample, demand);
    }
    if (sample.waiting > 0 && parts.queue_wait) {
      if (auto wait = parts.queue_wait(first.model)) {
        sample.wait = std::max<std::chrono::nanoseconds>(sample.wait.value_or(*wait), *wait);
      }
    }
    if (auto fresh = scaling.look(name, policy, sample)) wanted = *fresh;
  }
}

ScalingStatus Scheduler::Impl::scaling_status() {
  ScalingStatus status;
  status.enabled = settings->scheduler.autoscale.enabled;
  status.cpu = scaling.cpu();
  for (const auto& [first, wanted] : groups) {
    auto members = members_of(first);
    if (members.empty()) continue;
    const Scaling::Name name = name_of(*members.front());
    ScaleSample sample = sample_of(first, wanted);
    ScaledDeployment shown;
    shown.model = name.first;
    shown.purpose = name.second;
    bool loaded = std::ranges::any_of(members, [&](const auto* each) { return serves(*each); });
    shown.wanted = loaded ? wanted : 0;
    shown.starting = loaded ? sample.starting : 0;
    shown.ready = sample.count - sample.starting;
    shown.least = sample.least;
    shown.most = sample.most;
    shown.in_flight = sample.in_flight;
    shown.waiting = sample.waiting;
    if (const auto* scaler = scaling.find(name)) {
      shown.wait_ms = scaler->wait_ms();
      shown.first_token_ms = scaler->first_token_ms();
      shown.tokens_per_second = scaler->tokens_per_second();
    }
    status.deployments.push_back(std::move(shown));
  }
  status.decisions.assign(scaling.decisions().begin(), scaling.decisions().end());
  return status;
}

}  // namespace corral::scheduler
