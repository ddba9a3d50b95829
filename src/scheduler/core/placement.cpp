#include "scheduler/core/placement.hpp"

#include <algorithm>
#include <limits>

#include "scheduler/core/placement_step.hpp"

namespace corral::scheduler {
namespace {

using Kind = PlacementAction::Kind;

constexpr std::int64_t kNoBudget = std::numeric_limits<std::int64_t>::max() / 4;
constexpr std::uint64_t kLoadBytesPerSecond = 500'000'000;  // until its load was measured
constexpr int kStayPart = 20;

std::int64_t bytes_of(std::uint64_t bytes) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(bytes, kNoBudget));
}

}  // namespace

std::string_view to_string(UnitState state) {
  switch (state) {
    case UnitState::out: return "out";
    case UnitState::loading: return "loading";
    case UnitState::ready: return "ready";
    case UnitState::draining: return "draining";
    case UnitState::stopping: return "stopping";
  }
  return "unknown";
}

Placement::Placement() { configure({}, {}); }

// --- accounts ------------------------------------------------------------------------------------

void Placement::configure(const Options& options, const std::vector<AccountSpec>& accounts) {
  options_ = options;
  if (accounts_.empty()) accounts_.emplace_back();
  accounts_[kCount].budget = options.max_units == 0 ? kNoBudget : bytes_of(options.max_units);
  for (std::size_t i = kCount + 1; i < accounts_.size(); ++i) accounts_[i].budget = 0;
  for (const auto& spec : accounts) {
    auto id = account(spec.name);
    if (id == accounts_.size()) accounts_.emplace_back();
    accounts_[id].spec = spec;
    accounts_[id].budget = bytes_of(spec.budget);
  }
  for (auto& unit : units_) set_spec(unit, std::move(unit.spec));
}

// accounts_.size(): there is none of that name.
Placement::AccountId Placement::account(std::string_view name) const {
  for (std::size_t i = kCount + 1; i < accounts_.size(); ++i) {
    if (accounts_[i].spec.name == name) return i;
  }
  return accounts_.size();
}

std::uint64_t Placement::held_of(std::string_view name) const {
  auto id = account(name);
  return id == accounts_.size() ? 0 : static_cast<std::uint64_t>(accounts_[id].used);
}

std::uint64_t Placement::budget_of(std::string_view name) const {
  auto id = account(name);
  return id == accounts_.size() ? 0 : static_cast<std::uint64_t>(accounts_[id].budget);
}

Placement::Parts Placement::parts_of(const Place& place) const {
  Parts parts{{kCount, 1}};
  for (const auto& charge : place.charges) {
    parts.push_back({account(charge.account), bytes_of(charge.bytes)});
  }
  return parts;
}

void Placement::hold(Unit& unit, Parts parts) {
  give_back(unit);
  unit.held = std::move(parts);
  unit.held_pinned = unit.spec.pinned;
  for (const auto& part : unit.held) {
    accounts_[part.account].used += part.bytes;
    if (unit.held_pinned) accounts_[part.account].pinned += part.bytes;
  }
}

void Placement::give_back(Unit& unit) {
  for (const auto& part : unit.held) {
    accounts_[part.account].used -= part.bytes;
    if (unit.held_pinned) accounts_[part.account].pinned -= part.bytes;
  }
  unit.held.clear();
  unit.held_pinned = false;
}

std::uint64_t Placement::held(UnitId id) const {
  std::uint64_t sum = 0;
  for (const auto& part : units_[id].held) {
    if (part.account != kCount) sum += static_cast<std::uint64_t>(part.bytes);
  }
  return sum;
}

std::string Placement::device(UnitId id) const {
  const Unit& unit = units_[id];
  if (unit.held.empty() || unit.place >= unit.spec.places.size()) return {};
  return unit.spec.places[unit.place].device;
}

// --- units and callers ---------------------------------------------------------------------------

void Placement::set_spec(Unit& unit, UnitSpec spec) {
  unit.spec = std::move(spec);
  unit.places.clear();
  unit.places.reserve(unit.spec.places.size());
  for (const auto& place : unit.spec.places) unit.places.push_back(parts_of(place));
  if (!unit.held.empty() && unit.held_pinned != unit.spec.pinned) hold(unit, Parts(unit.held));
  if (unit.load_time_known) return;
  std::uint64_t bytes = 0;
  for (const auto& place : unit.spec.places) {
    for (const auto& charge : place.charges) bytes = std::max(bytes, charge.bytes);
  }
  unit.load_time = Duration(250 + bytes / (kLoadBytesPerSecond / 1000));
}

UnitId Placement::add(UnitSpec spec) {
  units_.emplace_back();
  set_spec(units_.back(), std::move(spec));
  return static_cast<UnitId>(units_.size() - 1);
}

void Placement::update(UnitId id, UnitSpec spec) { set_spec(units_[id], std::move(spec)); }

void Placement::want(UnitId id, TicketId ticket, Time now) {
  if (!tickets_.emplace(ticket, std::pair(now, id)).second) return;
  units_[id].tickets.emplace(now, ticket);
  wanted_.insert(id);
}

bool Placement::leave(TicketId ticket) {
  auto it = tickets_.find(ticket);
  if (it == tickets_.end()) return false;
  auto [since, id] = it->second;
  units_[id].tickets.erase({since, ticket});
  if (units_[id].tickets.empty()) wanted_.erase(id);
  tickets_.erase(it);
  return true;
}

void Placement::forget_tickets(Unit& unit) {
  for (const auto& [since, ticket] : unit.tickets) tickets_.erase(ticket);
  unit.tickets.clear();
}

void Placement::put_tickets(UnitId id, const Error& why) {
  for (const auto& [since, ticket] : units_[id].tickets) {
    pending_.push_back({Kind::wake, id, 0, ticket, why});
  }
  forget_tickets(units_[id]);
  wanted_.erase(id);
}

std::vector<TicketId> Placement::tickets(UnitId id) const {
  std::vector<TicketId> result;
  result.reserve(units_[id].tickets.size());
  for (const auto& [since, ticket] : units_[id].tickets) result.push_back(ticket);
  return result;
}

std::size_t Placement::position(TicketId ticket) const {
  auto it = tickets_.find(ticket);
  if (it == tickets_.end()) return 0;
  auto [since, id] = it->second;
  // Whole units are served in turn, the callers of one together.
  Ticket own = *units_[id].tickets.begin();
  std::size_t before = 1;
  for (const auto& [arrived, other] : units_[id].tickets) {
    if (other == ticket) break;
    ++before;
  }
  for (UnitId other : wanted_) {
    const auto& waiting = units_[other].tickets;
    if (other != id && *waiting.begin() < own) before += waiting.size();
  }
  return before;
}

// --- spare units ---------------------------------------------------------------------------------

std::vector<Placement::Bytes> Placement::free_now() const {
  std::vector<Bytes> free;
  free.reserve(accounts_.size());
  for (const auto& account : accounts_) free.push_back(account.budget - account.used);
  return free;
}

bool Placement::wanted_out() const {
  return std::ranges::any_of(wanted_, [&](UnitId id) {
    return units_[id].state == UnitState::out || units_[id].state == UnitState::stopping;
  });
}

bool Placement::room_for(UnitId id) const {
  return !wanted_out() && best_fit(units_[id], free_now(), 0, units_[id].places.size());
}

bool Placement::offer(UnitId id, Time now) {
  Unit& unit = units_[id];
  if (unit.state != UnitState::out || wanted_out()) return false;
  auto place = best_fit(unit, free_now(), 0, unit.places.size());
  if (!place) return false;
  load_at(id, *place, now);
  pending_.push_back({Kind::start, id, *place, 0, {}});
  return true;
}

void Placement::load_at(UnitId id, std::size_t place, Time now) {
  Unit& unit = units_[id];
  unit.place = place;
  hold(unit, unit.places[place]);
  enter(id, UnitState::loading, now);
  unit.turn_ends.reset();
}

// --- what the driver reports ---------------------------------------------------------------------

void Placement::enter(UnitId id, UnitState state, Time now) {
  units_[id].state = state;
  units_[id].since = now;
  if (state == UnitState::draining)
    draining_.insert(id);
  else
    draining_.erase(id);
}

std::optional<Placement::Time> Placement::loading_since(UnitId id) const {
  if (units_[id].state != UnitState::loading) return std::nullopt;
  return units_[id].since;
}

void Placement::ready(UnitId id, Time now) {
  Unit& unit = units_[id];
  if (unit.state != UnitState::loading) return;
  auto took = std::chrono::duration_cast<Duration>(now - unit.since);
  unit.load_time = unit.load_time_known ? (unit.load_time * 3 + took) / 4 : took;
  unit.load_time_known = true;
  enter(id, UnitState::ready, now);
  unit.expected = 0;
  unit.expected_until = now;
}

void Placement::down(UnitId id) {
  Unit& unit = units_[id];
  if (unit.state == UnitState::ready) {
    enter(id, UnitState::loading, unit.since);
  } else if (unit.state == UnitState::draining) {
    enter(id, UnitState::stopping, unit.since);
    pending_.push_back({Kind::stop, id, 0, 0, {}});
  }
}

void Placement::failed(UnitId id, const Error& why) {
  enter(id, UnitState::out, units_[id].since);
  give_back(units_[id]);
  put_tickets(id, why);
}

void Placement::leaving(UnitId id, const Error* why) {
  if (why != nullptr) put_tickets(id, *why);
  auto state = units_[id].state;
  if (state != UnitState::out) enter(id, UnitState::stopping, units_[id].since);
}

void Placement::gone(UnitId id) {
  give_back(units_[id]);
  enter(id, UnitState::out, units_[id].since);
}

// A unit that grew is not shut out of the account that its estimate fits.
void Placement::measured(UnitId id, std::uint64_t bytes) {
  Unit& unit = units_[id];
  if (unit.held.size() < 2 || bytes == 0) return;
  Parts held = unit.held;
  Bytes most = std::max(accounts_[held[1].account].budget, held[1].bytes);
  held[1].bytes = std::min(bytes_of(bytes), most);
  hold(unit, std::move(held));
}

// --- one step ------------------------------------------------------------------------------------

void Placement::wake_by(Time at) {
  if (!wake_at_ || at < *wake_at_) wake_at_ = at;
}

Placement::Duration Placement::stay_of(const Unit& unit) const {
  return std::clamp(unit.load_time / kStayPart, options_.least_stay, options_.longest_stay);
}

PlacementActions Placement::step(Time now, Units& units) {
  wake_at_.reset();
  Step step(now, units, accounts_.size(), units_.size());
  step.actions = std::exchange(pending_, {});
  step.free = free_now();
  relieve(step);
  plan(step);
  settle_drains(step);
  let_in(step);
  room_wanted_ = !draining_.empty() || wanted_out();
  return std::move(step.actions);
}

void Placement::settle_drains(Step& step) {
  for (UnitId id : std::vector<UnitId>(draining_.begin(), draining_.end())) {
    if (!step.taken[id]) {
      enter(id, UnitState::ready, step.now);
      step.actions.push_back({Kind::reopen, id, 0, 0, {}});
    } else if (step.units.use(id).in_flight == 0) {
      enter(id, UnitState::stopping, step.now);
      step.actions.push_back({Kind::stop, id, 0, 0, {}});
    }
  }
}

// Callers of units that serve are woken, but for those who came after the turn had ended.
void Placement::let_in(Step& step) {
  for (UnitId id : std::vector<UnitId>(wanted_.begin(), wanted_.end())) {
    Unit& unit = units_[id];
    if (unit.state != UnitState::ready) continue;
    std::size_t woken = 0;
    while (!unit.tickets.empty()) {
      auto [since, ticket] = *unit.tickets.begin();
      if (step.turn_end[id] && since >= *step.turn_end[id]) break;
      step.actions.push_back({Kind::wake, id, 0, ticket, {}});
      tickets_.erase(ticket);
      unit.tickets.erase(unit.tickets.begin());
      ++woken;
    }
    if (unit.tickets.empty()) wanted_.erase(id);
    if (woken == 0) continue;
    unit.expected = std::max(unit.expected, step.units.use(id).arrivals) + woken;
    unit.expected_until = step.now + options_.arrival_time;
    if (!wanted_.empty()) wake_by(unit.expected_until);
  }
}

}  // namespace corral::scheduler
