#include "models/memory_estimate.hpp"

#include <algorithm>
#include <limits>

namespace corral::models {
namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;

// The figures come from a file, so sums are made in floating point and cut off, not wrapped.
std::uint64_t bytes(double value) {
  constexpr double kMost = 9.0e18;
  return value <= 0 ? 0 : static_cast<std::uint64_t>(std::min(value, kMost));
}

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  return __builtin_add_overflow(a, b, &out) ? std::numeric_limits<std::uint64_t>::max() : out;
}

std::uint64_t padded(std::uint64_t tokens) {
  constexpr std::uint64_t kMost = 1ull << 40;
  return (std::min(tokens, kMost) + 255) / 256 * 256;
}

// Cells of a block that looks back over a window only.
std::uint64_t sliding_cells(const GgufMetadata& model, const MemoryRequest& request) {
  const std::uint64_t streams = request.unified_cache ? 1 : request.slots;
  const std::uint64_t sharing = request.unified_cache ? request.slots : 1;
  const std::uint64_t window = model.sliding_window * sharing + request.batch;
  const std::uint64_t whole =
      request.unified_cache ? cache_cells(request) : padded(request.context);
  return padded(std::min(whole, window)) * streams;
}

double kv_cache(const GgufMetadata& model, const MemoryRequest& request) {
  const double head = model.key_length * cache_bytes(request.keys) +
                      model.value_length * cache_bytes(request.values);
  const auto full = static_cast<double>(cache_cells(request));
  const auto sliding = static_cast<double>(sliding_cells(model, request));
  double total = 0;
  for (std::size_t block = 0; block < model.kv_heads.size(); ++block) {
    const bool slides = block < model.sliding.size() && model.sliding[block];
    total += (slides ? sliding : full) * model.kv_heads[block] * head;
  }
  return total;
}

double compute(const GgufMetadata& model, const MemoryRequest& request) {
  const auto batch = static_cast<double>(request.batch);
  const double experts = std::max<std::uint32_t>(model.experts_used, 1);
  const bool slides = std::ranges::find(model.sliding, true) != model.sliding.end();
  const std::uint64_t streams =
      request.unified_cache ? 1 : std::max<std::uint64_t>(request.slots, 1);
  const std::uint64_t full_cells = cache_cells(request) / streams;
  const std::uint64_t window_cells = slides ? sliding_cells(model, request) / streams : 0;
  const auto full = static_cast<double>(full_cells);
  const auto window = static_cast<double>(window_cells);
  const double activations = 4.0 * (2.0 * static_cast<double>(model.feed_forward_length) * experts +
                                    7.0 * static_cast<double>(model.embedding_length));
  double total = batch * (activations + 2.0 * full + 2.0 * window);
  if (!request.flash_attention) total += model.heads * batch * full * 4.0;
  return total;
}

}  // namespace

double cache_bytes(CacheType type) {
  switch (type) {
    case CacheType::f32: return 4.0;
    case CacheType::f16:
    case CacheType::bf16: return 2.0;
    case CacheType::q8_0: return 1.0625;
    case CacheType::q5_1: return 0.75;
    case CacheType::q5_0: return 0.6875;
    case CacheType::q4_1: return 0.625;
    case CacheType::q4_0:
    case CacheType::iq4_nl: return 0.5625;
  }
  return 4.0;
}

std::uint64_t cache_cells(const MemoryRequest& request) {
  const std::uint64_t slots = std::min<std::uint64_t>(request.slots, 1u << 16);
  return padded(request.context) * slots;
}

std::uint64_t MemoryEstimate::total() const { return sum(weights, private_bytes()); }

std::uint64_t MemoryEstimate::private_bytes() const {
  std::uint64_t out = program;
  for (const std::uint64_t part : {repacked, kv_cache, compute, output, prompt_cache}) {
    out = sum(out, part);
  }
  return out;
}

MemoryEstimate estimate_memory(const GgufMetadata& model, const MemoryRequest& request) {
  MemoryEstimate out;
  out.weights = model.tensor_bytes;
  out.repacked = model.repacked_bytes;
  out.kv_cache = bytes(kv_cache(model, request));
  out.compute = bytes(compute(model, request));
  out.output =
      bytes(4.0 * static_cast<double>(model.vocabulary) * static_cast<double>(request.slots));
  out.program = bytes(21.0 * kMebibyte);
  out.prompt_cache = request.prompt_cache;
  return out;
}

}  // namespace corral::models
