// Spreads a model's layers over several accelerators of one machine, where none has room for all.
//
// Rules
// - The accelerator with the most memory is filled first, then the next: so the fewest are used.
// - As the engine counts, the output layer and the last blocks come first. The engine gives the
//   layers out in the order in which it is told the devices, so that order is the other way round.
// - What each takes: its blocks with their cache; buffers for computing, twice, since the engine
//   keeps copies to work on two steps at once; the driver's part. The output goes with the last.
//
// Thread rule: pure functions.
// Example:
//   auto shares = split_layers(metadata, request, machine.accelerators, all_layers(metadata), 0);
//   for (const DeviceShare& each : shares) tell(each.device, each.layers, each.bytes);
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/gguf.hpp"
#include "models/memory_estimate.hpp"

namespace corral::models {

// An accelerator, by the engine's name for it.
struct Accelerator {
  std::string name;          // "CUDA0"
  std::string description;   // "NVIDIA H200"; may be empty
  std::uint64_t memory = 0;  // bytes that an engine may take there
};

// What one accelerator holds of a model.
struct DeviceShare {
  std::string device;
  std::uint64_t layers = 0;
  std::uint64_t bytes = 0;   // what to count it with
  std::uint64_t memory = 0;  // that there is
  MemoryParts parts;
  bool operator==(const DeviceShare&) const = default;
};

// At most `layers`, in the order for the engine: the last one holds the output. Fewer than asked
// when all together hold no more; empty when none holds a single one. `said`: bytes that the whole
// model takes, in place of the estimate; 0: estimated.
std::vector<DeviceShare> split_layers(const GgufMetadata& model, const MemoryRequest& request,
                                      std::vector<Accelerator> devices, std::uint64_t layers,
                                      std::uint64_t said);

}  // namespace corral::models
