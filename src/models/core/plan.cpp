#include "models/core/plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <span>

#include "base/text.hpp"
#include "models/core/smaller_model.hpp"

namespace corral::models {
namespace {

// What is given up step by step.
struct Setting {
  std::uint64_t slots = 1;
  std::uint64_t context = kLeastContext;
  bool repack = true;
  CacheType cache = CacheType::f16;
};

std::uint64_t up_to_256(std::uint64_t tokens) { return (tokens + 255) / 256 * 256; }

bool heads_allow(const GgufMetadata& model, CacheType cache) {
  return !is_quantized(cache) || (model.key_length % 32 == 0 && model.value_length % 32 == 0);
}

// From what was asked down to the least, each taking less memory than the one before.
std::vector<Setting> settings_to_try(const GgufMetadata& model, const StartWishes& wishes) {
  std::uint64_t context = std::max<std::uint64_t>(wishes.context, 1);
  if (model.context_length != 0) context = std::min(context, model.context_length);
  Setting now{std::max<std::uint64_t>(wishes.slots, 1), context, wishes.repack, wishes.cache};
  std::vector<Setting> out{now};
  while (now.slots > 1) {
    now.slots /= 2;
    out.push_back(now);
  }
  while (now.context > kLeastContext) {
    now.context = std::max(kLeastContext, up_to_256(now.context / 2));
    out.push_back(now);
  }
  if (model.repacked_bytes > 0 && now.repack) {
    now.repack = false;
    out.push_back(now);
  }
  if (!wishes.smaller_cache) return out;
  for (const CacheType smaller : {CacheType::q8_0, CacheType::q4_0}) {
    if (cache_bytes(smaller) >= cache_bytes(now.cache) || !heads_allow(model, smaller)) continue;
    now.cache = smaller;
    out.push_back(now);
  }
  return out;
}

// Where it would go, and what it takes there.
struct Fit {
  const Accelerator* device = nullptr;  // none: the host
  std::uint64_t layers = 0;
  MemoryEstimate estimate;
  std::uint64_t host_bytes = 0;
  std::uint64_t device_bytes = 0;
  std::vector<DeviceShare> shares;  // over several
  bool fits = false;
};

class Planner {
 public:
  Planner(const GgufMetadata& model, const Machine& machine, const StartWishes& wishes)
      : model_(model), machine_(machine), wishes_(wishes) {}

  Result<StartPlan> plan() {
    CORRAL_CHECK(check());
    const std::vector<Setting> settings = settings_to_try(model_, wishes_);
    for (std::size_t tried = 0; tried < settings.size(); ++tried) {
      const Fit fit = best_place(settings[tried]);
      if (!fit.fits) continue;
      return describe(settings, tried, fit);
    }
    return does_not_fit(settings.back());
  }

 private:
  Result<void> check() {
    if (!heads_allow(model_, wishes_.cache)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("the cache cannot be {}: this model has heads of {} and {} elements",
                              to_string(wishes_.cache), model_.key_length, model_.value_length))
          .field("cache_type")
          .hint("only f16, bf16 and f32 work where heads are not multiples of 32");
    }
    if (!wishes_.rpc.empty() && !wishes_.device.empty()) {
      return fail(ErrorCode::invalid_argument,
                  "a model lies either on a device of this machine or with rpc-servers")
          .field("device")
          .hint("take one of device and rpc out of models.settings");
    }
    if (wishes_.device.empty() || wishes_.device == kHostDevice) return {};
    const auto named = std::ranges::find(machine_.accelerators, wishes_.device, &Accelerator::name);
    if (named != machine_.accelerators.end()) return {};
    std::string there = kHostDevice;
    for (const Accelerator& each : machine_.accelerators) there += ", " + each.name;
    return fail(ErrorCode::not_found, fmt::format("there is no device '{}' here", wishes_.device))
        .field("device")
        .hint("there is: " + there);
  }

  MemoryRequest request(const Setting& setting, std::uint64_t layers) const {
    MemoryRequest out;
    out.context = setting.context;
    out.slots = setting.slots;
    out.batch = step(setting);
    out.keys = out.values = setting.cache;
    out.repack = setting.repack;
    out.checkpoints = wishes_.checkpoints;
    out.projector = wishes_.projector;
    out.gpu_layers = layers;
    return out;
  }

  // An embedding is computed in one step.
  std::uint64_t step(const Setting& setting) const {
    const std::uint64_t batch = std::max<std::uint64_t>(wishes_.batch, 1);
    return wishes_.embedding ? std::max(batch, setting.context) : batch;
  }

  Fit at(const Setting& setting, const Accelerator* device, std::uint64_t layers) const {
    Fit out;
    out.device = layers > 0 ? device : nullptr;
    out.layers = out.device != nullptr ? layers : 0;
    out.estimate = estimate_memory(model_, request(setting, out.layers));
    out.host_bytes = out.estimate.host.total();
    out.device_bytes = out.estimate.device.total();
    if (wishes_.memory != 0) {
      // What was said is of the device where it runs; the host keeps the little it needs anyway.
      (out.device != nullptr ? out.device_bytes : out.host_bytes) = wishes_.memory;
    }
    const std::uint64_t there = out.device != nullptr ? out.device->memory : 0;
    out.fits = out.host_bytes <= machine_.memory && out.device_bytes <= there;
    return out;
  }

  // As many layers as the device holds; the host must take the rest.
  Fit most_layers(const Setting& setting, const Accelerator& device) const {
    if (wishes_.gpu_layers) {
      return at(setting, &device, std::min(*wishes_.gpu_layers, all_layers(model_)));
    }
    std::uint64_t fits = 0, too_many = all_layers(model_) + 1;
    while (too_many - fits > 1) {
      const std::uint64_t middle = fits + (too_many - fits) / 2;
      const Fit tried = at(setting, &device, middle);
      (tried.device_bytes <= device.memory ? fits : too_many) = middle;
    }
    return at(setting, &device, fits);
  }

  // With rpc-servers: their memory is not this machine's.
  Fit remote(const Setting& setting) const {
    Fit out;
    const std::uint64_t all = all_layers(model_);
    out.layers = std::min(wishes_.gpu_layers.value_or(all), all);
    MemoryRequest asked = request(setting, out.layers);
    asked.projector = 0;
    out.estimate = estimate_memory(model_, asked);
    out.estimate.host.projector = wishes_.projector;  // which is read here
    out.estimate.device.program = 0;                  // the rpc-servers have that already
    out.host_bytes = wishes_.memory != 0 ? wishes_.memory : out.estimate.host.total();
    out.device_bytes = out.estimate.device.total();
    out.fits = out.host_bytes <= machine_.memory;
    return out;
  }

  // Over several accelerators.
  Fit spread(const Setting& setting) const {
    const std::uint64_t all = all_layers(model_);
    const std::uint64_t wanted = std::min(wishes_.gpu_layers.value_or(all), all);
    Fit out;
    out.shares =
        split_layers(model_, request(setting, 0), machine_.accelerators, wanted, wishes_.memory);
    if (out.shares.size() < 2) return out;
    for (const DeviceShare& each : out.shares) {
      out.layers += each.layers;
      out.device_bytes += each.bytes;
    }
    const DeviceShare& last = out.shares.back();
    out.device = &*std::ranges::find(machine_.accelerators, last.device, &Accelerator::name);
    out.estimate = estimate_memory(model_, request(setting, out.layers));
    out.estimate.device = {};
    for (const DeviceShare& each : out.shares) add(out.estimate.device, each.parts);
    out.host_bytes = out.estimate.host.total();
    const bool enough = !wishes_.gpu_layers || out.layers == wanted;
    out.fits = enough && out.host_bytes <= machine_.memory;
    return out;
  }

  static void add(MemoryParts& to, const MemoryParts& part) {
    to.weights += part.weights;
    to.kv_cache += part.kv_cache;
    to.compute += part.compute;
    to.output += part.output;
    to.program += part.program;
    to.projector += part.projector;
  }

  bool host_only() const {
    return wishes_.device == kHostDevice || machine_.accelerators.empty() ||
           (wishes_.gpu_layers && *wishes_.gpu_layers == 0);
  }

  Fit best_place(const Setting& setting) const {
    if (!wishes_.rpc.empty()) return remote(setting);
    Fit best = at(setting, nullptr, 0);
    // Asked for by name or number, an accelerator is not left out because it is short of memory.
    const bool demanded = !wishes_.device.empty() || wishes_.gpu_layers;
    if (host_only()) return best;
    if (demanded) best.fits = false;
    for (const Accelerator& each : machine_.accelerators) {
      if (!wishes_.device.empty() && each.name != wishes_.device) continue;
      const Fit fit = most_layers(setting, each);
      if (!fit.fits || (demanded && fit.device == nullptr)) continue;
      const bool better = !best.fits || fit.layers > best.layers ||
                          (fit.layers == best.layers && best.device != nullptr &&
                           each.memory > best.device->memory);
      if (better) best = fit;
    }
    const bool whole = best.fits && best.layers == all_layers(model_);
    const bool asked = best.fits && wishes_.gpu_layers;
    if (whole || asked || !wishes_.device.empty()) return best;
    Fit over_several = spread(setting);
    return over_several.fits && (!best.fits || over_several.layers > best.layers) ? over_several
                                                                                  : best;
  }

  StartPlan describe(const std::vector<Setting>& settings, std::size_t taken, const Fit& fit) {
    const Setting& setting = settings[taken];
    StartPlan out;
    name_devices(out, fit);
    out.gpu_layers = fit.layers;
    out.context = setting.context;
    out.slots = setting.slots;
    out.batch = step(setting);
    out.threads = wishes_.threads != 0 ? wishes_.threads : std::max(machine_.cores, 1u);
    if (wishes_.most_threads != 0) out.threads = std::min(out.threads, wishes_.most_threads);
    out.cache = setting.cache;
    out.repack = setting.repack;
    out.checkpoints = wishes_.checkpoints;
    out.estimate = fit.estimate;
    out.host_bytes = fit.host_bytes;
    out.device_bytes = fit.device_bytes;
    if (!out.rpc.empty()) {
      explain_rpc(out);
    } else if (out.shares.size() > 1) {
      explain_spread(out, setting);
    } else {
      explain_place(out, fit, setting);
    }
    explain_size(out, settings, taken);
    explain_speed(out);
    if (wishes_.projector != 0) {
      out.projector = wishes_.projector_file;
      const auto slash = out.projector.rfind('/');
      out.choices.push_back({"projector", out.projector.substr(slash + 1),
                             "lets it see or hear; counted with its file and buffers for it"});
    }
    explain_memory(out, fit);
    return out;
  }

  void name_devices(StartPlan& out, const Fit& fit) const {
    std::vector<std::string> names;
    names.reserve(std::max(wishes_.rpc.size(), fit.shares.size()));
    out.rpc = wishes_.rpc;
    for (std::size_t i = 0; i < out.rpc.size(); ++i) names.push_back(fmt::format("RPC{}", i));
    out.shares = fit.shares;
    if (out.rpc.empty() && out.shares.empty() && fit.device != nullptr) {
      out.shares.push_back({fit.device->name, fit.layers, fit.device_bytes, fit.device->memory,
                            fit.estimate.device});
    }
    for (const DeviceShare& each : out.shares) names.push_back(each.device);
    out.device = names.empty() ? kHostDevice : join(names, ",");
  }

  static std::string listed(const std::vector<DeviceShare>& shares) {
    std::vector<std::string> names;
    names.reserve(shares.size());
    for (const DeviceShare& each : shares) names.push_back(each.device);
    return join(names, ", ");
  }

  void explain_rpc(StartPlan& out) const {
    out.choices.push_back({"device", join(out.rpc, ", "), "rpc-servers, as asked"});
    const char* why = wishes_.gpu_layers ? "as asked" : "split by the memory that each has free";
    out.choices.push_back(
        {"layers", fmt::format("{} of {}", out.gpu_layers, all_layers(model_)), why});
  }

  void explain_spread(StartPlan& out, const Setting& setting) const {
    const Accelerator* largest = nullptr;
    for (const Accelerator& each : machine_.accelerators) {
      if (largest == nullptr || each.memory > largest->memory) largest = &each;
    }
    const std::uint64_t all = all_layers(model_);
    StartWishes alone = wishes_;
    alone.gpu_layers.reset();
    const Fit most = Planner(model_, machine_, alone).most_layers(setting, *largest);
    out.choices.push_back({"device", listed(out.shares),
                           fmt::format("none alone has room: {} would hold {} of {} layers",
                                       largest->name, most.layers, all)});
    std::vector<std::string> parts;
    parts.reserve(out.shares.size());
    for (const DeviceShare& each : out.shares) {
      parts.push_back(fmt::format("{} on {}", each.layers, each.device));
    }
    std::string why = join(parts, ", ");
    if (wishes_.gpu_layers) {
      why += "; as asked";
    } else if (out.gpu_layers < all) {
      why += "; together they hold no more";
    }
    out.choices.push_back({"layers", fmt::format("{} of {}", out.gpu_layers, all), why});
  }

  void explain_place(StartPlan& out, const Fit& fit, const Setting& setting) const {
    std::string why = "as asked";
    if (wishes_.device.empty() && fit.device != nullptr) {
      why = machine_.accelerators.size() > 1 ? "of the accelerators it holds most layers"
                                             : "it is the accelerator of this machine";
    } else if (wishes_.device.empty() && machine_.accelerators.empty()) {
      why = "no accelerator that the engine can use was found";
    } else if (wishes_.device.empty() && wishes_.gpu_layers) {
      why = "no layers were asked for on an accelerator";
    } else if (wishes_.device.empty()) {
      why = "no accelerator has room for a single layer";
    }
    std::string value = out.device;
    if (fit.device != nullptr && !fit.device->description.empty()) {
      value += " (" + fit.device->description + ")";
    }
    out.choices.push_back({"device", value, why});
    if (fit.device == nullptr) return;
    const std::uint64_t all = all_layers(model_);
    why = "as asked";
    if (!wishes_.gpu_layers && out.gpu_layers == all) why = "all of them fit";
    if (!wishes_.gpu_layers && out.gpu_layers < all) {
      const Fit more = at(setting, fit.device, out.gpu_layers + 1);
      why = fmt::format("{} would need {} of {} there", out.gpu_layers + 1,
                        format_bytes(more.device_bytes), format_bytes(fit.device->memory));
    }
    out.choices.push_back({"layers", fmt::format("{} of {}", out.gpu_layers, all), why});
  }

  // "asked 8192 would need 9.1 GiB of 7.8 GiB": what the step before the one taken needs.
  std::string why_less(const Setting& before, std::string_view what) const {
    const Fit tried = closest(before);
    const bool host = tried.host_bytes > machine_.memory || tried.device == nullptr;
    return fmt::format("{} would need {} of {}{}", what,
                       format_bytes(host ? tried.host_bytes : tried.device_bytes),
                       format_bytes(host ? machine_.memory : tried.device->memory),
                       host ? "" : " on " + tried.device->name);
  }

  // What comes nearest to fitting, to speak of.
  Fit closest(const Setting& setting) const {
    if (!wishes_.rpc.empty()) return remote(setting);
    if (host_only()) return at(setting, nullptr, 0);
    const Accelerator* named = nullptr;
    for (const Accelerator& each : machine_.accelerators) {
      const bool wanted = wishes_.device.empty() || each.name == wishes_.device;
      if (wanted && (named == nullptr || each.memory > named->memory)) named = &each;
    }
    return most_layers(setting, *named);
  }

  void explain_size(StartPlan& out, const std::vector<Setting>& settings, std::size_t taken) const {
    const Setting& first = settings.front();
    const Setting& before = settings[taken == 0 ? 0 : taken - 1];
    std::string why = "as asked";
    if (out.slots < wishes_.slots) {
      // The last step that had more slots.
      std::size_t more = taken;
      while (settings[more].slots == out.slots) --more;
      why = fmt::format("asked {}; {}", wishes_.slots,
                        why_less(settings[more], fmt::format("{}", settings[more].slots)));
    }
    out.choices.push_back({"slots", fmt::format("{}", out.slots), why});
    why = "as asked";
    if (first.context < wishes_.context) {
      why = fmt::format("asked {}; the model was trained for no more than {}", wishes_.context,
                        model_.context_length);
    }
    if (out.context < first.context) {
      Setting asked = settings[taken];
      asked.context = first.context;
      asked.repack = wishes_.repack;
      asked.cache = first.cache;
      why = why_less(asked, fmt::format("asked {} a slot", wishes_.context));
    }
    out.choices.push_back({"context", fmt::format("{} tokens a slot", out.context), why});
    why = out.cache == wishes_.cache ? "as asked"
                                     : why_less(before, fmt::format("{}", to_string(before.cache)));
    if (out.cache == CacheType::f16 && wishes_.cache == out.cache) why = "keeps full quality";
    out.choices.push_back({"cache", std::string(to_string(out.cache)), why});
    if (model_.repacked_bytes == 0) return;
    Setting packed = settings[taken];
    packed.repack = true;
    const std::uint64_t copy = out.estimate.host.repacked;
    why = out.repack ? fmt::format("faster on the CPU, and its {} fit", format_bytes(copy))
                     : why_less(packed, "a rearranged copy of the weights");
    if (!wishes_.repack) why = "as asked";
    out.choices.push_back({"repack", out.repack ? "on" : "off", why});
  }

  void explain_speed(StartPlan& out) const {
    std::string why = wishes_.threads != 0
                          ? "as asked"
                          : fmt::format("one for each of the {} physical cores", out.threads);
    const unsigned asked = wishes_.threads != 0 ? wishes_.threads : std::max(machine_.cores, 1u);
    if (out.threads < asked) {
      why = "engines.llama_server.cpu_limit allows it no more";
    } else if (wishes_.threads == 0 && machine_.numa_nodes > 1) {
      why += fmt::format(", of {} NUMA nodes", machine_.numa_nodes);
    }
    out.choices.push_back({"threads", fmt::format("{}", out.threads), why});
    why = out.batch > wishes_.batch ? "an embedding is computed in one step"
                                    : "as asked; bounds how late a cancel is noticed";
    out.choices.push_back({"batch", fmt::format("{} tokens a step", out.batch), why});
  }

  void explain_memory(StartPlan& out, const Fit& fit) const {
    const std::string how = wishes_.memory != 0 ? "as said in the settings" : "estimated";
    for (const DeviceShare& each : out.shares) {
      out.choices.push_back({"memory of " + each.device, format_bytes(each.bytes),
                             fmt::format("{}; there are {}", how, format_bytes(each.memory))});
    }
    if (!out.rpc.empty()) {
      out.choices.push_back({"memory elsewhere", format_bytes(out.device_bytes),
                             "estimated; counted with the rpc-servers"});
    }
    out.choices.push_back(
        {"memory of the host", format_bytes(out.host_bytes),
         fmt::format("{}; there are {}", fit.device != nullptr ? "estimated" : how,
                     format_bytes(machine_.memory))});
  }

  Error does_not_fit(const Setting& least) const {
    const Fit fit = closest(least);
    std::string need = fmt::format("{} of the host's memory, of {} that engines may use",
                                   format_bytes(fit.host_bytes), format_bytes(machine_.memory));
    if (fit.device != nullptr) {
      need = fmt::format("{} on {}, of {} there, and {}", format_bytes(fit.device_bytes),
                         fit.device->name, format_bytes(fit.device->memory), need);
    }
    std::string message =
        fmt::format("the model does not fit this machine: with {} slot{} of {} tokens it needs {}",
                    least.slots, least.slots == 1 ? "" : "s", least.context, need);
    const bool host = fit.device == nullptr || fit.host_bytes > machine_.memory;
    const MemoryParts& parts = host ? fit.estimate.host : fit.estimate.device;
    const std::uint64_t there = host ? machine_.memory : fit.device->memory;
    return fail(ErrorCode::unavailable, std::move(message))
        .field("model")
        .hint(what_would_fit(model_, parts, there));
  }

  const GgufMetadata& model_;
  const Machine& machine_;
  const StartWishes& wishes_;
};

}  // namespace

Result<StartPlan> plan_start(const GgufMetadata& model, const Machine& machine,
                             const StartWishes& wishes) {
  return Planner(model, machine, wishes).plan();
}

}  // namespace corral::models
