#include "gateway/core/outliers.hpp"

#include <algorithm>

namespace corral::gateway {
namespace {

struct Suspect {
  std::size_t index;
  double badness;
};

// In points of percent above the others; 0 when there are no others to compare with.
double error_excess(const GroupFigure& one, std::uint64_t requests, std::uint64_t failures) {
  std::uint64_t others = requests - one.requests;
  if (others == 0) return 0;
  double own = 100.0 * one.failures / one.requests;
  return own - 100.0 * static_cast<double>(failures - one.failures) / static_cast<double>(others);
}

// `sorted` are the latencies of the group, this one's among them.
std::chrono::nanoseconds median_of_others(const std::vector<std::chrono::nanoseconds>& sorted,
                                          std::chrono::nanoseconds own) {
  if (sorted.size() < 2) return {};
  auto at = static_cast<std::size_t>(std::ranges::lower_bound(sorted, own) - sorted.begin());
  std::size_t middle = (sorted.size() - 2) / 2;  // of the others; the lower of two middles
  return sorted[middle < at ? middle : middle + 1];
}

// Above 0 is an outlier; failing is worse than being slow.
double badness(const GroupFigure& one, double excess, std::chrono::nanoseconds median,
               const OutlierPolicy& policy) {
  if (policy.error_percent_above != 0 && excess >= policy.error_percent_above) {
    return 1e12 + excess;
  }
  if (policy.latency_times == 0 || median.count() <= 0) return 0;
  if (one.latency < policy.latency_floor) return 0;
  auto times = static_cast<double>(one.latency.count()) / static_cast<double>(median.count());
  return times >= policy.latency_times ? times : 0;
}

}  // namespace

std::vector<std::size_t> outliers(std::span<const GroupFigure> group, const OutlierPolicy& policy) {
  auto out = static_cast<std::size_t>(std::ranges::count_if(group, &GroupFigure::out_of_use));
  std::size_t half = group.size() / 2;
  if (out >= half) return {};

  auto counts = [&](const GroupFigure& one) {
    return !one.out_of_use && one.requests > 0 && one.requests >= policy.minimum_requests;
  };
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
  std::vector<std::chrono::nanoseconds> latencies;
  for (const auto& one : group) {
    if (!counts(one)) continue;
    requests += one.requests;
    failures += one.failures;
    if (one.latency.count() > 0) latencies.push_back(one.latency);
  }
  std::ranges::sort(latencies);

  std::vector<Suspect> found;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const auto& one = group[i];
    if (!counts(one)) continue;
    auto median = one.latency.count() > 0 ? median_of_others(latencies, one.latency)
                                          : std::chrono::nanoseconds(0);
    double bad = badness(one, error_excess(one, requests, failures), median, policy);
    if (bad > 0) found.push_back({i, bad});
  }
  std::ranges::sort(found, std::ranges::greater{}, &Suspect::badness);
  if (found.size() > half - out) found.resize(half - out);
  std::vector<std::size_t> result;
  result.reserve(found.size());
  for (const auto& each : found) result.push_back(each.index);
  return result;
}

}  // namespace corral::gateway
