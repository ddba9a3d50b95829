// An engine for measurements: a unit of its own in the placement, beside the deployments, so that
// its memory is counted, nothing busy goes for it, and others get their turn. There is at most one.
//
// Thread rule: control shard. Lifecycle: part of the scheduler.
// Example:
//   CORRAL_CO_TRY(auto plan, scheduler.plan_bench({.model = "qwen"}));
//   CORRAL_CO_CHECK(co_await scheduler.start_bench({.model = "qwen"}));
//   CORRAL_CO_TRY(auto endpoint, co_await scheduler.ensure_bench());
//   ... requests to it, under a lease ...
//   co_await scheduler.end_bench();
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/llama_server.hpp"
#include "models/core/engine_choice.hpp"
#include "models/core/plan.hpp"
#include "scheduler/deployed_model.hpp"
#include "scheduler/tuned_start.hpp"

namespace corral::scheduler {

struct BenchWish {
  std::string model;
  std::optional<engines::Purpose> purpose;     // none: what the model is for
  std::optional<models::EngineChoice> choice;  // none: as it would be started now
};

// How the engine would be started.
struct BenchPlan {
  std::string model;  // by its own name
  engines::Purpose purpose = engines::Purpose::chat;
  bool main_purpose = true;  // it is what the model is for
  models::StartPlan plan;
  models::EngineChoice choice;  // that is in the plan
  ConfigSays says;
  std::string file;  // see models::file_mark
  std::uint64_t vocabulary = 0;
  bool can_repack = false;
};

// How it is at this moment.
struct BenchState {
  std::uint64_t resident_bytes = 0;
  std::optional<std::chrono::duration<double>> load_time;  // of its last start
  bool others_busy = false;                                // another engine computes
};

struct BenchUnit {
  UnitId unit = 0;
  std::unique_ptr<DeployedModel> model;
  std::optional<std::chrono::duration<double>> load_time;
};

}  // namespace corral::scheduler
