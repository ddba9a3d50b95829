// Deployments with several instances: how many there are, which one a caller waits for, and what
// becomes of callers when one of them comes or goes.
//
// The first instance is started for a caller and placed like that of any model. The others are
// spare: they take only memory that is free, and give it back as soon as a model without any
// instance is wanted. All of them stay while one is in use, and go together when none is.
#include <algorithm>

#include "scheduler/scheduler_impl.hpp"

namespace corral::scheduler {
namespace {

// One of several that failed is tried again, though nobody asks for it by name.
constexpr std::chrono::seconds kTryAgain{60};

}  // namespace

Scheduler::Impl::Range Scheduler::Impl::range_of(const std::string& model) const {
  const auto* own = settings_of(model);
  if (own == nullptr) return {};
  unsigned most = settings->scheduler.autoscale.enabled ? own->max_replicas : own->min_replicas;
  return {own->min_replicas, std::max(own->min_replicas, most)};
}

// By number; those that were started once.
std::vector<DeployedModel*> Scheduler::Impl::members_of(const Key& first) const {
  std::vector<DeployedModel*> members;
  for (auto it = deployed.lower_bound(first); it != deployed.end() && it->first.beside(first);
       ++it) {
    members.push_back(it->second.get());
  }
  return members;
}

// It is there, or will be soon.
bool Scheduler::Impl::serves(const DeployedModel& model) const {
  if (model.retiring()) return false;
  auto state = placement.state(model.unit());
  return state == UnitState::ready || state == UnitState::loading;
}

bool Scheduler::Impl::other_serves(const DeployedModel& model) const {
  auto members = members_of(Key{model.model(), model.purpose()});
  return std::ranges::any_of(members, [&](const DeployedModel* each) {
    return each != &model && each->state().state() == DeploymentState::ready && serves(*each);
  });
}

// The one that callers reach or wait for: one that serves before one that loads.
DeployedModel& Scheduler::Impl::best_of(const Key& first) const {
  auto members = members_of(first);
  auto rank = [&](const DeployedModel* each) {
    if (!serves(*each)) return 2;
    return each->state().state() == DeploymentState::ready ? 0 : 1;
  };
  return **std::ranges::min_element(members, {}, rank);
}

DeployedModel* Scheduler::Impl::open_sibling(const DeployedModel& model) const {
  for (auto* each : members_of(Key{model.model(), model.purpose()})) {
    if (each->endpoint() != nullptr && !each->endpoint()->closed()) return each;
  }
  return nullptr;
}

// Failures of all are not the fault of one: the breaker that they share decides about that.
void Scheduler::Impl::replace_failing(DeployedModel& model) {
  if (model.endpoint() == nullptr || !model.endpoint()->failing()) return;
  auto members = members_of(Key{model.model(), model.purpose()});
  bool another_is_well = std::ranges::any_of(members, [&](const DeployedModel* each) {
    const auto& endpoint = each->endpoint();
    return each != &model && endpoint != nullptr && !endpoint->closed() &&
           endpoint->failures() == 0 && each->has_served();
  });
  if (!another_is_well) return;
  parts.log.warn("one of several instances only fails and is started anew",
                 {{"model", model.model()}, {"replica", model.replica() + 1}});
  model.unload(nullptr);
}

// None goes for idleness while another is in use: else they would come and go.
DeployedModel::WhenIdle Scheduler::Impl::when_idle(const DeployedModel& model) const {
  using WhenIdle = DeployedModel::WhenIdle;
  const Key first{model.model(), model.purpose()};
  if (!groups.contains(first)) return WhenIdle::unload;
  auto now = parts.clock.now();
  for (const auto* each : members_of(first)) {
    if (each->endpoint() == nullptr) continue;
    auto load = each->endpoint()->load();
    if (load.in_flight > 0 || now - load.last_used < each->idle_timeout()) return WhenIdle::stay;
  }
  return WhenIdle::unload;
}

// `to` serves now: whoever waits for another one of its deployment is served here.
void Scheduler::Impl::gather(DeployedModel& to) {
  const Key first{to.model(), to.purpose()};
  if (!groups.contains(first)) return;
  for (const auto* each : members_of(first)) {
    if (each == &to || placement.state(each->unit()) == UnitState::ready) continue;
    unpark(each->unit());
    for (auto& [ticket, caller] : callers) {
      if (caller.unit != each->unit() || !placement.leave(ticket)) continue;
      caller.unit = to.unit();
      placement.want(to.unit(), ticket, parts.clock.now());
    }
  }
  // Requests that wait for a place at another one may come here too.
  if (parts.place_freed) parts.place_freed();
}

// `from` will not come: its callers wait for another one that does, if there is one.
void Scheduler::Impl::hand_over(DeployedModel& from) {
  const Key first{from.model(), from.purpose()};
  if (!groups.contains(first)) return;
  units[from.unit()].not_before = parts.clock.now() + kTryAgain;
  for (const auto* each : members_of(first)) {
    if (each == &from || !serves(*each)) continue;
    for (auto& [ticket, caller] : callers) {
      if (caller.unit != from.unit() || !placement.leave(ticket)) continue;
      caller.unit = each->unit();
      placement.want(each->unit(), ticket, parts.clock.now());
    }
    return;
  }
}

void Scheduler::Impl::keep_replicas() {
  if (stopping) return;
  for (auto& [first, wanted] : groups) keep_replicas(first, wanted);
}

// One instance more or fewer at a time.
void Scheduler::Impl::keep_replicas(const Key& first, unsigned& wanted) {
  const Range range = range_of(first.model);
  wanted = std::clamp(wanted, range.least, range.most);
  auto members = members_of(first);
  auto count = std::ranges::count_if(members, [&](const auto* each) { return serves(*each); });
  if (count == 0) {
    wanted = range.least;  // the next caller begins anew
  } else if (std::cmp_less(count, wanted)) {
    add_replica(first);
  } else if (std::cmp_greater(count, wanted)) {
    auto last = std::find_if(members.rbegin(), members.rend(),
                             [&](const auto* each) { return serves(*each); });
    parts.log.info("one instance fewer",
                   {{"model", first.model}, {"replica", (*last)->replica() + 1}});
    (*last)->retire();
  }
}

bool Scheduler::Impl::add_replica(const Key& first) {
  auto members = members_of(first);
  for (auto* each : members) {
    if (!each->retiring() || placement.state(each->unit()) != UnitState::ready) continue;
    each->bring_back();
    return true;
  }
  const auto* entry = list ? list->find(first.model) : nullptr;
  if (entry == nullptr || !entry->usable()) return false;
  auto now = parts.clock.now();
  unsigned number = 0;
  for (const auto* each : members) {
    if (each->replica() != number) break;
    bool out = placement.state(each->unit()) == UnitState::out;
    if (out && now >= units[each->unit()].not_before) break;
    ++number;
  }
  if (number >= range_of(first.model).most) return false;
  // Asked before it is made, which leaves series in the metrics.
  if (!placement.room_for(members.front()->unit())) return false;
  auto model = deployment(*entry, first.purpose, number);
  if (!model || !placement.offer((*model)->unit(), now)) return false;
  settle();
  return true;
}

}  // namespace corral::scheduler
