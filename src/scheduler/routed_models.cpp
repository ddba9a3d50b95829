#include "scheduler/routed_models.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace corral::scheduler {

std::vector<ModelStatus> routed_models(const gateway::RouteTable& table,
                                       std::chrono::system_clock::time_point since) {
  std::vector<ModelStatus> routed;
  for (const auto& route : table.routes()) {
    std::vector<std::string> endpoints;
    bool only_local = route.implicit;
    for (const auto& group : route.groups) {
      for (const auto& target : group.targets) {
        only_local = only_local && target.local();
        if (std::ranges::find(endpoints, target.endpoint) == endpoints.end()) {
          endpoints.push_back(target.endpoint);
        }
      }
    }
    if (only_local || route.wildcard()) continue;
    ModelStatus status;
    status.name = route.settings.name;
    status.source = ModelSource::endpoint;
    status.state = ModelState::ready;
    status.endpoint = join(endpoints, ", ");
    status.aliases = route.settings.aliases;
    status.modified = since;
    routed.push_back(std::move(status));
  }
  return routed;
}

}  // namespace corral::scheduler
