#include "gateway/core/latency.hpp"

#include <algorithm>
#include <cmath>

namespace corral::gateway {
namespace {

constexpr double kLongestNs = 60e9;       // what a failure may count as
constexpr double kFirstBucketNs = 0.5e6;  // everything faster is in the first bucket
constexpr double kGrowth = 1.06;
constexpr double kMostAge = 10;  // in time constants: e^10 and float's precision leave room

double in_ns(std::chrono::nanoseconds duration) {
  return std::max(static_cast<double>(duration.count()), 0.0);
}

double decay_of(std::chrono::milliseconds decay) {
  return in_ns(std::max(decay, std::chrono::milliseconds(1)));
}

std::size_t bucket_of(double ns, std::size_t buckets) {
  static const double kLogGrowth = std::log(kGrowth);
  if (ns <= kFirstBucketNs) return 0;
  auto index = static_cast<std::size_t>(std::log(ns / kFirstBucketNs) / kLogGrowth) + 1;
  return std::min(index, buckets - 1);
}

// The geometric middle of a bucket; of the first, its upper end.
std::chrono::nanoseconds middle_of(std::size_t bucket) {
  double ns = bucket == 0 ? kFirstBucketNs
                          : kFirstBucketNs * std::pow(kGrowth, static_cast<double>(bucket) - 0.5);
  return std::chrono::nanoseconds(static_cast<std::int64_t>(ns));
}

}  // namespace

PeakEwma::PeakEwma(std::chrono::milliseconds decay) : decay_ns_(decay_of(decay)) {}

double PeakEwma::decayed(Time now) const {
  double passed = in_ns(now - at_);
  return value_ns_ * std::exp(-passed / decay_ns_);
}

void PeakEwma::observe(Duration took, Time now) {
  double sample = in_ns(took);
  if (!known_ || sample >= value_ns_) {
    value_ns_ = sample;
  } else {
    double keep = std::exp(-in_ns(now - at_) / decay_ns_);
    value_ns_ = value_ns_ * keep + sample * (1 - keep);
  }
  known_ = true;
  at_ = std::max(at_, now);
}

void PeakEwma::observe_failure(Duration at_least, Time now) {
  double doubled = std::min(2 * (known_ ? decayed(now) : 0.0), kLongestNs);
  observe(Duration(static_cast<std::int64_t>(std::max(doubled, in_ns(at_least)))), now);
}

std::optional<PeakEwma::Duration> PeakEwma::latency(Time now) const {
  if (!known_) return std::nullopt;
  return Duration(static_cast<std::int64_t>(decayed(now)));
}

double PeakEwma::cost(unsigned in_flight, Time now, Duration neutral) const {
  return (known_ ? decayed(now) : in_ns(neutral)) * (static_cast<double>(in_flight) + 1);
}

LatencyQuantile::LatencyQuantile(std::chrono::milliseconds decay) : decay_ns_(decay_of(decay)) {}

double LatencyQuantile::age(Time now) const {
  return landmark_ ? in_ns(now - *landmark_) / decay_ns_ : 0.0;
}

void LatencyQuantile::rescale(Time now) {
  double keep = std::exp(-age(now));
  total_ = 0;
  for (auto& weight : weights_) {
    weight = static_cast<float>(weight * keep);
    total_ += static_cast<double>(weight);
  }
  landmark_ = now;
}

void LatencyQuantile::observe(Duration took, Time now) {
  if (!landmark_) landmark_ = now;
  if (age(now) > kMostAge) rescale(now);
  double weight = std::exp(age(now));
  auto& bucket = weights_[bucket_of(in_ns(took), kBuckets)];
  bucket += static_cast<float>(weight);
  total_ += weight;
}

std::optional<LatencyQuantile::Duration> LatencyQuantile::quantile(double part, Time now) const {
  if (samples(now) < 0.5) return std::nullopt;
  double wanted = std::clamp(part, 0.0, 1.0) * total_;
  double seen = 0;
  std::size_t last = 0;  // that holds anything; rounding may leave a little to find
  for (std::size_t i = 0; i < kBuckets; ++i) {
    if (weights_[i] <= 0) continue;
    last = i;
    seen += static_cast<double>(weights_[i]);
    if (seen >= wanted) break;
  }
  return middle_of(last);
}

double LatencyQuantile::samples(Time now) const { return total_ * std::exp(-age(now)); }

}  // namespace corral::gateway
