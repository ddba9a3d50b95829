// How much memory a model takes on the CPU, before it is started.
//
// The formula was checked against llama-server v0.5.0 on seven shapes of model (dense, grouped
// heads, quantised, experts, sliding windows), where it was within 5 % of the resident size:
//   weights + repacked copy + KV cache + compute buffer + 4 * vocabulary * slots + 21 MiB
// and the prompt cache on top, which grows to its limit as different prompts come by.
//
// Thread rule: a pure function.
// Example:
//   const auto need = estimate_memory(metadata, {.context = 4096, .slots = 4, .batch = 256});
//   if (need.total() > host.memory_available) ...
#pragma once

#include <cstdint>

#include "models/gguf.hpp"

namespace corral::models {

enum class CacheType { f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl };

// Bytes an element of the KV cache takes.
double cache_bytes(CacheType type);

struct MemoryRequest {
  std::uint64_t context = 4096;  // tokens a slot
  std::uint64_t slots = 1;
  std::uint64_t batch = 512;  // tokens of one step (the physical batch, -ub)
  CacheType keys = CacheType::f16;
  CacheType values = CacheType::f16;
  bool flash_attention = true;
  bool unified_cache = false;      // one pool for all slots instead of one each
  std::uint64_t prompt_cache = 0;  // bytes that it may grow to
};

struct MemoryEstimate {
  std::uint64_t weights = 0;  // mapped from the file: shared between instances, reclaimable
  std::uint64_t repacked = 0;
  std::uint64_t kv_cache = 0;
  std::uint64_t compute = 0;
  std::uint64_t output = 0;
  std::uint64_t program = 0;
  std::uint64_t prompt_cache = 0;

  std::uint64_t total() const;          // resident bytes
  std::uint64_t private_bytes() const;  // of them, those that the kernel cannot drop
};

MemoryEstimate estimate_memory(const GgufMetadata& model, const MemoryRequest& request);

// The tokens of KV cache that the engine makes for this request: each slot's share is rounded up to
// 256.
std::uint64_t cache_cells(const MemoryRequest& request);

}  // namespace corral::models
