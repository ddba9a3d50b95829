// Passive outlier detection: looks at what the targets of each group did lately, and lets endpoints
// rest that are far worse than the others.
//
// Thread rule: belongs to the control shard. Lifecycle: look() every ten seconds or so.
#pragma once

#include <map>
#include <memory>

#include "gateway/core/outliers.hpp"
#include "gateway/endpoint_registry.hpp"
#include "gateway/routing.hpp"

namespace corral::gateway {

class OutlierWatch {
 public:
  explicit OutlierWatch(EndpointRegistry& registry) : registry_(registry) {}

  void look(const Routing& routing);

 private:
  struct Seen {
    std::uint64_t successes = 0;
    std::uint64_t failures = 0;
  };
  using States = std::map<std::shared_ptr<const TargetState>, Seen>;

  GroupFigure figure_of(const ActiveTarget& target, States& now) const;

  EndpointRegistry& registry_;
  States before_;
};

}  // namespace corral::gateway
