// Settings of an engine that can be tuned without another model or less quality being the price.
// What is not set stays as it would be without the choice.
// Thread rule: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "models/memory_estimate.hpp"

namespace corral::models {

struct EngineChoice {
  std::optional<unsigned> threads;
  std::optional<unsigned> batch;  // tokens a step
  std::optional<unsigned> slots;
  std::optional<CacheType> cache;
  std::optional<bool> repack;
  std::optional<std::uint64_t> gpu_layers;

  bool empty() const { return *this == EngineChoice{}; }
  bool operator==(const EngineChoice&) const = default;
};

// What `over` says, and of the rest what `base` says.
EngineChoice merged(const EngineChoice& base, const EngineChoice& over);

// "threads 4, batch 512"; "as it is" when nothing is set.
std::string describe(const EngineChoice& choice);

}  // namespace corral::models
