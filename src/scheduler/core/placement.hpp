// Which engines are in memory: decides who is started, who has to go for it, and who waits. Pure:
// events and the time come in, actions come out; the driver is Scheduler::Impl.
// Diagram: docs/state-machines/placement.md.
//
// Memory is shared out in accounts (a device's, a pool's). A unit (one instance of a deployment)
// names the places where it could run, and what each takes of which accounts. What a unit holds is
// given back when its process is gone, not when it is told to go.
//
// Rules
// - No account is overdrawn by a start.
// - A unit in which a request runs is never stopped. `Units::close_if_idle` decides, where requests
//   are let in, so that none slips in between.
// - A spare unit (a further instance of a deployment) takes only memory that is free when it is
//   offered some, goes before all others when idle, and when busy need not have had its turn: it is
//   closed at once for a unit that callers wait for, since its deployment serves without it.
// - Among idle units goes first whose idle time is longest in relation to what it costs to load it
//   again. One that was used a moment ago stays a little (a twentieth of that cost), since the next
//   request of the same client is likely on its way.
// - Of free places of one rank a unit takes the one where fewest of its kin are (the instances of a
//   deployment spread over the accelerators), then the tightest fit, since large rooms are for
//   large units, or the emptiest if it is to be spread.
// - Those who wait are served by the arrival of the oldest caller of each unit. A younger one may
//   use what an older one leaves.
// - Turns: requests for a unit in memory are let in as long as nobody has waited `turn_limit` for
//   its place. Then it is closed, its running ones finish, and it goes. So callers of one model are
//   answered together, and none waits longer than the turns of those before it.
// - Whoever can never be served is told at once, and why.
//
// Thread rule: one owner. `now` never decreases. Lifecycle: plain value; units are never forgotten.
//
//   Placement placement;
//   placement.configure({.turn_limit = 30s}, {{.name = "cpu", .budget = 8 << 30}});
//   auto unit = placement.add({.name = "a", .places = {{"cpu", {{"cpu", 2 << 30}}}}});
//   placement.want(unit, ticket, now);
//   perform(placement.step(now, units));      // start
//   placement.ready(unit, later);
//   perform(placement.step(later, units));    // wake
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "sys/clock.hpp"

namespace corral::scheduler {

using UnitId = std::uint32_t;
using TicketId = std::uint64_t;  // one caller who waits

struct AccountSpec {
  std::string name;          // "cpu", "CUDA0", "pool:fast"
  std::uint64_t budget = 0;  // bytes that engines may hold at once
  std::string note;          // what else it is used for: "1.0 GiB are kept for pools"
};

struct Charge {
  std::string account;
  std::uint64_t bytes = 0;
};

struct Place {
  std::string device;
  std::vector<Charge> charges;
  unsigned rank = 0;  // lower ones are preferred, even if another unit has to go for them
};

struct UnitSpec {
  std::string name;
  std::vector<Place> places;  // by rank
  bool pinned = false;        // never stopped to make room
  bool spare = false;         // its deployment serves without it as well
  bool spread = false;        // of free places of one rank it takes the emptiest, not the tightest
  std::string kin;  // it takes a place where fewest units of this name are; empty: no matter
};

// What is so at this moment where requests come and go.
struct Use {
  std::size_t in_flight = 0;
  std::size_t queued = 0;      // requests that wait for a place in it
  std::uint64_t arrivals = 0;  // requests let in so far
  sys::Steady last_used{};
};

class Units {
 public:
  virtual ~Units() = default;
  virtual Use use(UnitId unit) const = 0;
  // Closes it to requests if none is inside and the last one left at least `idle` ago.
  virtual bool close_if_idle(UnitId unit, std::chrono::milliseconds idle) = 0;
};

struct PlacementAction {
  enum class Kind {
    start,   // at place `place`; report ready or failed
    close,   // its turn is over: let nobody in any more
    reopen,  // it need not go after all
    stop,    // nobody is inside; report gone
    wake,    // the caller with `ticket`: served, or with `error`
  };
  Kind kind;
  UnitId unit = 0;
  std::size_t place = 0;
  TicketId ticket = 0;
  std::optional<Error> error;
};
using PlacementActions = std::vector<PlacementAction>;

struct PlacementOptions {
  std::chrono::milliseconds turn_limit{30'000};  // 0: strictly first come, first served
  unsigned max_units = 0;                        // in memory at once; 0: as many as fit
  std::chrono::milliseconds least_stay{20};      // after the last request
  std::chrono::milliseconds longest_stay{1'000};
  std::chrono::milliseconds arrival_time{1'000};  // woken callers that have not come by then do not
};

enum class UnitState { out, loading, ready, draining, stopping };
std::string_view to_string(UnitState state);

class Placement {
 public:
  using Time = sys::Steady;
  using Duration = std::chrono::milliseconds;
  using Options = PlacementOptions;

  Placement();
  // Accounts that are not named any more have nothing left. What is held stays held; idle units of
  // an overdrawn account go at the next step.
  void configure(const Options& options, const std::vector<AccountSpec>& accounts);

  UnitId add(UnitSpec spec);
  void update(UnitId unit, UnitSpec spec);  // holds from its next start on
  // A caller waits for it until it is woken or leaves.
  void want(UnitId unit, TicketId ticket, Time now);
  bool leave(TicketId ticket);  // false: it does not wait any more
  // Whether its memory is free at a place of it, and nobody waits for room.
  bool room_for(UnitId unit) const;
  // Starts it with the next step if that is so; nothing goes for it.
  bool offer(UnitId unit, Time now);

  // What the driver reports.
  void ready(UnitId unit, Time now);
  void down(UnitId unit);                           // crashed; it is being started again
  void failed(UnitId unit, const Error& why);       // and has no process; its callers are told
  void leaving(UnitId unit, const Error* why);      // it is stopped for another reason than room;
                                                    // its callers are told why, or wait on
  void gone(UnitId unit);                           // its process ended
  void measured(UnitId unit, std::uint64_t bytes);  // what it really holds of its first account

  // What is to be done now. Call after events, and at wake_at().
  PlacementActions step(Time now, Units& units);
  std::optional<Time> wake_at() const { return wake_at_; }

  bool anyone_waits() const { return !tickets_.empty(); }
  // Somebody waits for room, or a turn is ending: requests that end are of interest.
  bool room_wanted() const { return room_wanted_; }
  UnitState state(UnitId unit) const { return units_[unit].state; }
  std::size_t waiting(UnitId unit) const { return units_[unit].tickets.size(); }
  const UnitSpec& spec(UnitId unit) const { return units_[unit].spec; }
  std::uint64_t held(UnitId unit) const;  // of all devices
  std::string device(UnitId unit) const;  // where it is; empty while it is out
  std::uint64_t held_of(std::string_view account) const;
  std::uint64_t budget_of(std::string_view account) const;
  Duration load_time(UnitId unit) const { return units_[unit].load_time; }
  std::optional<Time> loading_since(UnitId unit) const;
  std::vector<TicketId> tickets(UnitId unit) const;  // of those who wait, oldest first
  // About how many callers are served before this one, itself included; 0: it does not wait.
  std::size_t position(TicketId ticket) const;
  // Why its callers wait: "it needs 2.0 GiB of cpu, where a holds 3.0 GiB"; empty if none do.
  std::string why_waiting(UnitId unit, Time now) const;

 private:
  using Bytes = std::int64_t;
  using AccountId = std::size_t;
  static constexpr AccountId kCount = 0;  // how many units are in memory

  struct Account {
    AccountSpec spec;
    Bytes budget = 0;
    Bytes used = 0;
    Bytes pinned = 0;
  };
  struct Part {
    AccountId account;
    Bytes bytes;
  };
  using Parts = std::vector<Part>;
  using Ticket = std::pair<Time, TicketId>;
  struct Unit {
    UnitSpec spec;
    std::vector<Parts> places;  // as in spec, plus one of kCount
    UnitState state = UnitState::out;
    Parts held;
    std::size_t place = 0;  // of `held`
    bool held_pinned = false;
    std::set<Ticket> tickets;
    Time since{};  // of its state
    Duration load_time{};
    bool load_time_known = false;
    std::uint64_t expected = 0;  // arrivals that woken callers will bring it to,
    Time expected_until{};       // or they do not come
    std::vector<UnitId> waits_for;
    std::optional<Time> turn_ends;  // of what it waits for
  };

  // How readily a unit gives its memory.
  enum Class : std::uint8_t { kDraining, kIdle, kLingering, kSpare, kBusy, kClasses };
  struct Candidate {
    UnitId unit;
    Class kind;
    double worth;  // lower goes first, within its kind
  };
  struct Step;

  // placement.cpp
  Parts parts_of(const Place& place) const;
  AccountId account(std::string_view name) const;
  void set_spec(Unit& unit, UnitSpec spec);
  void hold(Unit& unit, Parts parts);
  void give_back(Unit& unit);
  void put_tickets(UnitId id, const Error& why);
  void forget_tickets(Unit& unit);
  void enter(UnitId id, UnitState state, Time now);
  void wake_by(Time at);
  Duration stay_of(const Unit& unit) const;
  std::vector<Bytes> free_now() const;
  bool wanted_out() const;
  std::size_t kin_at(const Unit& unit, const std::string& device) const;
  std::optional<std::size_t> best_fit(const Unit& unit, const std::vector<Bytes>& free,
                                      std::size_t from, std::size_t to) const;
  void load_at(UnitId id, std::size_t place, Time now);
  void settle_drains(Step& step);
  void let_in(Step& step);

  // placement_plan.cpp
  void look_at_units(Step& step);
  Candidate judge(Step& step, UnitId id);
  void relieve(Step& step);
  void plan(Step& step);
  void plan_for(Step& step, UnitId head);
  bool start_where_free(Step& step, UnitId head, std::size_t from, std::size_t to);
  bool make_room(Step& step, UnitId head, std::size_t from, std::size_t to, Class most);
  std::optional<std::vector<Candidate>> choose(Step& step, const Parts& need, Class most) const;
  void commit(Step& step, UnitId head, const Parts& need, const std::vector<Candidate>& chosen);
  void send_away(Step& step, const Candidate& victim, bool turn_over);
  void close_for_turn(Step& step, UnitId id);

  // placement_text.cpp
  bool can_fit(const Unit& unit) const;
  Error never_fits(const Unit& unit) const;
  std::string holders(AccountId account, UnitId except) const;

  Options options_;
  std::vector<Account> accounts_;
  std::vector<Unit> units_;
  std::unordered_map<TicketId, std::pair<Time, UnitId>> tickets_;
  std::set<UnitId> wanted_;  // units with tickets
  std::set<UnitId> draining_;
  PlacementActions pending_;  // made by events, performed with the next step
  std::optional<Time> wake_at_;
  bool room_wanted_ = false;
};

}  // namespace corral::scheduler
