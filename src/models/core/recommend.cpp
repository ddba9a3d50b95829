#include "models/core/recommend.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/text.hpp"
#include "models/core/smaller_model.hpp"

namespace corral::models {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
// Bytes a second that weights are read with, which bounds tokens a second: ordinary machines.
constexpr double kHostBandwidth = 40e9;
constexpr double kAcceleratorBandwidth = 500e9;
// As fast as most people read; faster is worth little more.
constexpr double kPleasantRate = 12;

double bits_of_candidate(const Candidate& candidate) {
  const auto known = find_quantization(candidate.quantization);
  return known ? known->bits : 4.9;
}

double quality_of(const Candidate& candidate) {
  const auto known = find_quantization(candidate.quantization);
  return known ? known->quality : 0.95;
}

double parameters_of(const Candidate& candidate) {
  if (candidate.parameters != 0) return static_cast<double>(candidate.parameters);
  return static_cast<double>(candidate.bytes) * 8 / bits_of_candidate(candidate);
}

// A model of the usual shape, where nothing but its size is known: today's models of 1 to 70
// billion parameters keep about 128 KiB a token at 8 billion, and half a block is attention.
GgufMetadata guessed(const Candidate& candidate) {
  const double billions = parameters_of(candidate) / 1e9;
  GgufMetadata out;
  out.parameters = static_cast<std::uint64_t>(parameters_of(candidate));
  out.tensor_bytes = out.file_bytes = candidate.bytes;
  const bool copied = candidate.quantization.starts_with("Q4_0") ||
                      candidate.quantization.starts_with("Q4_K") ||
                      candidate.quantization.starts_with("IQ4_NL");
  if (copied) out.repacked_bytes = candidate.bytes / 10 * 8;
  out.blocks = static_cast<std::uint32_t>(
      std::clamp(std::lround(20 * std::pow(std::max(billions, 0.05), 0.25)), 12l, 128l));
  out.key_length = out.value_length = 128;
  const double token = 131'072 * std::pow(std::max(billions, 0.05) / 8, 0.6);
  const auto heads =
      static_cast<std::uint32_t>(std::max(1l, std::lround(token / (out.blocks * 2.0 * 128 * 2))));
  out.kv_heads.assign(out.blocks, heads);
  out.embedding_length = static_cast<std::uint64_t>(1450 * std::sqrt(std::max(billions, 0.05)));
  out.feed_forward_length = out.embedding_length * 7 / 2;
  out.vocabulary = 128'000;
  const std::uint64_t ends = candidate.bytes / 10;  // embedding and output layer
  out.places.blocks.assign(out.blocks, (candidate.bytes - ends) / out.blocks);
  out.places.repacked.assign(out.blocks, out.repacked_bytes / out.blocks);
  out.places.output = ends / 2;
  return out;
}

// Tokens a second of one answer: all weights that a token uses are read once.
double rate_of(const GgufMetadata& model, const StartPlan& plan) {
  double used = 1;
  if (model.experts > 0 && model.experts_used > 0) {
    // A tenth or so of such models is not experts.
    used = 0.1 + 0.9 * model.experts_used / model.experts;
  }
  const double host = static_cast<double>(plan.estimate.host.weights) * used / kHostBandwidth;
  const double device =
      static_cast<double>(plan.estimate.device.weights) * used / kAcceleratorBandwidth;
  return 1 / std::max(host + device, 1e-6);
}

std::string parameters_text(double parameters) {
  if (parameters >= 1e9) return fmt::format("{:.1f} billion parameters", parameters / 1e9);
  return fmt::format("{:.0f} million parameters", parameters / 1e6);
}

std::string where_text(const StartPlan& plan, const GgufMetadata& model) {
  if (plan.gpu_layers == 0) return "runs on the CPU";
  if (plan.gpu_layers == all_layers(model)) return "runs wholly on " + plan.device;
  return fmt::format("{} of {} layers run on {}", plan.gpu_layers, all_layers(model), plan.device);
}

}  // namespace

Result<Recommendation> judge_fit(const Candidate& candidate, const Machine& machine,
                                 const StartWishes& wishes) {
  const GgufMetadata model = candidate.metadata ? *candidate.metadata : guessed(candidate);
  const auto plan = plan_start(model, machine, wishes);
  if (!plan) return std::unexpected(plan.error());
  const double rate = rate_of(model, *plan);
  const double parameters = parameters_of(candidate);
  Recommendation out;
  out.name = candidate.name;
  out.device = plan->device;
  out.memory = plan->host_bytes + plan->device_bytes;
  out.context = plan->context;
  // What was asked for and cannot be had costs as well.
  const double room = std::min(
      1.0, static_cast<double>(plan->context) /
               static_cast<double>(std::max<std::uint64_t>(
                   std::min(wishes.context,
                            model.context_length == 0 ? wishes.context : model.context_length),
                   1)));
  const double speed = std::min(1.0, rate / kPleasantRate);
  const double skill = std::log2(1 + parameters / 1e8) * quality_of(candidate);
  out.score = skill * (0.25 + 0.75 * speed) * (0.5 + 0.5 * room);
  const bool host = plan->gpu_layers == 0;
  out.why = fmt::format("{}{}{}, {}, takes {} of {:.1f} GiB, {}", parameters_text(parameters),
                        candidate.quantization.empty() ? "" : " at ", candidate.quantization,
                        where_text(*plan, model), format_bytes(out.memory),
                        static_cast<double>(machine.memory) / kGiB,
                        speed >= 1 ? "fast enough to read along"
                                   : fmt::format("about {:.1f} tokens a second at most", rate));
  if (!host) {
    out.why += fmt::format("; the host keeps {}", format_bytes(plan->host_bytes));
  }
  if (plan->context < wishes.context) {
    out.why += fmt::format("; context {} tokens a slot", plan->context);
  }
  return out;
}

std::vector<Recommendation> recommend(const std::vector<Candidate>& candidates,
                                      const Machine& machine, const StartWishes& wishes) {
  std::vector<std::pair<Recommendation, std::uint64_t>> judged;
  judged.reserve(candidates.size());
  for (const Candidate& candidate : candidates) {
    if (auto found = judge_fit(candidate, machine, wishes)) {
      judged.emplace_back(std::move(*found), candidate.downloads);
    }
  }
  std::ranges::sort(judged, [](const auto& a, const auto& b) {
    return std::tie(b.first.score, b.second, a.first.name) <
           std::tie(a.first.score, a.second, b.first.name);
  });
  std::vector<Recommendation> out;
  out.reserve(judged.size());
  for (auto& [recommendation, downloads] : judged) out.push_back(std::move(recommendation));
  return out;
}

}  // namespace corral::models
