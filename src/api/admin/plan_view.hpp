// How a model would be started, as JSON for people and the command line.
// Thread rule: a pure function.
#pragma once

#include <boost/json/object.hpp>

#include "base/error.hpp"
#include "models/core/plan.hpp"

namespace corral::api::admin {

// An error becomes {"error", "hint"}.
boost::json::object describe_plan(const Result<models::StartPlan>& plan);

}  // namespace corral::api::admin
