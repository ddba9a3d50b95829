#include "gateway/core/work_estimate.hpp"

#include <algorithm>
#include <cmath>

namespace corral::gateway {
namespace {

using inference::Operation;

constexpr double kLeastWeight = 1.0 / 32;  // of a new request, once there are many
constexpr double kFarOff = 4;              // usual deviations; what is farther is cut
constexpr std::uint64_t kTrustedFrom = 5;  // before so many, all count as they are
constexpr double kLeastDeviation = 0.05;   // part of what was expected
constexpr double kSameSize = 0.25;         // KiB by which inputs may differ and be alike
constexpr double kLongestWork = 24.0 * 3600;
constexpr double kLargestInput = 1ull << 30;  // KiB; of what is restored

std::size_t kind_of(Operation operation, bool stream) {
  return static_cast<std::size_t>(operation) * 2 + (stream ? 1 : 0);
}

double kib_of(const Work& work) { return static_cast<double>(work.input) / 1024; }

WorkEstimate::Duration duration_of(double seconds) {
  return std::chrono::nanoseconds(std::llround(std::clamp(seconds, 0.0, kLongestWork) * 1e9));
}

}  // namespace

// Neither rises nor stands still for less than nothing: the part for an empty input is at least 0.
double WorkEstimate::Line::slope() const {
  const double most = mean_x > 0 ? mean_y / mean_x : 0;
  return std::clamp(together / (spread_x + kSameSize * kSameSize), 0.0, most);
}

double WorkEstimate::Line::at(double x) const { return mean_y + slope() * (x - mean_x); }

// Means and variances of exponentially weighted values as they come (T. Finch 2009, "Incremental
// calculation of weighted mean and variance").
void WorkEstimate::Line::learn(double x, double y) {
  ++count;
  const double weight = std::max(1.0 / static_cast<double>(count), kLeastWeight);
  if (count == 1) {
    mean_x = x;
    mean_y = y;
    deviation = y / 2;
    return;
  }
  const double expected = at(x);
  const double bound = kFarOff * std::max(deviation, kLeastDeviation * expected);
  double off = y - expected;
  if (count > kTrustedFrom) off = std::clamp(off, -bound, bound);
  deviation += (std::abs(off) - deviation) * weight;
  const double dx = x - mean_x;
  const double dy = expected + off - mean_y;
  mean_x += weight * dx;
  mean_y += weight * dy;
  spread_x = (1 - weight) * (spread_x + weight * dx * dx);
  together = (1 - weight) * (together + weight * dx * dy);
}

void WorkEstimate::learn(const Work& work, Duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  lines_[kind_of(work.operation, work.stream)].learn(kib_of(work),
                                                     std::clamp(seconds, 0.0, kLongestWork));
}

std::vector<WorkEstimate::Kept> WorkEstimate::kept() const {
  std::vector<Kept> all;
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    const Line& line = lines_[kind];
    if (line.count == 0) continue;
    all.push_back({static_cast<Operation>(kind / 2), kind % 2 == 1, line.count, line.mean_x,
                   line.mean_y, line.spread_x, line.together, line.deviation});
  }
  return all;
}

bool WorkEstimate::restore(const Kept& kind) {
  // Not a number compares as false.
  auto within = [](double value, double most) { return value >= 0 && value <= most; };
  if (kind.requests == 0 || !within(kind.mean_kib, kLargestInput) ||
      !within(kind.mean_seconds, kLongestWork) ||
      !within(kind.spread, kLargestInput * kLargestInput) ||
      !within(std::abs(kind.together), kLargestInput * kLongestWork) ||
      !within(kind.deviation, kLongestWork)) {
    return false;
  }
  lines_[kind_of(kind.operation, kind.stream)] = {kind.mean_kib, kind.mean_seconds, kind.spread,
                                                  kind.together, kind.deviation,    kind.requests};
  return true;
}

const WorkEstimate::Line* WorkEstimate::line_for(const Work& work) const {
  auto seen = [this](Operation operation, bool stream) {
    const Line& line = lines_[kind_of(operation, stream)];
    return line.count > 0 ? &line : nullptr;
  };
  for (const bool stream : {work.stream, !work.stream}) {
    if (const Line* line = seen(work.operation, stream)) return line;
  }
  if (work.operation == Operation::embedding) return nullptr;
  const auto sibling = work.operation == Operation::chat ? Operation::completion : Operation::chat;
  for (const bool stream : {work.stream, !work.stream}) {
    if (const Line* line = seen(sibling, stream)) return line;
  }
  return nullptr;
}

std::optional<WorkEstimate::Duration> WorkEstimate::predict(const Work& work) const {
  const Line* line = line_for(work);
  if (line == nullptr) return std::nullopt;
  return duration_of(line->at(kib_of(work)));
}

std::optional<WorkEstimate::View> WorkEstimate::view(std::size_t kind) const {
  const Line& line = lines_.at(kind);
  if (line.count == 0) return std::nullopt;
  View view;
  view.operation = static_cast<Operation>(kind / 2);
  view.stream = kind % 2 == 1;
  view.requests = line.count;
  view.fixed = duration_of(line.at(0));
  view.per_kib = duration_of(line.slope());
  view.usual = duration_of(line.mean_y);
  return view;
}

}  // namespace corral::gateway
