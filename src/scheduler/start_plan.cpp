#include "scheduler/start_plan.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "engines/core/engine_limits.hpp"

#include "scheduler/tuned_start.hpp"

namespace corral::scheduler {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// What pools set aside of a device: nobody else may use it.
std::uint64_t pooled(const config::SchedulerSettings& settings, const std::string& device) {
  std::uint64_t sum = 0;
  for (const auto& [name, pool] : settings.pools) {
    if (pool.device == device) sum += std::min(pool.memory, less(kUnlimited, sum));
  }
  return sum;
}

// The machine as a model of this pool sees it; an unknown pool is the common one.
models::Machine seen_by(const std::string& pool, const config::SchedulerSettings& settings,
                        const models::Machine& machine) {
  models::Machine out = machine;
  const auto found = settings.pools.find(pool);
  if (found == settings.pools.end()) {
    out.memory = less(machine.memory, pooled(settings, models::kHostDevice));
    for (auto& each : out.accelerators)
      each.memory = less(each.memory, pooled(settings, each.name));
    return out;
  }
  if (found->second.device == models::kHostDevice) {
    out.memory = std::min(machine.memory, found->second.memory);
    out.accelerators.clear();
    return out;
  }
  std::erase_if(out.accelerators,
                [&](const auto& each) { return each.name != found->second.device; });
  for (auto& each : out.accelerators) each.memory = std::min(each.memory, found->second.memory);
  return out;
}

models::StartWishes wishes_of(const config::Settings& settings, const config::ModelSettings& own,
                              engines::Purpose purpose) {
  models::StartWishes out;
  out.context = own.context != 0 ? own.context : settings.llama_server.context;
  out.slots = own.slots != 0 ? own.slots : settings.llama_server.slots;
  out.batch = settings.llama_server.batch;
  out.threads = settings.llama_server.threads;
  if (settings.llama_server.cpu_limit > 0) {
    constexpr unsigned kAny = std::numeric_limits<unsigned>::max();
    out.most_threads = engines::threads_within(kAny, settings.llama_server.cpu_limit);
  }
  out.device = own.device;
  if (own.gpu_layers) out.gpu_layers = *own.gpu_layers;
  out.cache = models::parse_cache_type(own.cache_type).value_or(models::CacheType::f16);
  out.embedding = purpose == engines::Purpose::embedding;
  out.checkpoints = kCheckpoints;
  out.memory = own.memory;
  out.rpc = own.rpc;
  return out;
}

}  // namespace

models::Machine machine_of(const config::Settings& settings, const sys::HostFacts& host,
                           std::vector<models::Accelerator> accelerators) {
  const auto& limits = settings.scheduler;
  models::Machine out;
  out.cores = std::max(host.physical_cores, 1u);
  out.memory = limits.memory;
  if (out.memory == 0) {
    // A system that does not say how much it has sets no limit.
    out.memory = host.memory_total == 0 ? kUnlimited : less(host.memory_total, limits.reserve);
  }
  out.accelerators = std::move(accelerators);
  if (limits.device_memory != 0) {
    for (auto& each : out.accelerators) each.memory = std::min(each.memory, limits.device_memory);
  }
  return out;
}

std::string pool_of(const config::Settings& settings, const std::string& model,
                    engines::Purpose purpose) {
  const auto own = settings.models.settings.find(model);
  if (own != settings.models.settings.end() && !own->second.pool.empty()) return own->second.pool;
  for (const auto& [name, pool] : settings.scheduler.pools) {
    if (std::ranges::find(pool.work, engines::to_string(purpose)) != pool.work.end()) return name;
  }
  return {};
}

Result<models::StartPlan> start_plan(const config::Settings& settings,
                                     const models::ModelEntry& entry, engines::Purpose purpose,
                                     const models::Machine& machine,
                                     const models::EngineChoice& choice) {
  const auto found = settings.models.settings.find(entry.name);
  const config::ModelSettings own =
      found == settings.models.settings.end() ? config::ModelSettings{} : found->second;
  const models::GgufMetadata unknown;
  auto wishes = wishes_of(settings, own, purpose);
  take_over(choice, wishes);
  if (entry.projector && purpose == engines::Purpose::chat) {
    wishes.projector = projector_memory(entry.projector->size);
    wishes.projector_file = entry.projector->path.string();
  }
  const std::string pool = pool_of(settings, entry.name, purpose);
  return models::plan_start(entry.metadata ? *entry.metadata : unknown,
                            seen_by(pool, settings.scheduler, machine), wishes);
}

std::uint64_t projector_memory(std::uint64_t file_bytes) {
  constexpr std::uint64_t kBuffers = 64ull << 20;
  return file_bytes + file_bytes / 2 + kBuffers;
}

void apply(const models::StartPlan& plan, engines::InstanceSpec& spec) {
  constexpr std::uint64_t kMost = std::numeric_limits<unsigned>::max();
  auto narrow = [kMost](std::uint64_t value) {
    return static_cast<unsigned>(std::min(value, kMost));
  };
  spec.context = narrow(plan.context);
  spec.slots = narrow(plan.slots);
  spec.device = plan.device == models::kHostDevice ? std::string() : plan.device;
  spec.device_shares.clear();
  if (plan.shares.size() > 1) {
    std::vector<std::string> layers;
    layers.reserve(plan.shares.size());
    for (const auto& each : plan.shares) layers.push_back(std::to_string(each.layers));
    spec.device_shares = join(layers, ",");
  }
  spec.rpc = plan.rpc;
  spec.projector = plan.projector;
  spec.memory = plan.host_bytes;
  spec.gpu_layers = narrow(plan.gpu_layers);
  spec.cache_type = std::string(models::to_string(plan.cache));
  spec.checkpoints = narrow(plan.checkpoints);
  spec.repack = plan.repack;
}

}  // namespace corral::scheduler
