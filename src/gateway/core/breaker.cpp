#include "gateway/core/breaker.hpp"

#include <algorithm>

#include "base/bug.hpp"
#include "gateway/core/jitter.hpp"

namespace corral::gateway {

std::string_view to_string(BreakerState state) {
  switch (state) {
    case BreakerState::closed: return "closed";
    case BreakerState::open: return "open";
    case BreakerState::half_open: return "half_open";
  }
  return "unknown";
}

std::string_view to_string(BreakerReason reason) {
  switch (reason) {
    case BreakerReason::consecutive_failures: return "consecutive_failures";
    case BreakerReason::error_rate: return "error_rate";
    case BreakerReason::trial_failed: return "trial_failed";
    case BreakerReason::recovery_over: return "recovery_over";
    case BreakerReason::probe_succeeded: return "probe_succeeded";
    case BreakerReason::trials_succeeded: return "trials_succeeded";
    case BreakerReason::forced: return "forced";
  }
  return "unknown";
}

Breaker::Breaker(BreakerPolicy policy, std::uint64_t seed)
    : policy_(policy), random_(seed), requests_(policy.window / 10), failures_(policy.window / 10) {
  policy_.trials = std::max(policy_.trials, 1u);
  policy_.trial_successes = std::max(policy_.trial_successes, 1u);
}

BreakerState Breaker::state(Time now) const {
  bool lapsed = state_ == BreakerState::open && !forced_ && now >= open_until_;
  return lapsed ? BreakerState::half_open : state_;
}

bool Breaker::allow(Time now) const {
  if (cooling(now)) return false;
  switch (state(now)) {
    case BreakerState::closed: return true;
    case BreakerState::open: return false;
    case BreakerState::half_open: break;
  }
  return trials_under_way_ < policy_.trials;
}

Breaker::Pass Breaker::try_pass(Time now) {
  Pass pass;
  pass.transition = tick(now);
  if (!allow(now)) return pass;
  bool trial = state_ == BreakerState::half_open;
  if (trial) ++trials_under_way_;
  pass.permit = Permit({epoch_, cools_, trial, true});
  return pass;
}

Breaker::Transition Breaker::report(Permit permit, Outcome outcome, Time now,
                                    std::optional<std::chrono::seconds> retry_after) {
  if (!permit) return std::nullopt;
  give_place_back(permit);
  if (outcome == Outcome::rate_limited) {
    cool_down(permit, now, retry_after);
    return std::nullopt;
  }
  if (permit.data_.epoch != epoch_) return std::nullopt;
  if (outcome == Outcome::success) return succeeded(permit, now);
  if (counts_against_endpoint(outcome)) return failed(now);
  return std::nullopt;
}

void Breaker::release(Permit permit) {
  if (permit) give_place_back(permit);
}

void Breaker::give_place_back(const Permit& permit) {
  if (!permit.data_.trial) return;
  if (trials_under_way_ == 0) {
    BUG("a trial was given back that nobody held");
    return;
  }
  --trials_under_way_;
}

Breaker::Transition Breaker::succeeded(const Permit& permit, Time now) {
  if (permit.data_.cools == cools_) cool_growth_ = 0;
  if (state_ == BreakerState::half_open) {
    if (++trial_successes_ < policy_.trial_successes) return std::nullopt;
    return move_to(BreakerState::closed, {BreakerReason::trials_succeeded, now});
  }
  failures_in_a_row_ = 0;
  requests_.add(now);
  return std::nullopt;
}

Breaker::Transition Breaker::failed(Time now) {
  if (state_ == BreakerState::half_open) {
    ++failed_trials_;
    return open(now, BreakerReason::trial_failed);
  }
  ++failures_in_a_row_;
  requests_.add(now);
  failures_.add(now);
  if (policy_.consecutive_failures != 0 && failures_in_a_row_ >= policy_.consecutive_failures) {
    return open(now, BreakerReason::consecutive_failures);
  }
  if (rate_too_high(now)) return open(now, BreakerReason::error_rate);
  return std::nullopt;
}

bool Breaker::rate_too_high(Time now) const {
  if (policy_.error_percent == 0) return false;
  std::uint64_t all = requests_.total(now);
  if (all < policy_.minimum_volume) return false;
  return std::uint64_t{failures_.total(now)} * 100 >= all * policy_.error_percent;
}

Breaker::Transition Breaker::open(Time now, BreakerReason reason) {
  auto recovery =
      doubled(policy_.recovery, failed_trials_, std::max(policy_.recovery, policy_.recovery_max));
  auto jitter = recovery * policy_.jitter_percent / 100;
  open_until_ = now + stretched(recovery, jitter, random_.next());
  early_from_ = now + doubled(policy_.early_recovery, failed_trials_, policy_.recovery);
  return move_to(BreakerState::open, {reason, now});
}

// Old permits stop counting here: the epoch is another.
Breaker::Transition Breaker::move_to(BreakerState to, Change change) {
  BreakerTransition transition{state_, to, change.reason};
  if (to != state_) last_change_ = change;
  state_ = to;
  ++epoch_;
  trial_successes_ = 0;
  failures_in_a_row_ = 0;
  if (to == BreakerState::closed) {
    failed_trials_ = 0;
    requests_.clear();
    failures_.clear();
  }
  return transition;
}

// Requests that were under way together are all told 429; only the first of them makes the pause
// grow, but any may bring a Retry-After that is longer.
void Breaker::cool_down(const Permit& permit, Time now,
                        std::optional<std::chrono::seconds> retry_after) {
  bool first = permit.data_.cools == cools_;
  BreakerPolicy::Duration pause;
  if (retry_after && retry_after->count() > 0) {
    auto bound = std::chrono::ceil<std::chrono::seconds>(policy_.cooldown_max);
    pause = std::min<BreakerPolicy::Duration>(std::min(*retry_after, bound), policy_.cooldown_max);
  } else {
    if (!first) return;
    pause = doubled(policy_.cooldown, cool_growth_, policy_.cooldown_max);
    auto jitter = pause * policy_.jitter_percent / 100;
    pause = std::min(stretched(pause, jitter, random_.next()), policy_.cooldown_max);
    ++cool_growth_;
  }
  if (first) ++cools_;
  cool_until_ = std::max(cool_until_, now + pause);
}

Breaker::Transition Breaker::tick(Time now) {
  if (state_ == state(now)) return std::nullopt;
  return move_to(BreakerState::half_open, {BreakerReason::recovery_over, open_until_});
}

Breaker::Transition Breaker::probe_succeeded(Time now) {
  if (state_ != BreakerState::open || forced_ || now < early_from_) return std::nullopt;
  return move_to(BreakerState::half_open, {BreakerReason::probe_succeeded, now});
}

Breaker::Transition Breaker::force_open(Time now) {
  forced_ = true;
  if (state_ == BreakerState::open) return std::nullopt;
  return move_to(BreakerState::open, {BreakerReason::forced, now});
}

Breaker::Transition Breaker::force_close(Time now) {
  forced_ = false;
  cool_until_ = {};
  cool_growth_ = 0;
  ++cools_;  // also a 429 that is still under way makes nothing grow
  auto transition = move_to(BreakerState::closed, {BreakerReason::forced, now});
  if (transition->from == BreakerState::closed) return std::nullopt;
  return transition;
}

std::optional<Breaker::Time> Breaker::next_change_at(Time now) const {
  if (state_ == BreakerState::open && forced_) return std::nullopt;
  Time at = cool_until_;
  if (state_ == BreakerState::open) at = std::max(at, open_until_);
  if (at <= now) return std::nullopt;
  return at;
}

Breaker::View Breaker::view(Time now) const {
  View view{};
  view.state = state(now);
  view.last_change = last_change_;
  if (view.state != state_) view.last_change = {BreakerReason::recovery_over, open_until_};
  view.forced = forced_;
  view.trials_under_way = trials_under_way_;
  view.failures_in_a_row = failures_in_a_row_;
  view.window_requests = requests_.total(now);
  view.window_failures = failures_.total(now);
  if (view.state == BreakerState::open && !forced_) view.opens_again_for_trials = open_until_;
  if (cooling(now)) view.cooling_until = cool_until_;
  return view;
}

}  // namespace corral::gateway
