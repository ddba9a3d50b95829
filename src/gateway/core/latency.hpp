// How fast targets are, from the times to the first token that were seen. Pure values; one owner,
// or a lock around each; memory is fixed.
//
//   PeakEwma         one target's present latency, for choosing the faster of two
//   LatencyQuantile  one route's distribution, for "slower than 95 % of requests"
// Example:
//   latency.observe(took, now);
//   if (a.cost(in_flight_a, now, usual) < b.cost(in_flight_b, now, usual)) ...
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

namespace corral::gateway {

// Peak-EWMA, after Twitter's Finagle (balancer/PeakEwma): jumps up at once to a slower sample, and
// sinks towards faster ones with a time constant. Without samples it sinks towards nothing, so that
// a target that was slow once is tried again some time.
class PeakEwma {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  explicit PeakEwma(std::chrono::milliseconds decay = std::chrono::milliseconds(10'000));

  void observe(Duration took, Time now);
  // A failure is no fast answer, however soon it came: counts as twice what is usual here, or as
  // `at_least` if that is longer. Up to a minute.
  void observe_failure(Duration at_least, Time now);

  // None before the first sample.
  std::optional<Duration> latency(Time now) const;
  // What one request more would suffer, for comparing: latency * (in_flight + 1), in nanoseconds. A
  // target without samples counts as `neutral`; give the usual latency of its group.
  double cost(unsigned in_flight, Time now, Duration neutral) const;

 private:
  double decayed(Time now) const;

  double decay_ns_;
  double value_ns_ = 0;
  bool known_ = false;
  Time at_{};
};

// A histogram with buckets that grow by 6 % each, from 0.5 ms to half an hour, in which old samples
// weigh less and less (forward decay: Cormode et al. 2009). 1 KiB; a quantile is right to about 3
// %.
class LatencyQuantile {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  // `decay`: after so long a sample weighs 1/e.
  explicit LatencyQuantile(std::chrono::milliseconds decay = std::chrono::milliseconds(60'000));

  void observe(Duration took, Time now);
  // `part` from 0 to 1; none without samples. Reads all buckets (a quarter of a microsecond).
  std::optional<Duration> quantile(double part, Time now) const;
  // How many samples there are, by their weight now.
  double samples(Time now) const;

 private:
  static constexpr std::size_t kBuckets = 256;
  double age(Time now) const;
  void rescale(Time now);

  double decay_ns_;
  std::array<float, kBuckets> weights_{};
  double total_ = 0;
  std::optional<Time> landmark_;  // weights are relative to this time
};

}  // namespace corral::gateway
