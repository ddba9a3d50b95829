#include "models/core/engine_choice.hpp"

#include <fmt/core.h>

#include <vector>

#include "base/text.hpp"

namespace corral::models {

EngineChoice merged(const EngineChoice& base, const EngineChoice& over) {
  EngineChoice out = base;
  if (over.threads) out.threads = over.threads;
  if (over.batch) out.batch = over.batch;
  if (over.slots) out.slots = over.slots;
  if (over.cache) out.cache = over.cache;
  if (over.repack) out.repack = over.repack;
  if (over.gpu_layers) out.gpu_layers = over.gpu_layers;
  return out;
}

std::string describe(const EngineChoice& choice) {
  std::vector<std::string> parts;
  if (choice.threads) parts.push_back(fmt::format("threads {}", *choice.threads));
  if (choice.batch) parts.push_back(fmt::format("batch {}", *choice.batch));
  if (choice.slots) parts.push_back(fmt::format("slots {}", *choice.slots));
  if (choice.cache) parts.push_back(fmt::format("cache {}", to_string(*choice.cache)));
  if (choice.repack) parts.push_back(fmt::format("repack {}", *choice.repack ? "on" : "off"));
  if (choice.gpu_layers) parts.push_back(fmt::format("layers {}", *choice.gpu_layers));
  return parts.empty() ? "as it is" : join(parts, ", ");
}

}  // namespace corral::models
