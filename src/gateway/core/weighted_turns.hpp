// Turns in proportion to weights, spread smoothly (a a b a c a a, not a a a a a b c): stride
// scheduling (Waldspurger and Weihl 1995). Each member's next turn lies at a virtual time, and its
// turns lie 1/weight apart; the earliest goes next, in O(log n) whatever the number of members.
//
// Members found unusable are put aside, so that they cost nothing while they stay away, and come
// back at the present virtual time: with at most one turn to catch up, never a burst.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace corral::gateway {

/** The part of its turns that a target has at least, however little is asked of it. */
inline constexpr double kLeastShare = 1.0 / 64;

class WeightedTurns {
 public:
  WeightedTurns() = default;
  explicit WeightedTurns(std::span<const std::uint32_t> weights);  // weight 0 has no turns

  // `usable(index)`; `share(index)`, kLeastShare to 1, stretches the way to the member's next turn.
  std::optional<std::size_t> next(const std::function<bool(std::size_t)>& usable,
                                  const std::function<double(std::size_t)>& share);

 private:
  struct Turn {
    std::uint64_t at;
    std::uint32_t index;
  };
  static bool later(const Turn& a, const Turn& b);
  void put(Turn turn);
  Turn take();
  void bring_back(const std::function<bool(std::size_t)>& usable, std::size_t count);

  std::vector<std::uint64_t> stride_;
  std::vector<Turn> heap_;
  std::vector<Turn> aside_;
  std::size_t aside_cursor_ = 0;
  std::uint64_t now_ = 0;
};

}  // namespace corral::gateway
