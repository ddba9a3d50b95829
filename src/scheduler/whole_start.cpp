#include "scheduler/whole_start.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "base/text.hpp"
#include "engines/core/engine_limits.hpp"
#include "engines/rpc_servers.hpp"
#include "scheduler/start_plan.hpp"

namespace corral::scheduler {
namespace {

bool stays_below(const sys::Path& path) {
  return path.is_relative() && std::ranges::find(path, sys::Path("..")) == path.end();
}

// A slip in the configuration is not the caller's to mend.
Result<void> check_rpc(const std::string& model, const std::string& server) {
  auto parsed = engines::parse_rpc_server(server);
  if (parsed) return {};
  Error error = std::move(parsed).error();
  error.code = ErrorCode::unavailable;
  return std::unexpected(std::move(error).field(fmt::format("models.settings.{}.rpc", model)));
}

std::string kept(sys::LimitWay way, sys::LimitWay otherwise) {
  const auto by = way == sys::LimitWay::none ? otherwise : way;
  return fmt::format("kept by {}", sys::to_string(by));
}

}  // namespace

sys::Path models_folder(const config::Settings& settings) {
  if (!settings.models.directory.empty()) return settings.models.directory;
  return sys::Path(settings.data_dir) / "models";
}

Result<models::ModelEntry> with_projector(const config::Settings& settings, sys::Files& files,
                                          const models::ModelEntry& entry) {
  models::ModelEntry out = entry;
  const auto own = settings.models.settings.find(entry.name);
  if (own == settings.models.settings.end() || own->second.projector.empty()) return out;
  const std::string field = fmt::format("models.settings.{}.projector", entry.name);
  const sys::Path named = own->second.projector;
  if (!stays_below(named)) {
    return fail(ErrorCode::unavailable,
                fmt::format("the projector of '{}' must lie below the models folder", entry.name))
        .field(field)
        .hint("put it there, and name it from there");
  }
  auto info = files.stat(models_folder(settings) / named);
  if (!info || info->is_directory) {
    return fail(ErrorCode::unavailable,
                fmt::format("the projector of '{}' is not there: {}", entry.name, named.string()))
        .field(field)
        .hint(fmt::format("correct {}, or leave it out", field));
  }
  out.projector = models::FileIdentity{models_folder(settings) / named, info->size, info->modified,
                                       info->inode, info->device};
  return out;
}

void explain_limits(const config::Settings& settings, sys::LimitWays ways,
                    models::StartPlan& plan) {
  engines::InstanceSpec spec;
  spec.settings = settings.llama_server;
  apply(plan, spec);
  const auto limits = engines::limits_of(spec);
  if (limits.memory > 0) {
    plan.choices.push_back(
        {"limit of memory", format_bytes(limits.memory),
         "what is counted and a margin; " + kept(ways.memory, sys::LimitWay::watch)});
  }
  if (limits.processors > 0) {
    plan.choices.push_back({"limit of processors", fmt::format("{:g}", limits.processors),
                            "as asked; " + kept(ways.processors, sys::LimitWay::threads)});
  }
  if (limits.io_weight > 0) {
    plan.choices.push_back({"weight with the disk", fmt::format("{}", limits.io_weight),
                            "as asked; " + kept(ways.io, sys::LimitWay::priority)});
  }
}

Result<models::StartPlan> plan_whole_start(const config::Settings& settings, sys::Files& files,
                                           const sys::ResourceLimits* limits,
                                           const models::ModelEntry& entry,
                                           engines::Purpose purpose, const models::Machine& machine,
                                           const models::EngineChoice& choice) {
  const auto own = settings.models.settings.find(entry.name);
  if (own != settings.models.settings.end()) {
    for (const auto& server : own->second.rpc) CORRAL_CHECK(check_rpc(entry.name, server));
  }
  CORRAL_TRY(const auto whole, with_projector(settings, files, entry));
  CORRAL_TRY(auto plan, start_plan(settings, whole, purpose, machine, choice));
  explain_limits(settings, limits == nullptr ? sys::LimitWays{} : limits->ways(), plan);
  return plan;
}

std::vector<models::StartPlan> equal_plans(const models::StartPlan& plan,
                                           const config::Settings& settings, sys::Files& files,
                                           const sys::ResourceLimits* limits,
                                           const models::ModelEntry& entry,
                                           engines::Purpose purpose, const models::Machine& machine,
                                           const models::EngineChoice& choice) {
  std::vector<models::StartPlan> out;
  if (plan.shares.size() != 1 || machine.accelerators.size() < 2) return out;
  const auto own = settings.models.settings.find(entry.name);
  if (own != settings.models.settings.end() && !own->second.device.empty()) return out;
  out.reserve(machine.accelerators.size());
  for (const auto& each : machine.accelerators) {
    if (each.name == plan.device) continue;
    models::Machine alone = machine;
    alone.accelerators = {each};
    auto other = plan_whole_start(settings, files, limits, entry, purpose, alone, choice);
    if (!other || other->device != each.name) continue;
    const bool as_good = other->gpu_layers == plan.gpu_layers && other->context == plan.context &&
                         other->slots == plan.slots && other->cache == plan.cache &&
                         other->repack == plan.repack;
    if (as_good) out.push_back(std::move(*other));
  }
  return out;
}

}  // namespace corral::scheduler
