#include "models/memory_estimate.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>

namespace corral::models {
namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;
// What the engine's program takes by itself.
constexpr double kProgram = 21.0 * kMebibyte;
// And the driver's library for it on an accelerator (typical of CUDA 12; not measured here).
constexpr double kDeviceProgram = 320.0 * kMebibyte;

// The figures come from a file, so sums are made in floating point and cut off, not wrapped.
std::uint64_t bytes(double value) {
  constexpr double kMost = 9.0e18;
  return value <= 0 ? 0 : static_cast<std::uint64_t>(std::min(value, kMost));
}

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  return __builtin_add_overflow(a, b, &out) ? std::numeric_limits<std::uint64_t>::max() : out;
}

std::uint64_t sum_of(std::initializer_list<std::uint64_t> parts) {
  std::uint64_t out = 0;
  for (const std::uint64_t part : parts) out = sum(out, part);
  return out;
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

bool slides(const GgufMetadata& model, std::size_t block) {
  return block < model.sliding.size() && model.sliding[block];
}

bool any_slides(const GgufMetadata& model) {
  return std::ranges::find(model.sliding, true) != model.sliding.end();
}

// Which blocks are on the host, and what else is.
struct Split {
  std::size_t host_blocks = 0;  // the first ones
  bool output_on_device = false;
  double device_share = 0;  // of the blocks
};

Split split_of(const GgufMetadata& model, const MemoryRequest& request) {
  const std::uint64_t blocks = model.blocks;
  const std::uint64_t layers = std::min(request.gpu_layers, blocks + 1);
  Split out;
  // The engine begins with the output layer and goes on from the last block to the first.
  out.output_on_device = layers > 0;
  out.host_blocks = static_cast<std::size_t>(blocks + 1 - std::max<std::uint64_t>(layers, 1));
  if (blocks > 0) {
    out.device_share = static_cast<double>(blocks - out.host_blocks) / static_cast<double>(blocks);
  }
  return out;
}

double kv_of_block(const GgufMetadata& model, const MemoryRequest& request, std::size_t block,
                   double full, double sliding) {
  const bool short_sighted = slides(model, block);
  std::uint32_t keys = model.key_length, values = model.value_length;
  if (short_sighted && model.sliding_key_length != 0) keys = model.sliding_key_length;
  if (short_sighted && model.sliding_value_length != 0) values = model.sliding_value_length;
  const double head = keys * cache_bytes(request.keys) + values * cache_bytes(request.values);
  return (short_sighted ? sliding : full) * model.kv_heads[block] * head;
}

void add_kv(const GgufMetadata& model, const MemoryRequest& request, const Split& split,
            MemoryEstimate& out) {
  const auto full = static_cast<double>(cache_cells(request));
  const auto sliding = static_cast<double>(sliding_cells(model, request));
  double host = 0, device = 0, windows = 0;
  for (std::size_t block = 0; block < model.kv_heads.size(); ++block) {
    const double part = kv_of_block(model, request, block, full, sliding);
    (block < split.host_blocks ? host : device) += part;
    if (slides(model, block)) windows += part;
  }
  const double state = static_cast<double>(model.state_bytes) * static_cast<double>(request.slots);
  device += state * split.device_share;
  host += state * (1 - split.device_share);
  out.host.kv_cache = bytes(host);
  out.device.kv_cache = bytes(device);
  // Checkpoints are of the parts that forget, and lie in the host's memory.
  out.host.checkpoints = bytes((windows + state) * static_cast<double>(request.checkpoints));
}

struct Cells {
  double full = 0;  // of one stream
  double window = 0;
};

Cells cells_of_stream(const GgufMetadata& model, const MemoryRequest& request) {
  const std::uint64_t streams =
      request.unified_cache ? 1 : std::max<std::uint64_t>(request.slots, 1);
  const std::uint64_t full = cache_cells(request) / streams;
  const std::uint64_t window = any_slides(model) ? sliding_cells(model, request) / streams : 0;
  return {static_cast<double>(full), static_cast<double>(window)};
}

double compute(const GgufMetadata& model, const MemoryRequest& request) {
  const auto batch = static_cast<double>(request.batch);
  const double experts = std::max<std::uint32_t>(model.experts_used, 1);
  const Cells cells = cells_of_stream(model, request);
  const double activations = 4.0 * (2.0 * static_cast<double>(model.feed_forward_length) * experts +
                                    7.0 * static_cast<double>(model.embedding_length));
  double total = batch * (activations + 2.0 * cells.full + 2.0 * cells.window);
  if (!request.flash_attention) total += model.heads * batch * cells.full * 4.0;
  return total;
}

// With every block on an accelerator, the host only hands over the embedded tokens and the masks.
double handover(const GgufMetadata& model, const MemoryRequest& request) {
  const Cells cells = cells_of_stream(model, request);
  return static_cast<double>(request.batch) * (8.0 * static_cast<double>(model.embedding_length) +
                                               2.0 * cells.full + 2.0 * cells.window);
}

void add_weights(const GgufMetadata& model, const MemoryRequest& request, const Split& split,
                 MemoryEstimate& out) {
  const WeightPlaces& places = model.places;
  std::uint64_t device = 0, copies_gone = 0;
  const std::size_t blocks = places.blocks.size();
  for (std::size_t block = split.host_blocks; block < blocks; ++block) {
    device = sum(device, places.blocks[block]);
    if (block < places.repacked.size()) {
      copies_gone = sum(copies_gone, places.repacked[block]);
    }
  }
  std::uint64_t leaves_host = device;
  if (split.output_on_device) {
    device = sum(device, places.output);
    copies_gone = sum(copies_gone, places.output_repacked);
    // A shared embedding goes to the accelerator as a copy; the host looks tokens up in its own.
    if (!places.shared_output) leaves_host = sum(leaves_host, places.output);
  }
  out.device.weights = device;
  out.host.weights = model.tensor_bytes - std::min(model.tensor_bytes, leaves_host);
  if (request.repack) {
    out.host.repacked = model.repacked_bytes - std::min(model.repacked_bytes, copies_gone);
  }
}

constexpr std::array<std::string_view, 9> kCacheNames{"f32",  "f16",  "bf16", "q8_0",  "q5_1",
                                                      "q5_0", "q4_1", "q4_0", "iq4_nl"};

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

std::string_view to_string(CacheType type) {
  const auto index = static_cast<std::size_t>(type);
  return index < kCacheNames.size() ? kCacheNames[index] : "f16";
}

std::optional<CacheType> parse_cache_type(std::string_view name) {
  const auto* found = std::ranges::find(kCacheNames, name);
  if (found == kCacheNames.end()) return std::nullopt;
  return static_cast<CacheType>(found - kCacheNames.begin());
}

bool is_quantized(CacheType type) { return cache_bytes(type) < 2.0; }

std::uint64_t cache_cells(const MemoryRequest& request) {
  const std::uint64_t slots = std::min<std::uint64_t>(request.slots, 1u << 16);
  return padded(request.context) * slots;
}

std::uint64_t all_layers(const GgufMetadata& model) { return model.blocks + 1ull; }

std::uint64_t MemoryParts::total() const { return sum(weights, private_bytes()); }

std::uint64_t MemoryParts::private_bytes() const {
  return sum_of(
      {program, repacked, kv_cache, compute, output, prompt_cache, checkpoints, projector});
}

std::uint64_t MemoryEstimate::total() const { return sum(host.total(), device.total()); }

MemoryEstimate estimate_memory(const GgufMetadata& model, const MemoryRequest& request) {
  const Split split = split_of(model, request);
  const bool offloads = request.gpu_layers > 0;
  MemoryEstimate out;
  add_weights(model, request, split, out);
  add_kv(model, request, split, out);
  const std::uint64_t work = bytes(compute(model, request));
  out.host.compute = split.host_blocks > 0 ? work : bytes(handover(model, request));
  if (!offloads) out.host.compute = work;
  out.host.output =
      bytes(4.0 * static_cast<double>(model.vocabulary) * static_cast<double>(request.slots));
  out.host.program = bytes(kProgram);
  out.host.prompt_cache = request.prompt_cache;
  (offloads ? out.device : out.host).projector = request.projector;
  if (offloads) {
    out.device.compute = work;
    out.device.output = out.host.output;
    out.device.program = bytes(kDeviceProgram);
  }
  return out;
}

}  // namespace corral::models
