// The parts of FairQueue that change no order: where somebody stands, and the heap of deadlines.
#include <algorithm>
#include <cmath>

#include "gateway/core/fair_queue.hpp"

namespace corral::gateway {
namespace {

constexpr std::size_t kSampledFlows = 128;

double mean_work(std::uint64_t all_ms, std::size_t count) {
  return count == 0 ? 0 : static_cast<double>(all_ms) / static_cast<double>(count);
}

}  // namespace

FairQueue::Ahead FairQueue::ahead_in_flow(const Entry& entry, const Flow& flow) const {
  Ahead ahead;
  if (!under_load()) {
    // Those who came before it and have not left; who left from behind it makes it look nearer.
    auto before = static_cast<std::int32_t>(entry.departed - flow.departed);
    ahead.count = static_cast<std::size_t>(
        std::clamp<std::int64_t>(before, 0, static_cast<std::int64_t>(flow.count) - 1));
    // Few wait: they are told apart.
    auto slot = flow.chain.first;
    for (std::size_t i = 0; i < ahead.count && slot != kNone; ++i) {
      ahead.work_ms += entries_[slot].work_ms;
      slot = entries_[slot].in_flow.after;
    }
    return ahead;
  }
  for (std::size_t smaller = 0; smaller < entry.bucket; ++smaller) {
    ahead.count += flow.buckets[smaller].count;
    ahead.work_ms += static_cast<double>(flow.buckets[smaller].work_ms);
  }
  const auto& bucket = flow.buckets[entry.bucket];
  auto before = std::min(entry.number - entries_[bucket.chain.first].number, bucket.count - 1);
  ahead.count += before;
  ahead.work_ms += mean_work(bucket.work_ms, bucket.count) * before;
  return ahead;
}

std::optional<FairQueue::Place> FairQueue::place(Ticket ticket, Time now) const {
  auto slot = slot_of(ticket);
  if (!slot) return std::nullopt;
  const auto& entry = entries_[*slot];
  const auto& flow = flows_[entry.flow];
  const auto& here = level(flow.priority);
  auto virtual_cost = [](const Flow& of) {  // of its average request
    return static_cast<double>(of.cost) / of.count / of.weight;
  };
  auto ahead = ahead_in_flow(entry, flow);
  auto starts =
      std::max(flow.start, here.now) + static_cast<double>(ahead.count) * virtual_cost(flow);
  // Of many principals a sample stands for all.
  double before = 0;
  double work_ms = 0;
  std::size_t sampled = 0;
  const auto step = std::max<std::size_t>(1, flows_.size() / kSampledFlows);
  for (std::size_t i = 0; i < flows_.size(); i += step) {
    const auto& other = flows_[i];
    if (other.count == 0 || other.priority != flow.priority || i == entry.flow) continue;
    ++sampled;
    auto turns = (starts - std::max(other.start, here.now)) / virtual_cost(other);
    turns = other.order < flow.order ? std::floor(turns) + 1 : std::ceil(turns);
    turns = std::clamp(turns, 0.0, static_cast<double>(other.count));
    before += turns;
    work_ms += turns * mean_work(other.work_ms, other.count);
  }
  if (sampled > 0) {
    const double all = static_cast<double>(here.active.size() - 1) / static_cast<double>(sampled);
    before *= all;
    work_ms *= all;
  }
  before += static_cast<double>(ahead.count);
  work_ms += ahead.work_ms;
  // The higher priorities go first, but for the part that they must leave to this one; and of those
  // before it, the lower ones take theirs.
  auto own = before + 1;
  auto part = static_cast<double>(options_.least_part);
  for (std::size_t other = 0; other < levels_.size(); ++other) {
    auto waiting = static_cast<double>(levels_[other].count);
    double first = 0;
    if (other < static_cast<std::size_t>(flow.priority)) {
      first = std::min(waiting, own * (part - 1));
    } else if (other > static_cast<std::size_t>(flow.priority)) {
      first = std::min(waiting, std::floor(own / part));
    }
    before += first;
    work_ms += first * mean_work(levels_[other].work_ms, levels_[other].count);
  }
  Place place;
  place.position = std::min(static_cast<std::size_t>(before) + 1, size_);
  place.wait = wait_at(place.position, now);
  place.work_before = work_ms / 1000;
  return place;
}

double FairQueue::work() const {
  std::uint64_t sum = 0;
  for (const auto& each : levels_) sum += each.work_ms;
  return static_cast<double>(sum) / 1000;
}

std::optional<std::chrono::milliseconds> FairQueue::wait_at(std::size_t position, Time now) const {
  auto rate = rate_.per_second(now);
  if (!rate) return std::nullopt;
  constexpr double kLongest = 24.0 * 3600;
  auto seconds = std::min(static_cast<double>(position) / *rate, kLongest);
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
}

void FairQueue::heap_place(std::size_t at, Deadline deadline) {
  deadlines_[at] = deadline;
  entries_[deadline.slot].heap_at = static_cast<std::uint32_t>(at);
}

void FairQueue::heap_put(Slot slot, Time at) {
  deadlines_.push_back({at, slot});
  heap_up(deadlines_.size() - 1, deadlines_.back());
}

void FairQueue::heap_erase(Slot slot) {
  std::size_t at = entries_[slot].heap_at;
  auto last = deadlines_.back();
  deadlines_.pop_back();
  entries_[slot].heap_at = kNone;
  if (last.slot == slot) return;
  if (at > 0 && last.at < deadlines_[(at - 1) / 2].at) {
    heap_up(at, last);
  } else {
    heap_down(at, last);
  }
}

void FairQueue::heap_up(std::size_t at, Deadline deadline) {
  while (at > 0) {
    auto parent = (at - 1) / 2;
    if (deadlines_[parent].at <= deadline.at) break;
    heap_place(at, deadlines_[parent]);
    at = parent;
  }
  heap_place(at, deadline);
}

void FairQueue::heap_down(std::size_t at, Deadline deadline) {
  for (;;) {
    auto child = at * 2 + 1;
    if (child >= deadlines_.size()) break;
    if (child + 1 < deadlines_.size() && deadlines_[child + 1].at < deadlines_[child].at) ++child;
    if (deadline.at <= deadlines_[child].at) break;
    heap_place(at, deadlines_[child]);
    at = child;
  }
  heap_place(at, deadline);
}

}  // namespace corral::gateway
