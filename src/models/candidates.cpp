#include "models/candidates.hpp"

#include <charconv>
#include <cmath>

#include "base/text.hpp"
#include "models/core/smaller_model.hpp"
#include "models/sources/quantization.hpp"

namespace corral::models {
namespace {

constexpr std::string_view kUsual = "Q4_K_M";

double unit_of(std::string_view rest) {
  rest = trim(rest);
  switch (rest.empty() ? '\0' : rest.front()) {
    case 'K':
    case 'k': return 1e3;
    case 'M':
    case 'm': return 1e6;
    case 'B':
    case 'b': return 1e9;
    case 'T':
    case 't': return 1e12;
    default: return 1;
  }
}

}  // namespace

std::uint64_t parse_parameters(std::string_view text) {
  text = trim(text);
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number <= 0) return 0;
  double count = number * unit_of(text.substr(static_cast<std::size_t>(end - text.data())));
  return count < 1e15 ? static_cast<std::uint64_t>(count) : 0;
}

std::optional<Candidate> candidate_of(const ModelEntry& entry) {
  if (!entry.usable() || !entry.metadata) return std::nullopt;
  Candidate candidate;
  candidate.name = entry.name;
  candidate.bytes = entry.bytes;
  candidate.parameters = entry.metadata->parameters;
  candidate.quantization = entry.metadata->quantization;
  candidate.metadata = entry.metadata;
  return candidate;
}

std::optional<Candidate> candidate_of(const RemoteInfo& info) {
  Candidate candidate;
  candidate.name = info.reference;
  candidate.bytes = info.bytes.value_or(0);
  candidate.parameters = parse_parameters(info.parameters);
  candidate.quantization = info.quantization;
  candidate.downloads = info.downloads.value_or(0);
  if (candidate.quantization.empty()) candidate.quantization = quantization_of(info.reference);
  if (candidate.bytes > 0) return candidate;
  if (candidate.parameters == 0) return std::nullopt;
  if (candidate.quantization.empty()) candidate.quantization = kUsual;
  const auto known = find_quantization(candidate.quantization);
  const double bits = known ? known->bits : 4.9;
  candidate.bytes =
      static_cast<std::uint64_t>(static_cast<double>(candidate.parameters) * bits / 8);
  return candidate;
}

}  // namespace corral::models
