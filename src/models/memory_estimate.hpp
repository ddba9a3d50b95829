// How much memory a model takes, and on which device, before it is started. Nothing but the file's
// header is needed. How the parts come about: docs/models-and-memory.md.
//
// The formula was checked against llama-server v0.5.0 on generated files (dense, grouped heads,
// experts, sliding windows; F16, Q8_0, Q4_0, Q4_K), where it was within 6 % of the resident size.
// tests/test_memory_estimate.py does that again with the real engine. What goes to an accelerator
// follows the engine's source (llama-model.cpp, load_tensors).
//
// Thread rule: a pure function.
// Example:
//   const auto need = estimate_memory(metadata, {.context = 4096, .slots = 4, .batch = 256});
//   if (need.host.total() > host.memory_available) ...
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "models/gguf.hpp"

namespace corral::models {

enum class CacheType { f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl };

// Bytes an element of the KV cache takes.
double cache_bytes(CacheType type);
std::string_view to_string(CacheType type);  // as the engine calls it: "q8_0"
std::optional<CacheType> parse_cache_type(std::string_view name);
// The engine keeps such a cache only for heads whose length is a multiple of 32.
bool is_quantized(CacheType type);

struct MemoryRequest {
  std::uint64_t context = 4096;  // tokens a slot
  std::uint64_t slots = 1;
  std::uint64_t batch = 512;  // tokens of one step (the physical batch, -ub)
  CacheType keys = CacheType::f16;
  CacheType values = CacheType::f16;
  bool flash_attention = true;
  bool unified_cache = false;      // one pool for all slots instead of one each
  bool repack = true;              // the CPU engine may keep rearranged copies of weights
  std::uint64_t prompt_cache = 0;  // bytes that it may grow to
  std::uint64_t checkpoints = 0;   // for each slot: copies of what cannot be rolled back
  std::uint64_t projector = 0;     // bytes of the file that lets it see or hear
  // As the engine counts them: the last N blocks, and with one more than there are blocks the
  // output layer too.
  std::uint64_t gpu_layers = 0;
};

// The parts in one device's memory.
struct MemoryParts {
  std::uint64_t weights = 0;  // on the host mapped from the file: shared, reclaimable
  std::uint64_t repacked = 0;
  std::uint64_t kv_cache = 0;
  std::uint64_t compute = 0;
  std::uint64_t output = 0;
  std::uint64_t program = 0;
  std::uint64_t prompt_cache = 0;
  std::uint64_t checkpoints = 0;
  std::uint64_t projector = 0;

  std::uint64_t total() const;
  std::uint64_t private_bytes() const;  // of them, those that the kernel cannot drop
  bool operator==(const MemoryParts&) const = default;
};

struct MemoryEstimate {
  MemoryParts host;
  MemoryParts device;  // the accelerator; all 0 without one

  std::uint64_t total() const;
  bool operator==(const MemoryEstimate&) const = default;
};

MemoryEstimate estimate_memory(const GgufMetadata& model, const MemoryRequest& request);

// The tokens of KV cache that the engine makes for this request: each slot's share is rounded up to
// 256.
std::uint64_t cache_cells(const MemoryRequest& request);

// Every layer that can go to an accelerator: the blocks and the output layer.
std::uint64_t all_layers(const GgufMetadata& model);

}  // namespace corral::models
