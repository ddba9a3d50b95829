// What one step of the placement works with. For src/scheduler/core only.
#pragma once

#include <array>
#include <vector>

#include "scheduler/core/placement.hpp"

namespace corral::scheduler {

struct Placement::Step {
  Step(Time at, Units& owners, std::size_t accounts, std::size_t count)
      : now(at), units(owners), free(accounts), coming(accounts), taken(count), turn_end(count) {}

  Time now;
  Units& units;
  PlacementActions actions;
  // By account: what is free and not promised to an older one; what is on its way back.
  std::vector<Bytes> free;
  std::vector<Bytes> coming;
  // By account: who could give, most readily first; what they give in all, by kind.
  std::vector<std::vector<Candidate>> candidates;
  std::vector<std::array<Bytes, kClasses>> reclaimable;
  // By unit: it goes for one who waits, and when the turn of that one begins at the latest.
  std::vector<bool> taken;
  std::vector<std::optional<Time>> turn_end;
  bool looked = false;
};

}  // namespace corral::scheduler
