// What routes answer besides the models of our own, for the catalog.
// Thread rule: pure.
#pragma once

#include <chrono>
#include <vector>

#include "gateway/route_table.hpp"
#include "scheduler/catalog.hpp"

namespace corral::scheduler {

// Every name that can be asked for, but for wildcards and for models that only our own engines
// serve under their own name. `since` is shown as the time of change.
std::vector<ModelStatus> routed_models(const gateway::RouteTable& table,
                                       std::chrono::system_clock::time_point since);

}  // namespace corral::scheduler
