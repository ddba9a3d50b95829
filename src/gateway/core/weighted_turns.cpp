#include "gateway/core/weighted_turns.hpp"

#include <algorithm>

namespace corral::gateway {
namespace {

constexpr std::uint64_t kStrideOfOne = 1ull << 40;
constexpr std::size_t kLookedAtAside = 4;  // of those put aside, in each decision

}  // namespace

WeightedTurns::WeightedTurns(std::span<const std::uint32_t> weights) {
  std::uint64_t phase = 1ull << 39;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    auto weight = weights[i];
    stride_.push_back(weight == 0 ? 0 : kStrideOfOne / weight);
    if (weight == 0) continue;
    // First turns follow the golden ratio, so that members of one weight do not go side by side.
    put({.at = (phase & (kStrideOfOne - 1)) / weight, .index = static_cast<std::uint32_t>(i)});
    phase += 679'534'617'190ull;  // 2^40 / 1.618...
  }
}

// Virtual time wraps; all turns lie far less than half its range apart.
bool WeightedTurns::later(const Turn& a, const Turn& b) {
  if (a.at == b.at) return a.index > b.index;
  return static_cast<std::int64_t>(a.at - b.at) > 0;
}

void WeightedTurns::put(Turn turn) {
  heap_.push_back(turn);
  std::push_heap(heap_.begin(), heap_.end(), later);
}

WeightedTurns::Turn WeightedTurns::take() {
  std::pop_heap(heap_.begin(), heap_.end(), later);
  auto turn = heap_.back();
  heap_.pop_back();
  return turn;
}

void WeightedTurns::bring_back(const std::function<bool(std::size_t)>& usable, std::size_t count) {
  for (; count > 0 && !aside_.empty(); --count) {
    if (aside_cursor_ >= aside_.size()) aside_cursor_ = 0;
    auto& turn = aside_[aside_cursor_];
    if (!usable(turn.index)) {
      ++aside_cursor_;
      continue;
    }
    if (static_cast<std::int64_t>(turn.at - now_) < 0) turn.at = now_;
    put(turn);
    turn = aside_.back();
    aside_.pop_back();
  }
}

std::optional<std::size_t> WeightedTurns::next(const std::function<bool(std::size_t)>& usable,
                                               const std::function<double(std::size_t)>& share) {
  bring_back(usable, kLookedAtAside);
  for (bool all_tried = false;;) {
    if (heap_.empty()) {
      if (all_tried || aside_.empty()) return std::nullopt;
      all_tried = true;
      bring_back(usable, aside_.size());
      continue;
    }
    auto turn = take();
    if (!usable(turn.index)) {
      aside_.push_back(turn);
      continue;
    }
    now_ = turn.at;
    auto part = std::clamp(share(turn.index), kLeastShare, 1.0);
    auto stride = stride_[turn.index];
    turn.at += part < 1 ? static_cast<std::uint64_t>(static_cast<double>(stride) / part) : stride;
    put(turn);
    return turn.index;
  }
}

}  // namespace corral::gateway
