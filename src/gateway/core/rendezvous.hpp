// Rendezvous hashing with weights (Thaler and Ravishankar 1998; weights after Schindelhauer and
// Schomaker 2005): each key has its own order of the members. A member that leaves moves only its
// own keys, evenly over the others; a member of weight 2 is first for twice as many keys.
//
// The score of a member is -ln(u) / weight with u in (0, 1] from key and id; the least is first.
// Since -ln(u) >= 1 - u, (1 - u) / weight bounds it from below: a member whose bound is not below
// the best score needs neither a logarithm nor a question. The bounds of all are computed in one
// plain loop that compilers turn into vector instructions; then the members are looked at in
// batches of growing bounds, so that of a thousand of which few are accepted only about the first
// hundred of the key's order are asked.
//
// Thread rule: one caller at a time; `rank` uses room of its own for the bounds.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "gateway/core/mixing.hpp"

namespace corral::gateway {

namespace ranking {

using Bound = std::uint32_t;  // (1 - u) / weight in units of 2^-32

// 1 - u for a key and a member: a wide multiplication of halves, folded (as in wyhash).
struct Salt {
  explicit Salt(std::uint64_t key) : word(mix64(key)) {}
  Bound distance(std::uint64_t hash) const {
    const auto mixed = hash ^ word;
    const auto product = (mixed & 0xffffffffu) * (mixed >> 32);
    return static_cast<Bound>(product ^ (product >> 32));
  }
  std::uint64_t word;
};

// The loops over all members, without branches. The same code is compiled once for every x86-64
// and once for those with AVX2, which do four members at a time instead of two.
class Loops {
 public:
  void bounds(std::span<const std::uint64_t> hashes, std::span<const Bound> one_by_weight,
              Salt salt, std::span<Bound> out) const {
#if defined(__x86_64__)
    if (wide_) return bounds_wide(hashes, one_by_weight, salt, out);
#endif
    bounds_any(hashes, one_by_weight, salt, out);
  }

  // out[i] = 1 where from <= bounds[i] < below
  void mark(std::span<const Bound> bounds, Bound from, Bound below,
            std::span<std::uint8_t> out) const {
#if defined(__x86_64__)
    if (wide_) return mark_wide(bounds, from, below, out);
#endif
    mark_any(bounds, from, below, out);
  }

 private:
  [[gnu::always_inline]] static void bounds_any(std::span<const std::uint64_t> hashes,
                                                std::span<const Bound> one_by_weight, Salt salt,
                                                std::span<Bound> out) {
    const auto* from = hashes.data();
    const auto* factors = one_by_weight.data();
    auto* to = out.data();
    for (std::size_t i = 0, count = out.size(); i < count; ++i) {
      to[i] = static_cast<Bound>((std::uint64_t{salt.distance(from[i])} * factors[i]) >> 32);
    }
  }
  [[gnu::always_inline]] static void mark_any(std::span<const Bound> bounds, Bound from,
                                              Bound below, std::span<std::uint8_t> out) {
    const auto* values = bounds.data();
    auto* to = out.data();
    const Bound width = below - from;
    for (std::size_t i = 0, count = bounds.size(); i < count; ++i) {
      to[i] = values[i] - from < width ? 1 : 0;
    }
  }

#if defined(__x86_64__)
  [[gnu::target("avx2")]] static void bounds_wide(std::span<const std::uint64_t> hashes,
                                                  std::span<const Bound> one_by_weight, Salt salt,
                                                  std::span<Bound> out) {
    bounds_any(hashes, one_by_weight, salt, out);
  }
  [[gnu::target("avx2")]] static void mark_wide(std::span<const Bound> bounds, Bound from,
                                                Bound below, std::span<std::uint8_t> out) {
    mark_any(bounds, from, below, out);
  }
  bool wide_ = __builtin_cpu_supports("avx2") != 0;
#endif
};

}  // namespace ranking

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
    hashes_.push_back(mix64(id));
    one_by_weight_.push_back(kAll / weight);
    members_.push_back({1.0 / weight, index});
    total_weight_ += weight;
    bounds_.resize(members_.size());
    marks_.resize((members_.size() + kChunk - 1) / kChunk * kChunk);
  }

  // `accept(index)` is asked only for members that may be better than the best accepted so far.
  template <class Accept>
  Result rank(std::uint64_t key, Accept&& accept) {
    const Salt salt(key);
    loops_.bounds(hashes_, one_by_weight_, salt, bounds_);
    Result result;
    Bound from = 0;
    double expected = kFirstBatch;
    for (;;) {
      const auto below = batch_end(expected);
      loops_.mark(bounds_, from, below, marks_);
      for_each_marked([&](std::size_t position) { look_at(position, salt, accept, result); });
      // Whoever was not looked at yet has a score of `below` at least.
      if (below == kAll || result.first.score < as_score(below)) return result;
      from = below;
      expected *= kGrowth;
    }
  }

 private:
  using Bound = ranking::Bound;
  using Salt = ranking::Salt;
  static constexpr Bound kAll = std::numeric_limits<Bound>::max();  // above all bounds
  static constexpr double kUnit = 0x1.0p-32;
  static constexpr double kFirstBatch = 64;
  static constexpr double kGrowth = 4;
  static constexpr std::size_t kWord = sizeof(std::uint64_t);
  static constexpr std::size_t kChunk = 64;
  static_assert(std::endian::native == std::endian::little, "for_each_marked counts from there");

  struct Entry {
    double by_weight;
    std::size_t index;
  };
  static double as_score(Bound bound) { return bound * kUnit; }

  // Below this bound there are about `expected` members.
  Bound batch_end(double expected) const {
    const auto part = expected / static_cast<double>(total_weight_);
    if (expected >= static_cast<double>(members_.size()) || part >= 0.5) return kAll;
    return static_cast<Bound>(part / kUnit);
  }

  // Eight marks become eight bits, so that the loop over those found has few ends to mispredict.
  template <class Use>
  void for_each_marked(Use&& use) const {
    for (std::size_t begin = 0; begin < marks_.size(); begin += kChunk) {
      std::uint64_t bits = 0;
      for (std::size_t word = 0; word < kChunk / kWord; ++word) {
        std::uint64_t bytes = 0;
        std::memcpy(&bytes, marks_.data() + begin + word * kWord, kWord);
        bits |= ((bytes * 0x0102040810204080u) >> 56) << (word * kWord);
      }
      for (; bits != 0; bits &= bits - 1) {
        use(begin + static_cast<std::size_t>(std::countr_zero(bits)));
      }
    }
  }

  template <class Accept>
  void look_at(std::size_t position, const Salt& salt, Accept& accept, Result& result) const {
    const auto least = as_score(bounds_[position]);
    if (least >= result.first.score) return;  // never below the score of the home
    const auto& member = members_[position];
    auto score = [&] {
      return -std::log(1.0 - salt.distance(hashes_[position]) * kUnit) * member.by_weight;
    };
    if (least < result.home.score) {
      auto home = score();
      if (home < result.home.score) result.home = {member.index, home};
    }
    if (!accept(member.index)) return;
    auto first = score();
    if (first < result.first.score) result.first = {member.index, first};
  }

  std::vector<std::uint64_t> hashes_;  // these four have an element for each member
  std::vector<Bound> one_by_weight_;
  std::vector<Entry> members_;
  std::vector<Bound> bounds_;        // of the key that is being ranked
  std::vector<std::uint8_t> marks_;  // 1: in the batch that is looked at; filled up to whole chunks
  std::uint64_t total_weight_ = 0;
  ranking::Loops loops_;
};

}  // namespace corral::gateway
