#include "scheduler/tuned_start.hpp"

#include <fmt/core.h>

#include "base/time_text.hpp"

namespace corral::scheduler {

ConfigSays config_says(const config::Settings& settings, const std::string& model) {
  static const config::LlamaServerSettings kDefault;
  const auto& engine = settings.llama_server;
  ConfigSays says;
  says.threads = engine.threads != 0;
  says.batch = engine.batch != kDefault.batch;
  says.slots = engine.slots != kDefault.slots;
  const auto own = settings.models.settings.find(model);
  if (own == settings.models.settings.end()) return says;
  says.slots = says.slots || own->second.slots != 0;
  says.cache = !own->second.cache_type.empty();
  says.layers = own->second.gpu_layers.has_value() || !own->second.device.empty();
  return says;
}

models::EngineChoice left_open(const ConfigSays& says, models::EngineChoice choice) {
  if (says.threads) choice.threads.reset();
  if (says.batch) choice.batch.reset();
  if (says.slots) choice.slots.reset();
  if (says.cache) choice.cache.reset();
  if (says.layers) choice.gpu_layers.reset();
  return choice;
}

engines::Purpose main_purpose(const models::ModelEntry& entry) {
  const bool embeds = entry.metadata && !entry.metadata->pooling.empty();
  return embeds ? engines::Purpose::embedding : engines::Purpose::chat;
}

void take_over(const models::EngineChoice& choice, models::StartWishes& wishes) {
  if (choice.threads) wishes.threads = *choice.threads;
  if (choice.batch) wishes.batch = *choice.batch;
  if (choice.slots) wishes.slots = *choice.slots;
  if (choice.cache) wishes.cache = *choice.cache;
  if (choice.repack) wishes.repack = *choice.repack;
  if (choice.gpu_layers) wishes.gpu_layers = choice.gpu_layers;
}

void apply(const models::EngineChoice& choice, engines::InstanceSpec& spec) {
  // The rest comes with the plan.
  if (choice.threads) spec.settings.threads = *choice.threads;
  if (choice.batch) spec.settings.batch = *choice.batch;
}

void explain_tuned(const models::EngineChoice& choice, const models::TunedSettings& tuned,
                   models::StartPlan& plan) {
  constexpr std::size_t kDate = 10;
  const std::string why =
      fmt::format("tuned on {}: {}", format_time(tuned.tuned).substr(0, kDate), tuned.note);
  for (auto& each : plan.choices) {
    const bool said = (each.what == "threads" && choice.threads) ||
                      (each.what == "batch" && choice.batch == plan.batch) ||
                      // Less than was tuned, because memory is short, has its own reason.
                      (each.what == "slots" && choice.slots == plan.slots) ||
                      (each.what == "cache" && choice.cache == plan.cache) ||
                      (each.what == "repack" && choice.repack == plan.repack) ||
                      ((each.what == "layers" || each.what == "device") && choice.gpu_layers);
    if (said) each.why = why;
  }
}

}  // namespace corral::scheduler
