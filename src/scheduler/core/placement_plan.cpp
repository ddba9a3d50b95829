// Who has to go for whom.
#include <algorithm>

#include "scheduler/core/placement_step.hpp"

namespace corral::scheduler {
namespace {

using Kind = PlacementAction::Kind;

constexpr double kSpareFirst = 1e12;  // more than any idle time is worth

double seconds(sys::Steady::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

// --- who could give ------------------------------------------------------------------------------

Placement::Candidate Placement::judge(Step& step, UnitId id) {
  const Unit& unit = units_[id];
  if (unit.state == UnitState::draining) return {id, kDraining, 0};
  Use use = step.units.use(id);
  bool all_came = use.arrivals >= unit.expected || step.now >= unit.expected_until;
  if (!all_came) wake_by(unit.expected_until);
  if (use.in_flight > 0 || use.queued > 0 || !unit.tickets.empty() || !all_came) {
    return {id, unit.spec.spare ? kSpare : kBusy, seconds(unit.since.time_since_epoch())};
  }
  auto idle = step.now - use.last_used;
  double cost = std::max(seconds(unit.load_time), 0.01);
  double worth = -seconds(idle) / cost - (unit.spec.spare ? kSpareFirst : 0);
  return {id, idle >= stay_of(unit) ? kIdle : kLingering, worth};
}

void Placement::look_at_units(Step& step) {
  if (std::exchange(step.looked, true)) return;
  step.candidates.resize(accounts_.size());
  step.reclaimable.resize(accounts_.size());
  for (UnitId id = 0; id < units_.size(); ++id) {
    const Unit& unit = units_[id];
    if (unit.state == UnitState::stopping) {
      for (const auto& part : unit.held) step.coming[part.account] += part.bytes;
    }
    bool serves = unit.state == UnitState::ready || unit.state == UnitState::draining;
    if (!serves || unit.spec.pinned) continue;
    Candidate candidate = judge(step, id);
    for (const auto& part : unit.held) {
      step.candidates[part.account].push_back(candidate);
      for (std::size_t k = candidate.kind; k < kClasses; ++k) {
        step.reclaimable[part.account][k] += part.bytes;
      }
    }
  }
  for (auto& list : step.candidates) {
    std::ranges::sort(list, [](const Candidate& a, const Candidate& b) {
      return std::tuple(a.kind, a.worth, a.unit) < std::tuple(b.kind, b.worth, b.unit);
    });
  }
}

// The most willing ones that make room for `need`, none too many; nothing if they do not suffice.
std::optional<std::vector<Placement::Candidate>> Placement::choose(Step& step, const Parts& need,
                                                                   Class most) const {
  Parts missing;
  for (const auto& part : need) {
    Bytes lack = part.bytes - step.free[part.account] - step.coming[part.account];
    if (lack <= 0) continue;
    if (lack > step.reclaimable[part.account][most]) return std::nullopt;
    missing.push_back({part.account, lack});
  }
  std::vector<Candidate> chosen;
  if (missing.empty()) return chosen;
  std::vector<Candidate> able;
  for (const auto& part : missing) {
    for (const auto& each : step.candidates[part.account]) {
      if (each.kind > most) break;
      if (!step.taken[each.unit]) able.push_back(each);
    }
  }
  if (missing.size() > 1) {
    auto order = [](const Candidate& a, const Candidate& b) {
      return std::tuple(a.kind, a.worth, a.unit) < std::tuple(b.kind, b.worth, b.unit);
    };
    std::ranges::sort(able, order);
    auto same = std::ranges::unique(able, {}, &Candidate::unit);
    able.erase(same.begin(), same.end());
  }
  auto given_by = [&](UnitId unit, AccountId account) {
    Bytes sum = 0;
    for (const auto& part : units_[unit].held) sum += part.account == account ? part.bytes : 0;
    return sum;
  };
  for (const auto& each : able) {
    bool helps = std::ranges::any_of(missing, [&](const Part& part) {
      return part.bytes > 0 && given_by(each.unit, part.account) > 0;
    });
    if (!helps) continue;
    for (auto& part : missing) part.bytes -= given_by(each.unit, part.account);
    chosen.push_back(each);
  }
  if (std::ranges::any_of(missing, [](const Part& part) { return part.bytes > 0; })) {
    return std::nullopt;
  }
  for (std::size_t i = chosen.size(); i-- > 0;) {
    bool spare = std::ranges::all_of(missing, [&](const Part& part) {
      return part.bytes + given_by(chosen[i].unit, part.account) <= 0;
    });
    if (!spare) continue;
    for (auto& part : missing) part.bytes += given_by(chosen[i].unit, part.account);
    chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return chosen;
}

// What is free, on its way back, or held by the chosen is `head`'s from now on.
void Placement::commit(Step& step, UnitId head, const Parts& need,
                       const std::vector<Candidate>& chosen) {
  units_[head].waits_for.clear();
  for (const auto& each : chosen) {
    step.taken[each.unit] = true;
    units_[head].waits_for.push_back(each.unit);
    for (const auto& part : units_[each.unit].held) {
      step.coming[part.account] += part.bytes;
      for (std::size_t k = each.kind; k < kClasses; ++k) {
        step.reclaimable[part.account][k] -= part.bytes;
      }
    }
  }
  // What is free already is left to younger ones as far as it can be.
  for (const auto& part : need) {
    Bytes later = std::clamp<Bytes>(step.coming[part.account], 0, part.bytes);
    step.coming[part.account] -= later;
    step.free[part.account] -= part.bytes - later;
  }
}

// --- what is done about it -----------------------------------------------------------------------

// An account holds more than it may: its idle units go.
void Placement::relieve(Step& step) {
  for (AccountId id = 0; id < accounts_.size(); ++id) {
    if (step.free[id] >= 0) continue;
    look_at_units(step);
    for (const auto& each : step.candidates[id]) {
      if (step.free[id] + step.coming[id] >= 0) break;
      if (each.kind != kIdle || step.taken[each.unit]) continue;
      if (!step.units.close_if_idle(each.unit, stay_of(units_[each.unit]))) continue;
      commit(step, each.unit, {}, {each});
      enter(each.unit, UnitState::stopping, step.now);
      step.actions.push_back({Kind::stop, each.unit, 0, 0, {}});
    }
  }
}

void Placement::plan(Step& step) {
  std::vector<std::pair<Ticket, UnitId>> heads;
  for (UnitId id : std::vector<UnitId>(wanted_.begin(), wanted_.end())) {
    Unit& unit = units_[id];
    if (unit.state != UnitState::out) continue;
    if (can_fit(unit)) {
      heads.emplace_back(*unit.tickets.begin(), id);
      continue;
    }
    put_tickets(id, never_fits(unit));
    std::ranges::move(pending_, std::back_inserter(step.actions));
    pending_.clear();
  }
  if (heads.empty()) return;
  std::ranges::sort(heads);
  look_at_units(step);
  for (const auto& [oldest, id] : heads) {
    units_[id].turn_ends = oldest.first + options_.turn_limit;
    units_[id].waits_for.clear();
    plan_for(step, id);
  }
}

void Placement::plan_for(Step& step, UnitId head) {
  const auto& places = units_[head].spec.places;
  auto next_rank = [&](std::size_t from) {
    auto to = from;
    while (to < places.size() && places[to].rank == places[from].rank) ++to;
    return to;
  };
  for (std::size_t from = 0; from < places.size(); from = next_rank(from)) {
    if (start_where_free(step, head, from, next_rank(from))) return;
    if (make_room(step, head, from, next_rank(from), kLingering)) return;
  }
  for (std::size_t from = 0; from < places.size(); from = next_rank(from)) {
    if (make_room(step, head, from, next_rank(from), kSpare)) return;
  }
  for (std::size_t from = 0; from < places.size(); from = next_rank(from)) {
    if (make_room(step, head, from, next_rank(from), kBusy)) return;
  }
}

std::size_t Placement::kin_at(const Unit& unit, const std::string& device) const {
  if (unit.spec.kin.empty()) return 0;
  const auto there = [&](const Unit& other) {
    return other.state != UnitState::out && other.spec.kin == unit.spec.kin &&
           other.place < other.spec.places.size() &&
           other.spec.places[other.place].device == device;
  };
  return static_cast<std::size_t>(std::ranges::count_if(units_, there));
}

std::optional<std::size_t> Placement::best_fit(const Unit& unit, const std::vector<Bytes>& free,
                                               std::size_t from, std::size_t to) const {
  std::optional<std::size_t> best;
  std::pair<std::size_t, Bytes> least;  // kin there, and bytes that would be left or be missing
  for (std::size_t i = from; i < to; ++i) {
    const auto& need = unit.places[i];
    bool fits = std::ranges::all_of(
        need, [&](const Part& part) { return part.bytes <= free[part.account]; });
    if (!fits) continue;
    Bytes left = need.size() < 2 ? 0 : free[need[1].account] - need[1].bytes;
    if (unit.spec.spread) left = -left;
    const std::pair worth(to - from > 1 ? kin_at(unit, unit.spec.places[i].device) : 0, left);
    if (best && worth >= least) continue;
    best = i;
    least = worth;
  }
  return best;
}

bool Placement::start_where_free(Step& step, UnitId head, std::size_t from, std::size_t to) {
  auto best = best_fit(units_[head], step.free, from, to);
  if (!best) return false;
  load_at(head, *best, step.now);
  for (const auto& part : units_[head].held) step.free[part.account] -= part.bytes;
  step.actions.push_back({Kind::start, head, *best, 0, {}});
  return true;
}

bool Placement::make_room(Step& step, UnitId head, std::size_t from, std::size_t to, Class most) {
  std::optional<std::vector<Candidate>> best;
  std::size_t place = from;
  double least = 0;
  for (std::size_t i = from; i < to; ++i) {
    auto chosen = choose(step, units_[head].places[i], most);
    if (!chosen) continue;
    double cost = 0;
    for (const auto& each : *chosen) {
      if (each.kind != kDraining) cost += std::max(seconds(units_[each.unit].load_time), 0.01);
      if (each.kind == kBusy) cost += 1e6;
      if (each.kind == kSpare) cost += 1e3;
    }
    if (best && cost >= least) continue;
    best = std::move(chosen);
    place = i;
    least = cost;
  }
  if (!best) return false;
  commit(step, head, units_[head].places[place], *best);
  Time turn_end = *units_[head].turn_ends;
  bool turn_over = step.now >= turn_end;
  // Nobody goes for nothing: as long as one of them stays, all do.
  bool all_willing = std::ranges::all_of(
      *best, [](const auto& each) { return each.kind <= kIdle || each.kind == kSpare; });
  for (const auto& each : *best) {
    step.turn_end[each.unit] = turn_end;
    if (turn_over || all_willing) {
      send_away(step, each, turn_over || each.kind == kSpare);
    } else if (each.kind == kLingering) {
      wake_by(step.units.use(each.unit).last_used + stay_of(units_[each.unit]));
    }
  }
  if (!turn_over && !best->empty()) wake_by(turn_end);
  return true;
}

void Placement::send_away(Step& step, const Candidate& victim, bool turn_over) {
  UnitId id = victim.unit;
  if (victim.kind == kDraining) return;
  if (turn_over) {
    close_for_turn(step, id);
  } else if (step.units.close_if_idle(id, stay_of(units_[id]))) {
    enter(id, UnitState::stopping, step.now);
    step.actions.push_back({Kind::stop, id, 0, 0, {}});
  }
}

// Those who were let in finish; those who came in time are let in first.
void Placement::close_for_turn(Step& step, UnitId id) {
  Unit& unit = units_[id];
  if (!unit.tickets.empty() && unit.tickets.begin()->first < *step.turn_end[id]) return;
  bool all_came = step.units.use(id).arrivals >= unit.expected;
  if (!all_came && step.now < unit.expected_until) {
    wake_by(unit.expected_until);
    return;
  }
  if (step.units.close_if_idle(id, Duration(0))) {
    enter(id, UnitState::stopping, step.now);
    step.actions.push_back({Kind::stop, id, 0, 0, {}});
    return;
  }
  enter(id, UnitState::draining, step.now);
  step.actions.push_back({Kind::close, id, 0, 0, {}});
}

}  // namespace corral::scheduler
