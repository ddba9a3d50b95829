#include "gateway/core/fair_queue.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace corral::gateway {
namespace {

constexpr std::array<std::string_view, 3> kPriorityNames = {"high", "normal", "low"};
constexpr std::size_t kMostIdle = 4096;  // principals remembered for having been served ahead
constexpr std::size_t kForgottenAtOnce = 4;
constexpr std::uint32_t kOverduePart = 4;

std::uint8_t bucket_of(std::uint32_t cost, std::size_t buckets) {
  constexpr int kSmallestBits = 6;
  auto bits = static_cast<int>(std::bit_width(cost));
  return static_cast<std::uint8_t>(
      std::clamp(bits - kSmallestBits, 0, static_cast<int>(buckets) - 1));
}

}  // namespace

std::string_view to_string(Priority priority) {
  return kPriorityNames[static_cast<std::size_t>(priority)];
}

std::optional<Priority> parse_priority(std::string_view text) {
  auto found = std::ranges::find(kPriorityNames, text);
  if (found == kPriorityNames.end()) return std::nullopt;
  return static_cast<Priority>(found - kPriorityNames.begin());
}

template <FairQueue::Link FairQueue::Entry::* kLink>
void FairQueue::Chain<kLink>::append(std::vector<Entry>& entries, Slot slot) {
  (entries[slot].*kLink) = {.before = last, .after = kNone};
  (last == kNone ? first : (entries[last].*kLink).after) = slot;
  last = slot;
}

template <FairQueue::Link FairQueue::Entry::* kLink>
void FairQueue::Chain<kLink>::erase(std::vector<Entry>& entries, Slot slot) {
  auto [before, after] = entries[slot].*kLink;
  (before == kNone ? first : (entries[before].*kLink).after) = after;
  (after == kNone ? last : (entries[after].*kLink).before) = before;
}

FairQueue::FairQueue(Options options) : options_(options) {
  options_.least_part = std::max(options_.least_part, kOverduePart);
}

FairQueue::Ticket FairQueue::ticket_of(Slot slot) const {
  return (static_cast<Ticket>(entries_[slot].generation) << 32) | slot;
}

std::optional<FairQueue::Slot> FairQueue::slot_of(Ticket ticket) const {
  auto slot = static_cast<Slot>(ticket);
  if (slot >= entries_.size() || !entries_[slot].waiting || ticket_of(slot) != ticket) {
    return std::nullopt;
  }
  return slot;
}

FairQueue::Item FairQueue::item_of(Slot slot) const {
  const auto& entry = entries_[slot];
  const auto& flow = flows_[entry.flow];
  return {.ticket = ticket_of(slot),
          .principal = flow.principal,
          .priority = flow.priority,
          .cost = entry.cost,
          .lane = entry.lane,
          .since = entry.since};
}

FairQueue::Answer FairQueue::push(const Request& request, Time now) {
  Answer answer;
  if (options_.per_principal > 0) {
    const auto& flows = level(request.priority).flows;
    auto found = flows.find(request.principal);
    if (found != flows.end() && flows_[found->second].count >= options_.per_principal) {
      answer.outcome = Outcome::principal_full;
      return answer;
    }
  }
  if (size_ >= options_.limit && !make_room(request.priority, answer)) {
    answer.outcome = Outcome::full;
    return answer;
  }
  if (size_ == 0) rate_.resume(now);
  auto flow_slot = flow_for(request);
  auto slot = new_entry();
  auto& flow = flows_[flow_slot];
  auto& entry = entries_[slot];
  entry.since = now;
  entry.flow = flow_slot;
  entry.cost = std::max(request.cost, 1u);
  entry.lane = request.lane;
  entry.work_ms = request.work_ms;
  entry.bucket = bucket_of(entry.cost, kBuckets);
  entry.departed = flow.departed + flow.count;
  auto& bucket = flow.buckets[entry.bucket];
  entry.number = bucket.arrived++;
  ++bucket.count;
  bucket.work_ms += entry.work_ms;
  bucket.chain.append(entries_, slot);
  flow.filled |= 1u << entry.bucket;
  flow.chain.append(entries_, slot);
  ++flow.count;
  flow.cost += entry.cost;
  flow.work_ms += entry.work_ms;
  auto& here = level(request.priority);
  here.chain.append(entries_, slot);
  ++here.count;
  here.work_ms += entry.work_ms;
  ++size_;
  ++in_lane_[entry.lane];
  lanes_.set(entry.lane);
  if (request.deadline) heap_put(slot, *request.deadline);
  answer.ticket = ticket_of(slot);
  return answer;
}

// The newest of the lowest priority below the newcomer's leaves.
bool FairQueue::make_room(Priority priority, Answer& answer) {
  if (!options_.push_out) return false;
  for (auto lower = levels_.size() - 1; lower > static_cast<std::size_t>(priority); --lower) {
    if (levels_[lower].count == 0) continue;
    auto slot = levels_[lower].chain.last;
    answer.pushed_out = ticket_of(slot);
    detach(slot);
    return true;
  }
  return false;
}

FairQueue::Slot FairQueue::flow_for(const Request& request) {
  auto& here = level(request.priority);
  auto [found, is_new] = here.flows.try_emplace(request.principal, kNone);
  if (is_new) {
    if (free_flows_.empty()) {
      free_flows_.push_back(static_cast<Slot>(flows_.size()));
      flows_.emplace_back();
    }
    found->second = free_flows_.back();
    free_flows_.pop_back();
    flows_[found->second] = Flow{.principal = request.principal, .priority = request.priority};
  }
  auto slot = found->second;
  auto& flow = flows_[slot];
  flow.weight = std::max(request.weight, 1u);
  if (flow.count > 0) return slot;
  if (!is_new) here.idle.erase(turn_of(flow, slot));
  // As if it had just been served one like this: it joins the round at its end. (Joining at the
  // present, an endless row of newcomers would keep out those who wait.)
  auto cost = static_cast<double>(std::max(request.cost, 1u));
  flow.start = std::max(flow.start, here.now + cost / flow.weight);
  flow.order = joined_++;
  here.active.insert(turn_of(flow, slot));
  return slot;
}

FairQueue::Slot FairQueue::new_entry() {
  if (free_entries_.empty()) {
    free_entries_.push_back(static_cast<Slot>(entries_.size()));
    entries_.emplace_back();
  }
  auto slot = free_entries_.back();
  free_entries_.pop_back();
  auto generation = entries_[slot].generation + 1;
  entries_[slot] = Entry{.generation = generation == 0 ? 1 : generation, .waiting = true};
  return slot;
}

void FairQueue::detach(Slot slot) {
  auto& entry = entries_[slot];
  auto& flow = flows_[entry.flow];
  auto& bucket = flow.buckets[entry.bucket];
  auto& here = level(flow.priority);
  bucket.chain.erase(entries_, slot);
  bucket.work_ms -= entry.work_ms;
  flow.work_ms -= entry.work_ms;
  here.work_ms -= entry.work_ms;
  if (--bucket.count == 0) flow.filled &= ~(1u << entry.bucket);
  flow.chain.erase(entries_, slot);
  flow.cost -= entry.cost;
  ++flow.departed;
  here.chain.erase(entries_, slot);
  if (--in_lane_[entry.lane] == 0) lanes_.reset(entry.lane);
  if (entry.heap_at != kNone) heap_erase(slot);
  entry.waiting = false;
  free_entries_.push_back(slot);
  --size_;
  if (--here.count == 0) here.passed = 0;
  if (--flow.count == 0) flow_emptied(entry.flow);
}

// What it was served ahead of the others is remembered until they have caught up.
void FairQueue::flow_emptied(Slot slot) {
  auto& flow = flows_[slot];
  auto& here = level(flow.priority);
  here.active.erase(turn_of(flow, slot));
  if (flow.start > here.now) {
    here.idle.insert(turn_of(flow, slot));
  } else {
    forget_flow(here, slot);
  }
  if (here.active.empty()) {  // nobody is behind: all begin anew
    if (!here.idle.empty()) here.now = here.idle.rbegin()->start;
    while (!here.idle.empty()) {
      auto first = here.idle.begin()->flow;
      here.idle.erase(here.idle.begin());
      forget_flow(here, first);
    }
  } else {
    forget_idle(here);
  }
}

void FairQueue::forget_flow(Level& here, Slot slot) {
  here.flows.erase(flows_[slot].principal);
  free_flows_.push_back(slot);
}

void FairQueue::forget_idle(Level& here) {
  for (std::size_t i = 0; i < kForgottenAtOnce && !here.idle.empty(); ++i) {
    auto first = here.idle.begin();
    if (first->start > here.now && here.idle.size() <= kMostIdle) return;
    auto flow = first->flow;
    here.idle.erase(first);
    forget_flow(here, flow);
  }
}

// Strictly by priority, but first those that have been passed over too often. Two may be due at
// once, so each is due two dispatches before the last that it may wait for.
std::array<std::size_t, 3> FairQueue::level_order(Time now) const {
  std::array<std::size_t, 3> order{0, 1, 2};
  auto owed = [&](std::size_t index) -> std::uint32_t {
    const auto& here = levels_[index];
    if (index == 0 || here.count == 0) return 0;
    auto late = now - entries_[here.chain.first].since >= options_.overdue;
    auto part = late ? kOverduePart : options_.least_part;
    return here.passed + 2 >= part ? here.passed + 2 : 0;
  };
  auto normal = owed(1), low = owed(2);
  if (low > 0 && low >= normal) {
    order = normal > 0 ? std::array<std::size_t, 3>{2, 1, 0} : std::array<std::size_t, 3>{2, 0, 1};
  } else if (normal > 0) {
    order = low > 0 ? std::array<std::size_t, 3>{1, 2, 0} : std::array<std::size_t, 3>{1, 0, 2};
  }
  return order;
}

std::optional<FairQueue::Slot> FairQueue::select(Time now, const LaneOpen& lane_open) const {
  if (size_ == 0) return std::nullopt;
  auto open = lanes_;
  if (lane_open) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      if (lanes_[lane]) open[lane] = lane_open(static_cast<Lane>(lane));
    }
  }
  if (open.none()) return std::nullopt;
  const auto* some = open == lanes_ ? nullptr : &open;
  for (auto index : level_order(now)) {
    for (const auto& turn : levels_[index].active) {
      if (auto slot = select_in(flows_[turn.flow], now, some)) return slot;
    }
  }
  return std::nullopt;
}

// `open`: null when all lanes are.
std::optional<FairQueue::Slot> FairQueue::select_in(const Flow& flow, Time now,
                                                    const Lanes* open) const {
  auto is_open = [&](Slot slot) { return open == nullptr || (*open)[entries_[slot].lane]; };
  auto oldest = flow.chain.first;
  const auto& entry = entries_[oldest];
  // Of those who left since the oldest came, all but those who came before it overtook it; and
  // nobody in the flow has been overtaken more often than its oldest.
  auto overtaken = flow.departed - entry.departed;
  auto its_turn = overtaken >= options_.most_overtaken || now - entry.since >= options_.most_waited;
  if (its_turn && is_open(oldest)) return oldest;
  if (!under_load()) {
    for (auto slot = oldest; slot != kNone; slot = entries_[slot].in_flow.after) {
      if (is_open(slot)) return slot;
    }
    return std::nullopt;
  }
  for (auto filled = flow.filled; filled != 0; filled &= filled - 1) {
    auto slot = flow.buckets[static_cast<std::size_t>(std::countr_zero(filled))].chain.first;
    for (; slot != kNone; slot = entries_[slot].in_bucket.after) {
      if (is_open(slot)) return slot;
    }
  }
  return std::nullopt;
}

std::optional<FairQueue::Item> FairQueue::peek(Time now, const LaneOpen& lane_open) const {
  auto slot = select(now, lane_open);
  return slot ? std::optional(item_of(*slot)) : std::nullopt;
}

std::optional<FairQueue::Item> FairQueue::pop(Time now, const LaneOpen& lane_open) {
  auto slot = select(now, lane_open);
  if (!slot) return std::nullopt;
  auto item = item_of(*slot);
  charge(*slot, now);
  detach(*slot);
  return item;
}

void FairQueue::charge(Slot slot, Time now) {
  const auto& entry = entries_[slot];
  auto& flow = flows_[entry.flow];
  auto& here = level(flow.priority);
  auto node = here.active.extract(turn_of(flow, entry.flow));
  // Behind the others only if its lane was closed: that saves up no claim either.
  here.now = std::max(here.now, flow.start);
  flow.start = here.now + static_cast<double>(entry.cost) / flow.weight;
  node.value() = turn_of(flow, entry.flow);
  here.active.insert(std::move(node));
  forget_idle(here);
  for (std::size_t other = 1; other < levels_.size(); ++other) {
    if (levels_[other].count > 0) ++levels_[other].passed;
  }
  here.passed = 0;
  rate_.count(now);
}

bool FairQueue::remove(Ticket ticket) {
  auto slot = slot_of(ticket);
  if (slot) detach(*slot);
  return slot.has_value();
}

bool FairQueue::change_lane(Ticket ticket, Lane lane) {
  auto slot = slot_of(ticket);
  if (!slot) return false;
  auto& entry = entries_[*slot];
  if (--in_lane_[entry.lane] == 0) lanes_.reset(entry.lane);
  entry.lane = lane;
  ++in_lane_[lane];
  lanes_.set(lane);
  return true;
}

std::vector<FairQueue::Ticket> FairQueue::expire(Time now) {
  std::vector<Ticket> expired;
  while (!deadlines_.empty() && deadlines_.front().at <= now) {
    auto slot = deadlines_.front().slot;
    expired.push_back(ticket_of(slot));
    detach(slot);
  }
  return expired;
}

std::optional<FairQueue::Time> FairQueue::next_deadline() const {
  return deadlines_.empty() ? std::nullopt : std::optional(deadlines_.front().at);
}

std::vector<FairQueue::Ticket> FairQueue::drain() {
  std::vector<Ticket> all;
  for (auto& here : levels_) {
    while (here.chain.first != kNone) {
      all.push_back(ticket_of(here.chain.first));
      detach(here.chain.first);
    }
  }
  return all;
}

}  // namespace corral::gateway
