// Which quantization, or how many parameters, would fit where a model does not.
//
// Thread rule: pure functions.
// Example:
//   fail(...).hint(what_would_fit(model, estimate.host, 8ull << 30));
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "models/gguf.hpp"
#include "models/memory_estimate.hpp"

namespace corral::models {

// A common quantization: bits a weight takes, and how much of the quality of 16 bits is left
// (from the perplexities that llama.cpp publishes in tools/quantize/README.md, as a share).
struct Quantization {
  std::string_view name;
  double bits = 16;
  double quality = 1;
};

// The best whose weights take no more than `bits` each; none: not even the smallest.
std::optional<Quantization> best_quantization(double bits);

// By its name in the file ("Q4_K_M"); none when unknown.
std::optional<Quantization> find_quantization(std::string_view name);

// For an error's hint: `parts` is what the model takes at least in a memory that has `there`.
std::string what_would_fit(const GgufMetadata& model, const MemoryParts& parts,
                           std::uint64_t there);

}  // namespace corral::models
