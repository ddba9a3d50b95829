// The part of rendezvous hashing that looks at all members, for each decision: a lower bound for
// the score of each, and the list of those whose bound lies in a range. Eight members at a time,
// without branches, so that a thousand cost a few hundred nanoseconds.
//
// Thread rule: one caller at a time; the bounds and the list are the room of the last key.
// Lifecycle: `add` each member once, then any number of keys: first `below`, then `between` as
// often as needed.
//
//   scan.add(id, weight);                          // its position: 0, 1, ...
//   for (auto position : scan.below(salt, 5000)) ask(position, scan.bound(position));
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "gateway/core/mixing.hpp"

namespace corral::gateway {

class RendezvousScan {
 public:
  using Bound = std::uint32_t;                                      // in units of 2^-32
  static constexpr Bound kAll = std::numeric_limits<Bound>::max();  // above all bounds

  // A key, mixed.
  struct Salt {
    explicit Salt(std::uint64_t key) : word(mix64(key)) {}
    std::uint64_t word;
  };

  enum class Instructions : std::uint8_t { best, any };  // AVX2 where there is; never
  explicit RendezvousScan(Instructions instructions = Instructions::best);

  void add(std::uint64_t id, std::uint32_t weight);  // weight > 0
  std::size_t size() const { return size_; }

  // 1 - u of the member for a key, in units of 2^-32; u is spread evenly over (0, 1].
  Bound distance(std::size_t position, Salt salt) const;

  // Computes the bounds of all for this key: (1 - u) / weight. The positions of those below `end`.
  std::span<const std::uint32_t> below(Salt salt, Bound end);  // end > 0
  // For the same key again: those with begin <= bound < end. The list before is gone.
  std::span<const std::uint32_t> between(Bound begin, Bound end);
  Bound bound(std::size_t position) const { return bounds_[position]; }
  // It is in no later list of this key.
  void leave_out(std::size_t position) { bounds_[position] = kAll; }

 private:
  void grow();
  std::span<const std::uint32_t> listed(std::size_t count) const { return {list_.data(), count}; }

  // Each filled up to whole words of 64 members; what fills them up has the weight 1 and is never
  // listed.
  std::vector<std::uint32_t> low_, high_;  // halves of the hash of the id
  std::vector<std::uint32_t> by_weight_;   // 2^32 / weight
  std::vector<Bound> bounds_;
  std::vector<std::uint32_t> list_;
  std::size_t size_ = 0;
  bool wide_;
};

}  // namespace corral::gateway
