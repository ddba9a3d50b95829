// The requests that wait at one route, and whose turn it is. Pure: the time comes in, tickets come
// out; the driver wakes them.
//
// Between priorities: high before normal before low, but a lower one gets at least 1 of 16
// dispatches while it waits (1 of 4 when its oldest request has waited over 30 s).
// Between principals of one priority: deficit round robin by weight, where a dispatch costs the
// request's estimated tokens. The rounds are counted in virtual time (start-time fair queueing,
// Goyal, Vin, Cheng 1996): the same shares as with quanta, without rounds of giving quanta, and
// never further apart than one request of each. An idle principal saves up nothing.
// Within a principal: arrival; under load (several waiting) small requests first, by powers of two
// of their cost, but none is overtaken more than 16 times or once it has waited 10 s.
//
// A request waits in a lane: whatever decides where it may go (a group of the route, say). The
// driver tells which lanes are open, and a closed one holds up no other.
//
// Costs: push, pop and remove O(log n); place looks at some 200 principals at most. About 130 bytes
// a request and 500 a principal.
//
// Thread rule: none of its own; one caller at a time. Lifecycle: plain value. `now` never
// decreases.
//
//   FairQueue queue;
//   auto answer = queue.push({.principal = id, .cost = 800, .deadline = now + 60s}, now);
//   ...a place frees:
//   while (auto next = queue.pop(now, [&](auto lane) { return groups[lane].has_room(); }))
//     start(next->ticket);
#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/core/mixing.hpp"
#include "gateway/core/rate_meter.hpp"

namespace corral::gateway {

enum class Priority : std::uint8_t { high, normal, low };
std::string_view to_string(Priority priority);
std::optional<Priority> parse_priority(std::string_view text);

struct FairQueueOptions {
  std::size_t limit = 10'000;     // requests in all
  std::size_t per_principal = 0;  // of one principal in one priority; 0 = no such limit
  bool push_out = true;           // when full, a newcomer takes the place of the newest lower one
  std::uint32_t least_part = 16;  // a lower priority gets 1 of so many dispatches; at least 4
  std::chrono::milliseconds overdue{30'000};
  std::uint32_t most_overtaken = 16;
  std::chrono::milliseconds most_waited{10'000};
  std::size_t small_first_from = 4;  // so many waiting are "under load"
};

class FairQueue {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Ticket = std::uint64_t;  // names one waiting request; never 0, never used again soon
  using Lane = std::uint8_t;
  using LaneOpen = std::function<bool(Lane)>;
  using Options = FairQueueOptions;

  struct Request {
    std::uint64_t principal = 0;
    std::uint32_t weight = 1;  // of the principal; the latest counts; 0 is read as 1
    Priority priority = Priority::normal;
    std::uint32_t cost = 1;  // estimated tokens; 0 is read as 1
    Lane lane = 0;
    std::optional<Time> deadline;
    std::uint32_t work_ms = 0;  // how long it will probably take; 0: not known
  };
  enum class Outcome : std::uint8_t { queued, full, principal_full };
  struct Answer {
    Outcome outcome = Outcome::queued;
    Ticket ticket = 0;                 // for `queued`
    std::optional<Ticket> pushed_out;  // left the queue for it: tell it that the queue is full
  };
  struct Item {
    Ticket ticket = 0;
    std::uint64_t principal = 0;
    Priority priority = Priority::normal;
    std::uint32_t cost = 1;
    Lane lane = 0;
    Time since{};  // it was pushed
  };
  struct Place {
    std::size_t position = 1;                       // about; 1 is next
    std::optional<std::chrono::milliseconds> wait;  // none while the rate is not known
    double work_before = 0;                         // seconds that those before it take together
  };

  explicit FairQueue(Options options = {});

  Answer push(const Request& request, Time now);
  // Whose turn it is among those whose lane is open. `lane_open` is asked once for each lane in
  // which somebody waits.
  std::optional<Item> peek(Time now, const LaneOpen& lane_open = {}) const;
  std::optional<Item> pop(Time now, const LaneOpen& lane_open = {});
  // False when it does not wait any more.
  bool remove(Ticket ticket);
  bool change_lane(Ticket ticket, Lane lane);
  // Those whose deadline has come; they leave the queue.
  std::vector<Ticket> expire(Time now);
  std::optional<Time> next_deadline() const;
  // All leave the queue.
  std::vector<Ticket> drain();

  std::optional<Place> place(Ticket ticket, Time now) const;
  // How long one who stands at `position` waits; for Retry-After, with position = size() + 1.
  std::optional<std::chrono::milliseconds> wait_at(std::size_t position, Time now) const;

  std::size_t size() const { return size_; }
  std::size_t size(Priority priority) const { return level(priority).count; }
  double work() const;  // seconds that all who wait take together
  std::size_t principals(Priority priority) const { return level(priority).active.size(); }
  const Options& options() const { return options_; }

 private:
  using Slot = std::uint32_t;
  static constexpr Slot kNone = ~Slot{0};
  static constexpr std::size_t kBuckets = 12;  // costs below 64, 128, ... and from 64 Ki on
  static constexpr std::size_t kLanes = 256;
  using Lanes = std::bitset<kLanes>;

  struct Link {
    Slot before = kNone;
    Slot after = kNone;
  };
  struct Entry {
    Time since{};
    Link in_flow;    // by arrival
    Link in_bucket;  // by arrival
    Link in_level;   // by arrival
    std::uint32_t generation = 0;
    Slot flow = kNone;
    std::uint32_t cost = 0;
    std::uint32_t heap_at = kNone;
    std::uint32_t number = 0;    // of arrival in its bucket
    std::uint32_t departed = 0;  // of its flow, when all who came before it will have left
    std::uint32_t work_ms = 0;
    Lane lane = 0;
    std::uint8_t bucket = 0;
    bool waiting = false;
  };
  template <Link Entry::* kLink>
  struct Chain {
    Slot first = kNone;
    Slot last = kNone;
    void append(std::vector<Entry>& entries, Slot slot);
    void erase(std::vector<Entry>& entries, Slot slot);
  };
  struct Bucket {
    Chain<&Entry::in_bucket> chain;
    std::uint64_t work_ms = 0;  // of all in it
    std::uint32_t count = 0;
    std::uint32_t arrived = 0;
  };
  // The requests of one principal in one priority.
  struct Flow {
    std::uint64_t principal = 0;
    std::uint64_t order = 0;  // of joining, to break ties
    double start = 0;         // virtual time at which its next request starts
    std::uint64_t cost = 0;   // of all that waits
    std::uint64_t work_ms = 0;
    std::uint32_t weight = 1;
    std::uint32_t count = 0;
    std::uint32_t departed = 0;
    std::uint32_t filled = 0;  // a bit for each bucket that is not empty
    Priority priority = Priority::normal;
    Chain<&Entry::in_flow> chain;
    std::array<Bucket, kBuckets> buckets;
  };
  struct Turn {
    double start;
    std::uint64_t order;
    Slot flow;
    bool operator<(const Turn& other) const {
      return start != other.start ? start < other.start : order < other.order;
    }
  };
  struct PrincipalHash {
    std::size_t operator()(std::uint64_t id) const { return mix64(id); }
  };
  struct Level {
    std::unordered_map<std::uint64_t, Slot, PrincipalHash> flows;
    std::set<Turn> active;     // flows with waiting requests
    std::set<Turn> idle;       // flows without, that have been served ahead of the others
    double now = 0;            // virtual time
    std::uint32_t passed = 0;  // dispatches of others while somebody waited here
    std::size_t count = 0;
    std::uint64_t work_ms = 0;  // of all that waits
    Chain<&Entry::in_level> chain;
  };
  struct Deadline {
    Time at;
    Slot slot;
  };

  const Level& level(Priority priority) const {
    return levels_[static_cast<std::size_t>(priority)];
  }
  Level& level(Priority priority) { return levels_[static_cast<std::size_t>(priority)]; }
  static Turn turn_of(const Flow& flow, Slot slot) { return {flow.start, flow.order, slot}; }
  Ticket ticket_of(Slot slot) const;
  std::optional<Slot> slot_of(Ticket ticket) const;
  Item item_of(Slot slot) const;

  bool make_room(Priority priority, Answer& answer);
  Slot flow_for(const Request& request);
  Slot new_entry();
  void detach(Slot slot);
  void flow_emptied(Slot flow);
  void forget_flow(Level& level, Slot flow);
  void forget_idle(Level& level);

  bool under_load() const { return size_ >= options_.small_first_from; }
  std::array<std::size_t, 3> level_order(Time now) const;
  std::optional<Slot> select(Time now, const LaneOpen& lane_open) const;
  std::optional<Slot> select_in(const Flow& flow, Time now, const Lanes* open) const;
  void charge(Slot slot, Time now);
  // How many of its own flow go before it, and how long they take.
  struct Ahead {
    std::size_t count = 0;
    double work_ms = 0;
  };
  Ahead ahead_in_flow(const Entry& entry, const Flow& flow) const;

  void heap_put(Slot slot, Time at);
  void heap_erase(Slot slot);
  void heap_place(std::size_t at, Deadline deadline);
  void heap_up(std::size_t at, Deadline deadline);
  void heap_down(std::size_t at, Deadline deadline);

  Options options_;
  std::size_t size_ = 0;
  std::uint64_t joined_ = 0;
  std::vector<Entry> entries_;
  std::vector<Slot> free_entries_;
  std::vector<Flow> flows_;
  std::vector<Slot> free_flows_;
  std::array<Level, 3> levels_;
  std::vector<Deadline> deadlines_;  // a binary heap
  std::array<std::uint32_t, kLanes> in_lane_{};
  Lanes lanes_;  // in which somebody waits
  RateMeter rate_;
};

}  // namespace corral::gateway
