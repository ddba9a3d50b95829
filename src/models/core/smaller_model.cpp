#include "models/core/smaller_model.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace corral::models {
namespace {

// Best first.
constexpr std::array<Quantization, 14> kQuantizations{{{"F32", 32.0, 1.0},
                                                       {"BF16", 16.0, 1.0},
                                                       {"F16", 16.0, 1.0},
                                                       {"Q8_0", 8.5, 0.999},
                                                       {"Q6_K", 6.6, 0.995},
                                                       {"Q5_K_M", 5.7, 0.99},
                                                       {"Q5_K_S", 5.5, 0.985},
                                                       {"Q4_K_M", 4.9, 0.97},
                                                       {"Q4_K_S", 4.6, 0.96},
                                                       {"Q4_0", 4.6, 0.94},
                                                       {"IQ4_XS", 4.3, 0.95},
                                                       {"Q3_K_M", 3.9, 0.90},
                                                       {"IQ3_M", 3.7, 0.88},
                                                       {"Q2_K", 3.2, 0.78}}};

// "7.2 billion", "350 million".
std::string count_text(double parameters) {
  if (parameters >= 1e9) return fmt::format("{:.1f} billion", parameters / 1e9);
  return fmt::format("{:.0f} million", parameters / 1e6);
}

}  // namespace

std::optional<Quantization> best_quantization(double bits) {
  // The first entries are never worth their size where a choice has to be made.
  for (const Quantization& each : kQuantizations) {
    if (each.bits <= bits && each.name != "F32") return each;
  }
  return std::nullopt;
}

std::optional<Quantization> find_quantization(std::string_view name) {
  for (const Quantization& each : kQuantizations) {
    if (iequals(each.name, name)) return each;
  }
  return std::nullopt;
}

std::string what_would_fit(const GgufMetadata& model, const MemoryParts& parts,
                           std::uint64_t there) {
  const std::uint64_t rest = parts.total() - std::min(parts.total(), parts.weights);
  if (there <= rest) {
    return fmt::format(
        "without its weights it already takes {}; {} are too little for any such "
        "model: give engines more memory, or use a smaller model",
        format_bytes(rest), format_bytes(there));
  }
  const auto room = static_cast<double>(there - rest);
  const auto smallest = kQuantizations.back();
  const std::string smaller =
      fmt::format("a model of at most {} parameters at Q4_K_M", count_text(room * 8 / 4.9));
  if (model.parameters == 0 || parts.weights == 0) return "it takes " + smaller;
  // Only a part of the parameters may lie in this memory.
  const double share = std::min(1.0, static_cast<double>(parts.weights) /
                                         std::max(1.0, static_cast<double>(model.tensor_bytes)));
  const double bits = room * 8 / (static_cast<double>(model.parameters) * share);
  const auto fits = best_quantization(bits);
  if (!fits) {
    return fmt::format("not even {} of it would fit; what would is {}", smallest.name, smaller);
  }
  return fmt::format("this model at {} ({:.1f} bits a weight) would fit, or {}", fits->name,
                     fits->bits, smaller);
}

}  // namespace corral::models
