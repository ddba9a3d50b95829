// Passive outlier detection: which endpoints of a group are so much worse than the others that they
// should rest for a while. A pure function over the group's figures; who is told, and for how long,
// is EndpointHealth::eject().
//
// Example:
//   for (std::size_t i : outliers(figures, policy)) members[i].health.eject(now);
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

namespace corral::gateway {

// One endpoint's last while (10 s, say).
struct GroupFigure {
  std::uint32_t requests = 0;
  std::uint32_t failures = 0;           // Outcomes that count against it
  std::chrono::nanoseconds latency{0};  // typical time to first token; 0: not known
  bool out_of_use = false;              // ejected, down or recovering already
};

struct OutlierPolicy {
  std::uint32_t minimum_requests = 20;  // below that, an endpoint's figures say nothing
  // An error rate higher than that of the others together by so many points of percent. 0: off.
  unsigned error_percent_above = 40;
  // A latency of so many times the median of the others, and at least the floor. Generous, since
  // slow machines in a group are often meant: balancing already gives them less. 0: off.
  unsigned latency_times = 10;
  std::chrono::milliseconds latency_floor{1000};
};

// Indexes of those to eject now, the worst first. Never so many that more than half of the group is
// out of use.
std::vector<std::size_t> outliers(std::span<const GroupFigure> group, const OutlierPolicy& policy);

}  // namespace corral::gateway
