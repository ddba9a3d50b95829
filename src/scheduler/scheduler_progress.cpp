// What those who wait for a model are told, and what is shown of its load.
#include "scheduler/scheduler_impl.hpp"

namespace corral::scheduler {
namespace {

constexpr std::chrono::seconds kBetweenNews{1};

}  // namespace

std::optional<LoadStatus> Scheduler::Impl::load_status(UnitId unit) const {
  using std::chrono::milliseconds;
  auto since = placement.loading_since(unit);
  if (!since) return std::nullopt;
  LoadStatus load;
  load.passed = std::chrono::duration_cast<milliseconds>(parts.clock.now() - *since);
  load.expected = placement.load_time(unit);
  return load;
}

gateway::QueuePlace Scheduler::Impl::place_of(UnitId unit, std::size_t position) const {
  gateway::QueuePlace place;
  place.position = position;
  if (auto load = load_status(unit)) {
    place.stage = gateway::QueuePlace::Stage::loading;
    place.passed = load->passed;
    // Past what was thought, nobody knows.
    if (load->passed < load->expected) place.estimate = load->expected - load->passed;
  } else {
    place.stage = gateway::QueuePlace::Stage::room;
    place.why = placement.why_waiting(unit, parts.clock.now());
  }
  return place;
}

void Scheduler::Impl::tell_newcomer(TicketId ticket) {
  auto caller = callers.find(ticket);
  if (caller == callers.end() || !caller->second.waiter->wants_progress()) return;
  caller->second.waiter->tell(place_of(caller->second.unit, placement.position(ticket)));
}

void Scheduler::Impl::tell_waiting() {
  auto now = parts.clock.now();
  if (callers.empty() || now - told_at < kBetweenNews) return;
  told_at = now;
  for (UnitId unit = 0; unit < units.size(); ++unit) {
    if (placement.waiting(unit) == 0) continue;
    auto tickets = placement.tickets(unit);
    auto place = place_of(unit, placement.position(tickets.front()));
    for (TicketId ticket : tickets) {
      auto caller = callers.find(ticket);
      if (caller != callers.end() && caller->second.waiter->wants_progress()) {
        caller->second.waiter->tell(place);
      }
      ++place.position;
    }
  }
}

}  // namespace corral::scheduler
