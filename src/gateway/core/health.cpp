#include "gateway/core/health.hpp"

#include <algorithm>

#include "gateway/core/jitter.hpp"

namespace corral::gateway {

std::string_view to_string(HealthState state) {
  switch (state) {
    case HealthState::healthy: return "healthy";
    case HealthState::suspect: return "suspect";
    case HealthState::ejected: return "ejected";
    case HealthState::down: return "down";
    case HealthState::restarting: return "restarting";
    case HealthState::validating: return "validating";
    case HealthState::slow_start: return "slow_start";
  }
  return "unknown";
}

std::string_view to_string(HealthReason reason) {
  switch (reason) {
    case HealthReason::probe_failed: return "probe_failed";
    case HealthReason::probe_passed: return "probe_passed";
    case HealthReason::outlier: return "outlier";
    case HealthReason::ejection_over: return "ejection_over";
    case HealthReason::restart_wanted: return "restart_wanted";
    case HealthReason::restart_done: return "restart_done";
    case HealthReason::restart_failed: return "restart_failed";
    case HealthReason::restart_timed_out: return "restart_timed_out";
    case HealthReason::validation_passed: return "validation_passed";
    case HealthReason::validation_failed: return "validation_failed";
    case HealthReason::slow_start_over: return "slow_start_over";
  }
  return "unknown";
}

EndpointHealth::EndpointHealth(HealthPolicy policy, std::uint64_t seed, Time now)
    : policy_(policy), random_(seed), born_(now) {
  policy_.strikes = std::max(policy_.strikes, 1u);
  policy_.fast_fraction = std::max(policy_.fast_fraction, 1u);
  policy_.fast_slowest = std::max(policy_.fast_slowest, policy_.fast_first);
  policy_.slow_start_percent = std::min(policy_.slow_start_percent, 100u);
  // Many endpoints are made at once, when the configuration is read.
  probe_at_ = now + stretched(Duration(0), policy_.fast_first, random_.next());
}

HealthStep EndpointHealth::tick(Time now) {
  HealthStep step;
  if (state_until_ && now >= *state_until_) {
    if (state_ == HealthState::ejected) {
      step = begin_slow_start(HealthReason::ejection_over, now);
    } else if (state_ == HealthState::slow_start) {
      step = move_to(HealthState::healthy, HealthReason::slow_start_over);
    } else {
      step = move_to(HealthState::down, HealthReason::restart_timed_out);
      plan_probe(now);
    }
  }
  if (probe_at_ && now >= *probe_at_) {
    probe_at_.reset();
    probe_under_way_ = true;
    step.probe = true;
  }
  return step;
}

HealthStep EndpointHealth::probed(Time now, Check result) {
  if (!probe_under_way_) return {};
  probe_under_way_ = false;
  if (result == Check::failed) return probe_failed(now);
  strikes_ = 0;
  seen_well_ = true;
  HealthStep step;
  if (state_ == HealthState::down) return begin_validation(HealthReason::probe_passed, now);
  if (state_ == HealthState::suspect) {
    step = move_to(HealthState::healthy, HealthReason::probe_passed);
  }
  plan_probe(now);
  return step;
}

HealthStep EndpointHealth::probe_failed(Time now) {
  ++strikes_;
  if (state_ == HealthState::down) {
    if (may_restart(now)) return restart_or_down(HealthReason::restart_wanted, now);
    plan_probe(now);
    return {};
  }
  HealthStep step;
  // One that has only just come back has no credit.
  if (strikes_ >= policy_.strikes || state_ == HealthState::slow_start) {
    down_since_ = now;
    step = move_to(HealthState::down, HealthReason::probe_failed);
  } else if (state_ == HealthState::healthy) {
    step = move_to(HealthState::suspect, HealthReason::probe_failed);
  }
  plan_probe(now);
  return step;
}

HealthStep EndpointHealth::validated(Time now, Check result) {
  if (state_ != HealthState::validating) return {};
  if (result == Check::passed) return begin_slow_start(HealthReason::validation_passed, now);
  return restart_or_down(HealthReason::validation_failed, now);
}

HealthStep EndpointHealth::restarted(Time now, Check result) {
  if (state_ != HealthState::restarting) return {};
  if (result == Check::passed) return begin_validation(HealthReason::restart_done, now);
  HealthStep step = move_to(HealthState::down, HealthReason::restart_failed);
  plan_probe(now);
  return step;
}

HealthStep EndpointHealth::eject(Time now) {
  if (!usable()) return {};
  bool in_a_row = last_ejection_ && now - *last_ejection_ < policy_.ejection_forgiven;
  ejections_ = in_a_row ? ejections_ + 1 : 1;
  auto most =
      std::max<std::int64_t>(policy_.ejection_max / std::max(policy_.ejection, Duration(1)), 1);
  auto times = std::min<std::int64_t>(ejections_, most);
  HealthStep step = move_to(HealthState::ejected, HealthReason::outlier);
  state_until_ = now + policy_.ejection * times;
  last_ejection_ = state_until_;
  return step;
}

void EndpointHealth::breaker_opened(Time now) {
  if (breaker_open_since_) return;
  breaker_open_since_ = now;
  if (!probe_at_) return;
  Time before = *probe_at_;
  plan_probe(now);
  probe_at_ = std::min(*probe_at_, before);
}

std::optional<EndpointHealth::Time> EndpointHealth::wake_at() const {
  if (!state_until_) return probe_at_;
  return probe_at_ ? std::min(*probe_at_, *state_until_) : state_until_;
}

bool EndpointHealth::usable() const {
  return state_ == HealthState::healthy || state_ == HealthState::suspect ||
         state_ == HealthState::slow_start;
}

double EndpointHealth::capacity_share(Time now) const {
  if (!usable()) return 0.0;
  if (state_ != HealthState::slow_start) return 1.0;
  double begin = policy_.slow_start_percent / 100.0;
  double passed = std::chrono::duration<double>(now - slow_since_) / policy_.slow_start;
  return begin + (1.0 - begin) * std::clamp(passed, 0.0, 1.0);
}

HealthStep EndpointHealth::begin_validation(HealthReason reason, Time now) {
  strikes_ = 0;
  if (!policy_.validate) return begin_slow_start(reason, now);
  HealthStep step = move_to(HealthState::validating, reason);
  step.validate = true;
  return step;
}

HealthStep EndpointHealth::begin_slow_start(HealthReason reason, Time now) {
  down_since_.reset();
  if (policy_.slow_start <= Duration(0)) {
    HealthStep step = move_to(HealthState::healthy, reason);
    if (!probe_under_way_) plan_probe(now);
    return step;
  }
  HealthStep step = move_to(HealthState::slow_start, reason);
  slow_since_ = now;
  state_until_ = now + policy_.slow_start;
  if (!probe_under_way_) plan_probe(now);
  return step;
}

HealthStep EndpointHealth::restart_or_down(HealthReason reason, Time now) {
  if (!may_restart(now)) {
    HealthStep step = move_to(HealthState::down, reason);
    plan_probe(now);
    return step;
  }
  HealthStep step = move_to(HealthState::restarting, reason);
  step.restart = true;
  last_restart_ = now;
  state_until_ = now + policy_.restart_timeout;
  return step;
}

bool EndpointHealth::may_restart(Time now) const {
  return policy_.restartable && (!last_restart_ || now - *last_restart_ >= policy_.restart_pause);
}

// Restarting and validating begin with the answer to a probe and plan none: their own says more.
HealthStep EndpointHealth::move_to(HealthState to, HealthReason reason) {
  HealthStep step;
  step.transition = HealthTransition{state_, to, reason};
  state_ = to;
  state_until_.reset();
  return step;
}

void EndpointHealth::plan_probe(Time now) {
  auto pause = pause_before_probe(now);
  probe_at_ = now + stretched(pause, pause * policy_.jitter_percent / 100, random_.next());
}

EndpointHealth::Duration EndpointHealth::pause_before_probe(Time now) const {
  if (auto since = unwell_since()) {
    auto part = std::chrono::duration_cast<Duration>(now - *since) / policy_.fast_fraction;
    return std::clamp(part, policy_.fast_first, policy_.fast_slowest);
  }
  if (state_ == HealthState::slow_start) {
    return std::min(policy_.probe_interval, policy_.slow_start / 2);
  }
  return strikes_ > 0 ? policy_.suspect_interval : policy_.probe_interval;
}

std::optional<EndpointHealth::Time> EndpointHealth::unwell_since() const {
  if (down_since_) return down_since_;
  if (breaker_open_since_) return breaker_open_since_;
  if (!seen_well_) return born_;
  return std::nullopt;
}

}  // namespace corral::gateway
