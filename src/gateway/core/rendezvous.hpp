// Rendezvous hashing with weights (Thaler and Ravishankar 1998; weights after Schindelhauer and
// Schomaker 2005): each key has its own order of the members. A member that leaves moves only its
// own keys, evenly over the others; a member of weight 2 is first for twice as many keys.
//
// The score of a member is -ln(u) / weight with u in (0, 1] from key and id; the least is first.
// Since -ln(u) >= 1 - u, (1 - u) / weight bounds it from below: a member whose bound is not below
// the best score needs neither a logarithm nor a question. The bounds of all are computed in one
// plain loop (rendezvous_scan.hpp); then the members are looked at in batches of growing bounds, so
// that of a thousand of which few are accepted only about the first hundred of the key's order are
// asked.
//
// Thread rule: one caller at a time; `rank` uses room of its own for the bounds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "gateway/core/rendezvous_scan.hpp"

namespace corral::gateway {

class Rendezvous {
 public:
  struct Ranked {
    std::size_t index = 0;
    double score = std::numeric_limits<double>::infinity();
    bool found() const { return score < std::numeric_limits<double>::infinity(); }
  };
  struct Result {
    Ranked home;   // first in the key's order, accepted or not
    Ranked first;  // first of the accepted
  };

  // weight > 0
  void add(std::size_t index, std::uint64_t id, std::uint32_t weight) {
    scan_.add(id, weight);
    members_.push_back({1.0 / weight, index});
    total_weight_ += weight;
  }

  // `accept(index)` is asked for the home of the key first, and then only for members that may be
  // better than the best accepted so far; never twice for one.
  template <class Accept>
  Result rank(std::uint64_t key, Accept&& accept) {
    Result result;
    const RendezvousScan::Salt salt(key);
    double expected = kFirstBatch;
    auto end = batch_end(expected);
    auto batch = scan_.below(salt, end);
    auto home = best_of(batch, salt);
    if (home.score >= as_score(end)) {  // it may lie behind the batch
      end = kAll;
      batch = scan_.between(0, end);
      home = best_of(batch, salt);
    }
    if (batch.empty()) return result;
    result.home = {members_[home.position].index, home.score};
    if (accept(result.home.index)) {
      result.first = result.home;
      return result;
    }
    scan_.leave_out(home.position);
    auto best = first_of(batch, {}, salt, accept);
    if (best.score >= as_score(end)) best = first_behind(end, best, salt, accept);
    if (best.score < kNone) result.first = {members_[best.position].index, best.score};
    return result;
  }

 private:
  using Bound = RendezvousScan::Bound;
  using Salt = RendezvousScan::Salt;
  static constexpr Bound kAll = RendezvousScan::kAll;
  static constexpr double kUnit = 0x1.0p-32;
  static constexpr double kNone = std::numeric_limits<double>::infinity();
  static constexpr double kFirstBatch = 16;
  static constexpr double kGrowth = 4;
  static constexpr std::size_t kTips = 16;

  struct Entry {
    double by_weight;
    std::size_t index;
  };
  struct Scored {
    std::uint32_t position = 0;
    double score = kNone;
  };
  static double as_score(Bound bound) { return bound * kUnit; }
  // The least bound that is not below the score.
  static Bound limit_of(double score) {
    const auto limit = std::ceil(score / kUnit);
    return limit < kAll ? static_cast<Bound>(limit) : kAll;
  }

  // Below this bound there are about `expected` members.
  Bound batch_end(double expected) const {
    const auto part = expected / static_cast<double>(total_weight_);
    if (expected >= static_cast<double>(members_.size()) || part >= 0.5) return kAll;
    return std::max(static_cast<Bound>(part / kUnit), Bound{1});
  }

  double score_of(std::size_t position, Salt salt) const {
    return -std::log(1.0 - scan_.distance(position, salt) * kUnit) * members_[position].by_weight;
  }

  // The least score. Whoever has the least bound has it nearly always, so that few logarithms are
  // taken.
  Scored best_of(std::span<const std::uint32_t> batch, Salt salt) const {
    if (batch.empty()) return {};
    std::uint64_t least = ~std::uint64_t{0};
    for (auto position : batch) {
      least = std::min(least, std::uint64_t{scan_.bound(position)} << 32 | position);
    }
    Scored best{.position = static_cast<std::uint32_t>(least)};
    best.score = score_of(best.position, salt);
    const auto likely = best.position;
    auto limit = limit_of(best.score);
    for (auto position : batch) {
      if (scan_.bound(position) >= limit || position == likely) continue;
      const auto score = score_of(position, salt);
      if (score > best.score || (score == best.score && position > best.position)) continue;
      best = {.position = position, .score = score};
      limit = limit_of(score);
    }
    return best;
  }

  // The better of `best` and the best of the batch that is accepted.
  template <class Accept>
  Scored first_of(std::span<const std::uint32_t> batch, Scored best, Salt salt,
                  Accept& accept) const {
    auto limit = limit_of(best.score);  // no member with this bound can be better
    for (auto position : batch) {
      if (scan_.bound(position) >= limit || !accept(members_[position].index)) continue;
      const auto score = score_of(position, salt);
      if (score >= best.score) continue;
      best = {position, score};
      limit = limit_of(score);
    }
    return best;
  }

  // As first_of, for all that come after the first batch. Seldom there are many to ask and few who
  // accept. So those who accepted lately are asked before: then it is known how far to look.
  template <class Accept>
  Scored first_behind(Bound end, Scored best, Salt salt, Accept& accept) {
    if (best.score == kNone) best = best_tip(end, salt, accept);
    double expected = kFirstBatch;
    for (auto limit = limit_of(best.score); end < limit; limit = limit_of(best.score)) {
      const auto begin = end;
      expected *= kGrowth;
      end = limit < kAll ? limit : batch_end(expected);
      best = first_of(scan_.between(begin, end), best, salt, accept);
    }
    if (best.score < kNone) remember(best.position);
    return best;
  }

  // Of those who accepted lately and were not asked yet the first who does so again.
  template <class Accept>
  Scored best_tip(Bound begin, Salt salt, Accept& accept) {
    auto bound_of = [&](std::uint32_t position) {
      const auto bound = scan_.bound(position);
      return bound < begin ? kAll : bound;
    };
    while (!tips_.empty()) {
      auto tip = std::ranges::min_element(tips_, {}, bound_of);
      const auto position = *tip;
      if (bound_of(position) == kAll) break;  // only those are left that were asked
      scan_.leave_out(position);
      if (accept(members_[position].index)) return {position, score_of(position, salt)};
      *tip = tips_.back();
      tips_.pop_back();
    }
    return {};
  }

  void remember(std::uint32_t position) {
    if (std::ranges::find(tips_, position) != tips_.end()) return;
    if (tips_.size() < kTips) {
      tips_.push_back(position);
    } else {
      tips_[next_tip_++ % kTips] = position;
    }
  }

  RendezvousScan scan_;
  std::vector<Entry> members_;  // at the positions of the scan
  std::uint64_t total_weight_ = 0;
  std::vector<std::uint32_t> tips_;  // positions of some that were accepted far from home
  std::size_t next_tip_ = 0;
};

}  // namespace corral::gateway
