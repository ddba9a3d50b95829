// The health of one endpoint, as a pure state machine: events and the time come in, what to do
// comes out. Probes find out that it is down; it comes back by a probe, a restart where it is ours
// to restart, one real request, and a slow start. The diagram is in
// docs/state-machines/endpoint-health.md.
//
// Thread rule: one owner, or a lock around it. No call allocates.
// Lifecycle: begins healthy, as nothing is known against it, with a probe due at once. The driver
// calls tick() at wake_at(), performs what a step asks for, and answers each probe, validation and
// restart once. Example:
//   EndpointHealth health(policy, seed, now);
//   auto step = health.tick(*health.wake_at());
//   if (step.probe) ...                       // later: health.probed(now, Check::passed)
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "gateway/core/mixing.hpp"

namespace corral::gateway {

enum class HealthState : std::uint8_t {
  healthy,
  suspect,     // a probe or two failed; still used
  ejected,     // far worse than the others of its group; rests for a while
  down,        // too many probes failed
  restarting,  // recovering: an instance of ours is being started anew
  validating,  // recovering: it answers probes; a real request shows whether it works
  slow_start,  // recovering: used again, with a growing share of its capacity
};
std::string_view to_string(HealthState state);

enum class HealthReason : std::uint8_t {
  probe_failed,
  probe_passed,
  outlier,
  ejection_over,
  restart_wanted,
  restart_done,
  restart_failed,
  restart_timed_out,
  validation_passed,
  validation_failed,
  slow_start_over,
};
std::string_view to_string(HealthReason reason);

struct HealthTransition {
  HealthState from;
  HealthState to;
  HealthReason reason;
  bool operator==(const HealthTransition&) const = default;
};

struct HealthPolicy {
  using Duration = std::chrono::milliseconds;
  unsigned strikes = 3;               // failed probes in a row that take it down; 0 counts as 1
  Duration probe_interval{30'000};    // while healthy
  Duration suspect_interval{30'000};  // between the strikes
  // While it is down, was never seen well, or a breaker of it is open, the pause between probes is
  // this part of how long that lasts, within bounds: whoever was away for a minute is found to be
  // back within four seconds, and one that is away for days is not pestered.
  unsigned fast_fraction = 16;
  Duration fast_first{500};
  Duration fast_slowest{10'000};
  unsigned jitter_percent = 10;    // pauses between probes are stretched by a random part of this
  bool restartable = false;        // an instance of ours
  Duration restart_pause{60'000};  // from one restart to the next at least
  Duration restart_timeout{150'000};  // then it counts as failed
  bool validate = true;               // before it is used again
  Duration slow_start{10'000};        // 0: none
  unsigned slow_start_percent = 10;   // of its capacity, at the beginning
  Duration ejection{30'000};          // grows by as much with each in a row
  Duration ejection_max{300'000};
  Duration ejection_forgiven{600'000};  // after so long without one, the next counts as the first
};

enum class Check : std::uint8_t { passed, failed };

// What to do now, and what changed.
struct HealthStep {
  bool probe = false;     // the cheapest real check of this binding; answer with probed()
  bool validate = false;  // one real request of one token; answer with validated()
  bool restart = false;   // answer with restarted() once it is ready, or cannot be
  std::optional<HealthTransition> transition;
};

class EndpointHealth {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = HealthPolicy::Duration;

  EndpointHealth(HealthPolicy policy, std::uint64_t seed, Time now);

  HealthStep tick(Time now);
  HealthStep probed(Time now, Check result);
  HealthStep validated(Time now, Check result);
  HealthStep restarted(Time now, Check result);
  HealthStep eject(Time now);  // it is an outlier, see outliers(); only where it is in use
  // The first of its breakers opened, the last one closed: probes come faster between these.
  void breaker_opened(Time now);
  void breaker_closed() { breaker_open_since_.reset(); }

  // When tick() is due; none while only an answer can lead on.
  std::optional<Time> wake_at() const;

  HealthState state() const { return state_; }
  bool usable() const;
  // From 0 (not to be used) to 1: how much of its capacity may be used. Whoever gets anything gets
  // at least one place.
  double capacity_share(Time now) const;
  unsigned strikes() const { return strikes_; }
  unsigned ejections() const { return ejections_; }

 private:
  HealthStep probe_failed(Time now);
  HealthStep begin_validation(HealthReason reason, Time now);
  HealthStep begin_slow_start(HealthReason reason, Time now);
  HealthStep restart_or_down(HealthReason reason, Time now);
  HealthStep move_to(HealthState to, HealthReason reason);
  bool may_restart(Time now) const;
  void plan_probe(Time now);
  Duration pause_before_probe(Time now) const;
  std::optional<Time> unwell_since() const;

  HealthPolicy policy_;
  RandomStream random_;
  HealthState state_ = HealthState::healthy;
  unsigned strikes_ = 0;
  bool seen_well_ = false;
  Time born_;
  std::optional<Time> probe_at_;  // none while one is under way, or none is wanted
  bool probe_under_way_ = false;
  std::optional<Time> state_until_;  // of ejected, restarting, slow_start
  Time slow_since_{};
  std::optional<Time> down_since_;  // of the whole outage, through failed recoveries
  std::optional<Time> breaker_open_since_;
  std::optional<Time> last_restart_;
  std::optional<Time> last_ejection_;
  unsigned ejections_ = 0;  // in a row
};

}  // namespace corral::gateway
