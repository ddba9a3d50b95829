// From the configuration and this machine to the plan of a model's start (models/core/plan.hpp),
// and from the plan to what the engine is told.
//
// Thread rule: pure functions.
// Example:
//   auto plan = start_plan(settings, entry, purpose, machine_of(settings, sys::host_facts(), {}));
//   if (plan) apply(*plan, spec);
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/error.hpp"
#include "config/settings.hpp"
#include "engines/llama_server.hpp"
#include "models/core/engine_choice.hpp"
#include "models/core/plan.hpp"
#include "models/model_list.hpp"
#include "sys/host.hpp"

namespace corral::scheduler {

/** What is left of `from`, or nothing. */
inline std::uint64_t less(std::uint64_t from, std::uint64_t taken) {
  return from - std::min(from, taken);
}

// Copies of a sliding or recurrent cache that an engine may keep for each slot. The engine's own
// default of 32 would take more memory than everything else; two are enough to go on with a
// conversation.
inline constexpr unsigned kCheckpoints = 2;

// What engines may use of this machine, as scheduler.* allows.
models::Machine machine_of(const config::Settings& settings, const sys::HostFacts& host,
                           std::vector<models::Accelerator> accelerators);

// The pool whose memory a model takes for such work: the one that it names, else the one that is
// for all such work; empty: the common memory.
std::string pool_of(const config::Settings& settings, const std::string& model,
                    engines::Purpose purpose);

// For one model: what it wishes by its own settings or the defaults, on what is left to its pool.
// What `choice` says goes over that.
Result<models::StartPlan> start_plan(const config::Settings& settings,
                                     const models::ModelEntry& entry, engines::Purpose purpose,
                                     const models::Machine& machine,
                                     const models::EngineChoice& choice = {});

// What a projector of this size takes: its weights, and buffers for the images (an upper figure of
// common ones; what an image needs depends on its size).
std::uint64_t projector_memory(std::uint64_t file_bytes);

void apply(const models::StartPlan& plan, engines::InstanceSpec& spec);

}  // namespace corral::scheduler
