// A plan of a start (scheduler/start_plan.hpp) with what only this machine's files and system know:
// the projector that the settings name, and the limits that the engine gets.
//
// Thread rule: control shard; looks at one file at most.
// Example:
//   CORRAL_TRY(auto plan, plan_whole_start(settings, files, limits, entry, purpose, machine));
#pragma once

#include "base/error.hpp"
#include "config/settings.hpp"
#include "engines/llama_server.hpp"
#include "models/core/engine_choice.hpp"
#include "models/core/plan.hpp"
#include "models/model_list.hpp"
#include "sys/files.hpp"
#include "sys/resource_limits.hpp"

namespace corral::scheduler {

// models.directory, or `models` in the data folder.
sys::Path models_folder(const config::Settings& settings);

// The entry with the projector of its settings, where they name one: a file below the models
// folder. invalid_argument: it is not below. unavailable: it is not there.
Result<models::ModelEntry> with_projector(const config::Settings& settings, sys::Files& files,
                                          const models::ModelEntry& entry);

// Says which limits an engine started by this plan has, and by what each is kept.
void explain_limits(const config::Settings& settings, sys::LimitWays ways, models::StartPlan& plan);

// `limits` may be null. unavailable also for an address of an rpc-server that is none.
Result<models::StartPlan> plan_whole_start(const config::Settings& settings, sys::Files& files,
                                           const sys::ResourceLimits* limits,
                                           const models::ModelEntry& entry,
                                           engines::Purpose purpose, const models::Machine& machine,
                                           const models::EngineChoice& choice = {});

// The same start on each other accelerator that takes as many layers with the same context, slots
// and cache. None where the plan is for the host, for several accelerators or for rpc-servers, or
// where the settings name a device.
std::vector<models::StartPlan> equal_plans(const models::StartPlan& plan,
                                           const config::Settings& settings, sys::Files& files,
                                           const sys::ResourceLimits* limits,
                                           const models::ModelEntry& entry,
                                           engines::Purpose purpose, const models::Machine& machine,
                                           const models::EngineChoice& choice);

}  // namespace corral::scheduler
