// Rendezvous hashing with weights (Thaler and Ravishankar 1998; weights after Schindelhauer and
// Schomaker 2005): each key has its own order of the members. A member that leaves moves only its
// own keys, evenly over the others; a member of weight 2 is first for twice as many keys.
//
// The score of a member is -ln(u) / weight with u in (0, 1] from key and id; the least is first.
// Since -ln(u) >= 1 - u, most members are passed over without taking a logarithm.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "gateway/core/mixing.hpp"

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

  void add(std::size_t index, std::uint64_t id, std::uint32_t weight) {
    members_.push_back({mix64(id), kUnit / weight, index});
  }

  // `accept(index)` is asked only for members that may be better than the best accepted so far.
  template <class Accept>
  Result rank(std::uint64_t key, Accept&& accept) const {
    const auto salt = mix64(key);
    const auto factor = mix64(salt) | 1;
    Result result;
    double best = std::numeric_limits<double>::infinity();  // result.first.score, kept at hand
    for (const auto& member : members_) {
      // 1 - u, as an integer below 2^53.
      auto distance = static_cast<double>(
          static_cast<std::int64_t>(fold_multiply(member.hash ^ salt, factor) >> 11));
      auto least = distance * member.unit_per_weight;
      if (least >= best) continue;  // never below the score of the home
      auto score = [&] {
        return -std::log(1.0 - distance * kUnit) / kUnit * member.unit_per_weight;
      };
      if (least < result.home.score) {
        auto home = score();
        if (home < result.home.score) result.home = {member.index, home};
      }
      if (!accept(member.index)) continue;
      auto first = score();
      if (first >= best) continue;
      best = first;
      result.first = {member.index, first};
    }
    return result;
  }

 private:
  static constexpr double kUnit = 0x1.0p-53;
  struct Entry {
    std::uint64_t hash;
    double unit_per_weight;
    std::size_t index;
  };
  std::vector<Entry> members_;
};

}  // namespace corral::gateway
