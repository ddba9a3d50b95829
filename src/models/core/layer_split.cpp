#include "models/core/layer_split.hpp"

#include <algorithm>
#include <utility>

#include "base/stable_sort.hpp"

namespace corral::models {
namespace {

constexpr std::uint64_t kCopies = 2;  // of the buffers for computing

std::uint64_t less(std::uint64_t from, std::uint64_t taken) { return from - std::min(from, taken); }

// Of the layers, counted from the output back to the first block, those after `from` up to `to`.
MemoryParts parts_between(const GgufMetadata& model, MemoryRequest request, std::uint64_t from,
                          std::uint64_t to) {
  request.gpu_layers = to;
  MemoryParts out = estimate_memory(model, request).device;
  out.compute *= kCopies;
  if (from == 0) return out;
  request.gpu_layers = from;
  const MemoryParts nearer = estimate_memory(model, request).device;
  out.weights = less(out.weights, nearer.weights);
  out.kv_cache = less(out.kv_cache, nearer.kv_cache);
  out.output = 0;
  out.projector = 0;
  return out;
}

class Filling {
 public:
  Filling(const GgufMetadata& model, const MemoryRequest& request, std::uint64_t said)
      : model_(model), request_(request), said_(said), all_(all_layers(model)) {}

  DeviceShare share(const Accelerator& device, std::uint64_t from, std::uint64_t to) const {
    DeviceShare out{device.name, to - from, 0, device.memory, {}};
    out.parts = parts_between(model_, request_, from, to);
    out.bytes = out.parts.total();
    if (said_ != 0) {
      const double part = static_cast<double>(to - from) / static_cast<double>(all_);
      out.bytes = static_cast<std::uint64_t>(static_cast<double>(said_) * part);
    }
    return out;
  }

  // As many as it holds.
  DeviceShare most(const Accelerator& device, std::uint64_t from, std::uint64_t wanted) const {
    std::uint64_t fits = from, too_many = wanted + 1;
    while (too_many - fits > 1) {
      const std::uint64_t middle = fits + (too_many - fits) / 2;
      (share(device, from, middle).bytes <= device.memory ? fits : too_many) = middle;
    }
    return share(device, from, fits);
  }

 private:
  const GgufMetadata& model_;
  const MemoryRequest& request_;
  std::uint64_t said_;
  std::uint64_t all_;
};

}  // namespace

std::vector<DeviceShare> split_layers(const GgufMetadata& model, const MemoryRequest& request,
                                      std::vector<Accelerator> devices, std::uint64_t layers,
                                      std::uint64_t said) {
  sort_stably(devices, std::ranges::greater(), &Accelerator::memory);
  const Filling filling(model, request, said);
  const std::uint64_t wanted = std::min(layers, all_layers(model));
  std::vector<DeviceShare> out;
  std::uint64_t placed = 0;
  for (const Accelerator& device : devices) {
    if (placed == wanted) break;
    DeviceShare share = filling.most(device, placed, wanted);
    if (share.layers == 0) continue;
    placed += share.layers;
    out.push_back(std::move(share));
  }
  std::ranges::reverse(out);
  return out;
}

}  // namespace corral::models
