// What others need to know of the scheduler for deciding what would run here, and what to load
// before it is asked for.
//
// Thread rule: plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "models/core/plan.hpp"
#include "models/model_list.hpp"
#include "scheduler/catalog.hpp"

namespace corral::scheduler {

struct Outlook {
  models::Machine machine;                 // what engines may use of it
  models::StartWishes wishes;              // of a model without settings of its own
  models::Snapshot models;                 // all that are here; may be null
  std::shared_ptr<const Catalog> catalog;  // the names that clients may use
  std::set<std::string> loaded;            // models with an engine, or waiting for one
  std::set<std::string> put_away;          // unloaded by hand, and not asked for since
  bool busy = false;                       // a request runs or waits, or an engine starts or ends
  std::uint64_t served = 0;                // requests by the models' engines; changes with each
};

enum class Warmed { begun, loaded, no_room };

}  // namespace corral::scheduler
