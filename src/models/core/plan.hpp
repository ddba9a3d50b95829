// Decides how a model is started on this machine: the device, how many layers go there, slots,
// context, threads, and what memory that takes. Every choice says why.
//
// Rules
// - Never more context than the model was trained for, and never more memory than there is.
// - What was asked for is kept as long as it fits. To make it fit, slots are halved down to one,
//   then the context down to 512 tokens a slot, then the engine goes without its rearranged copy of
//   the weights, and last, only where allowed, the cache takes fewer bits. So more memory never
//   gives fewer slots or less context.
// - Of the accelerators the one that holds most layers is taken. Where none holds all of them and
//   several together hold more, the layers are spread (models/core/layer_split.hpp). What does not
//   fit stays on the host.
// - With rpc-servers, all layers go to them; whether they have room is for the placement to see.
// - When nothing fits, the error says what is needed, what there is, and what would fit.
//
// Thread rule: a pure function.
// Example:
//   CORRAL_TRY(auto plan, plan_start(*entry.metadata, machine, {.context = 8192, .slots = 4}));
//   start(plan.device, plan.gpu_layers, plan.context, plan.slots);
//   for (const Choice& choice : plan.choices) say(choice.what, choice.value, choice.why);
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "models/core/layer_split.hpp"
#include "models/gguf.hpp"
#include "models/memory_estimate.hpp"

namespace corral::models {

inline constexpr const char* kHostDevice = "cpu";
inline constexpr std::uint64_t kLeastContext = 512;

struct Machine {
  unsigned cores = 1;        // physical
  std::uint64_t memory = 0;  // bytes of the host's memory that an engine may take
  unsigned numa_nodes = 1;
  std::vector<Accelerator> accelerators;
};

struct StartWishes {
  std::uint64_t context = 4096;  // tokens a slot
  std::uint64_t slots = 4;
  std::uint64_t batch = 256;
  unsigned threads = 0;                     // 0: physical cores
  unsigned most_threads = 0;                // by engines.llama_server.cpu_limit; 0: any
  std::string device;                       // "cpu", "CUDA0"; empty: chosen
  std::optional<std::uint64_t> gpu_layers;  // none: as many as fit
  CacheType cache = CacheType::f16;
  bool smaller_cache = false;     // the cache may take fewer bits, so that it fits
  bool embedding = false;         // a whole input is one step
  bool repack = true;             // rearranged copies of weights, where they fit
  std::uint64_t checkpoints = 0;  // see MemoryRequest
  std::uint64_t projector = 0;    // bytes of its file
  std::string projector_file;     // to speak of
  std::vector<std::string> rpc;   // HOST:PORT of rpc-servers that hold its layers
  std::uint64_t memory = 0;       // what it takes, as somebody knows who measured; 0: estimated
};

struct Choice {
  std::string what;   // "context"
  std::string value;  // "4096 tokens a slot"
  std::string why;    // "asked 8192 a slot would need 9.1 GiB of 7.8 GiB"
};

struct StartPlan {
  std::string device = kHostDevice;  // several: "CUDA1,CUDA0"
  std::uint64_t gpu_layers = 0;
  std::uint64_t context = 0;  // tokens a slot
  std::uint64_t slots = 1;
  std::uint64_t batch = 0;
  unsigned threads = 1;
  CacheType cache = CacheType::f16;
  bool repack = true;
  std::uint64_t checkpoints = 0;
  MemoryEstimate estimate;
  // What to count it with: the estimate, or what was said to be so.
  std::uint64_t host_bytes = 0;
  std::uint64_t device_bytes = 0;   // of all accelerators
  std::vector<DeviceShare> shares;  // what each of them holds; empty on the host and with rpc
  std::vector<std::string> rpc;     // the rpc-servers that `device` names: "RPC0,RPC1"
  std::string projector;            // path; empty: none
  std::vector<Choice> choices;
};

// invalid_argument: a cache type that this model cannot have. not_found: no such device here.
// unavailable: it does not fit.
Result<StartPlan> plan_start(const GgufMetadata& model, const Machine& machine,
                             const StartWishes& wishes);

}  // namespace corral::models
