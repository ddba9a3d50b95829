// Tuned settings at the start of an engine: what the configuration leaves open is taken from them.
// Thread rule: pure functions.
#pragma once

#include <string>

#include "config/settings.hpp"
#include "engines/llama_server.hpp"
#include "models/core/engine_choice.hpp"
#include "models/core/plan.hpp"
#include "models/model_list.hpp"
#include "models/tuned_settings.hpp"

namespace corral::scheduler {

// Settings of a model that the configuration says, so that nobody else decides them. A property
// with a default counts as said when it differs from that.
struct ConfigSays {
  bool threads = false;
  bool batch = false;
  bool slots = false;
  bool cache = false;
  bool layers = false;
};
ConfigSays config_says(const config::Settings& settings, const std::string& model);

// `choice` without what the configuration says.
models::EngineChoice left_open(const ConfigSays& says, models::EngineChoice choice);

// What a model is for when nobody says it: embeddings, if its file names how to pool them.
engines::Purpose main_purpose(const models::ModelEntry& entry);

void take_over(const models::EngineChoice& choice, models::StartWishes& wishes);
void apply(const models::EngineChoice& choice, engines::InstanceSpec& spec);

// Says of the plan's choices which of them were tuned, and when.
void explain_tuned(const models::EngineChoice& choice, const models::TunedSettings& tuned,
                   models::StartPlan& plan);

}  // namespace corral::scheduler
