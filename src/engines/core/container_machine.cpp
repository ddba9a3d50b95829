#include "engines/core/container_machine.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.hpp"

namespace corral::engines {

std::string_view to_string(ContainerState state) {
  switch (state) {
    case ContainerState::absent: return "absent";
    case ContainerState::looking: return "looking";
    case ContainerState::pulling: return "pulling";
    case ContainerState::creating: return "creating";
    case ContainerState::starting: return "starting";
    case ContainerState::ready: return "ready";
    case ContainerState::stopping: return "stopping";
    case ContainerState::stopped: return "stopped";
    case ContainerState::backing_off: return "backing_off";
    case ContainerState::failed: return "failed";
  }
  return "unknown";
}

// --- wishes --------------------------------------------------------------------------------------

ContainerActions ContainerMachine::start(Time /*now*/) {
  if (step_ && wish_ != Wish::run) {  // being stopped: it comes back afterwards
    again_ = true;
    return {};
  }
  if (wish_ == Wish::run && state_ != ContainerState::failed) return {};
  return fresh_start();
}

ContainerActions ContainerMachine::fresh_start() {
  wish_ = Wish::run;
  again_ = false;
  crashes_ = delays_ = restarts_ = 0;
  last_error_.reset();
  crash_reason_.reset();
  ready_since_.reset();
  return begin(ContainerState::looking, Kind::look);
}

ContainerActions ContainerMachine::stop(Time /*now*/) {
  again_ = false;
  if (wish_ == Wish::run) wish_ = Wish::stop;
  crash_reason_.reset();
  quiet();
  if (step_) {
    bool pulling = step_ == Kind::pull;
    state_ = ContainerState::stopping;
    return pulling ? Actions{{Kind::cancel, {}}} : Actions{};
  }
  if (state_ == ContainerState::stopped || state_ == ContainerState::absent) {
    return {{Kind::tell_stopped, {}}};
  }
  return end_as_wished();
}

ContainerActions ContainerMachine::remove(Time now) {
  bool nothing_to_stop =
      !step_ && (state_ == ContainerState::stopped || state_ == ContainerState::absent);
  wish_ = Wish::remove;
  return nothing_to_stop ? end_as_wished() : stop(now);
}

ContainerActions ContainerMachine::restart(Time now) {
  bool idle = !step_ && (state_ == ContainerState::stopped || state_ == ContainerState::absent ||
                         state_ == ContainerState::failed || state_ == ContainerState::backing_off);
  if (idle) return fresh_start();
  auto actions = stop(now);
  again_ = true;
  return actions;
}

// --- what became of steps ------------------------------------------------------------------------

ContainerActions ContainerMachine::looked(Time now, const ContainerFinding& finding) {
  step_.reset();
  if (wish_ != Wish::run) return end_as_wished();
  if (!finding.exists) {
    if (finding.image) return begin(ContainerState::creating, Kind::create);
    if (policy_.pull) return begin(ContainerState::pulling, Kind::pull);
    return after_failure(
        now,
        fail(ErrorCode::not_found, "its image is not on this machine, and pull is off")
            .hint("pull it, or set pull: true"),
        ContainerFault::permanent);
  }
  if (!finding.ours) {
    return after_failure(
        now,
        fail(ErrorCode::conflict,
             "there is a container of that name already, which Corral did not make")
            .hint("remove or rename it, or give the one in docker.containers another name"),
        ContainerFault::permanent);
  }
  if (!finding.same_spec) return begin(ContainerState::creating, Kind::remove);
  if (!finding.running) return begin(ContainerState::starting, Kind::start);
  // Taken over as it runs: as after a start.
  step_ = Kind::start;
  return done(now);
}

ContainerActions ContainerMachine::done(Time now) {
  auto step = std::exchange(step_, std::nullopt);
  if (!step) return {};
  bool ends = step == Kind::stop || (step == Kind::remove && wish_ != Wish::run);
  if (wish_ == Wish::run) {
    if (crash_reason_) {
      return after_failure(now, *std::exchange(crash_reason_, std::nullopt), ContainerFault::crash);
    }
    delays_ = 0;
    if (step == Kind::create) return begin(ContainerState::starting, Kind::start);
    // Pulled, or the old one is gone: the same question has another answer now.
    if (step != Kind::start) return begin(ContainerState::looking, Kind::look);
    state_ = ContainerState::starting;
    deadline_ = now + policy_.start_timeout;
    poll_delay_ = policy_.first_poll;
    next_poll_ = now + poll_delay_;
    return {};
  }
  if (!ends || (wish_ == Wish::remove && step != Kind::remove)) return end_as_wished();
  state_ = wish_ == Wish::remove ? ContainerState::absent : ContainerState::stopped;
  Actions actions{{Kind::tell_stopped, {}}};
  if (again_) std::ranges::move(fresh_start(), std::back_inserter(actions));
  return actions;
}

ContainerActions ContainerMachine::failed(Time now, Error reason, ContainerFault fault) {
  auto step = std::exchange(step_, std::nullopt);
  if (!step) return {};
  if (wish_ != Wish::run) {
    // It may have begun to exist or to run all the same.
    if (step != Kind::stop && step != Kind::remove) return end_as_wished();
    fault = ContainerFault::permanent;
  }
  crash_reason_.reset();
  return after_failure(now, std::move(reason), fault);
}

ContainerActions ContainerMachine::ended(Time now, Error reason) {
  if (step_) return {};
  if (state_ != ContainerState::starting && state_ != ContainerState::ready) return {};
  Actions actions;
  if (state_ == ContainerState::ready) actions.push_back({Kind::tell_down, reason});
  std::ranges::move(after_failure(now, std::move(reason), ContainerFault::crash),
                    std::back_inserter(actions));
  return actions;
}

ContainerActions ContainerMachine::health(Time now, bool answers) {
  if (step_) return {};
  if (state_ == ContainerState::starting) {
    if (!answers) {
      poll_delay_ = std::min(policy_.slowest_poll, poll_delay_ * 3 / 2);
      next_poll_ = now + poll_delay_;
      return {};
    }
    state_ = ContainerState::ready;
    deadline_.reset();
    ready_since_ = now;
    unanswered_ = 0;
    next_poll_ = now + policy_.health_interval;
    return {{Kind::tell_ready, {}}};
  }
  if (state_ != ContainerState::ready) return {};
  unanswered_ = answers ? 0 : unanswered_ + 1;
  next_poll_ = now + policy_.health_interval;
  if (unanswered_ < policy_.health_failures) return {};
  Error hung = fail(ErrorCode::unavailable,
                    "it did not answer " + std::to_string(unanswered_) + " health checks in a row");
  Actions actions{{Kind::tell_down, hung}};
  std::ranges::move(stop_as_crashed(std::move(hung)), std::back_inserter(actions));
  return actions;
}

ContainerActions ContainerMachine::tick(Time now) {
  if (deadline_ && now >= *deadline_) {
    deadline_.reset();
    if (state_ == ContainerState::backing_off) {
      ++restarts_;
      return begin(ContainerState::looking, Kind::look);
    }
    return stop_as_crashed(
        fail(ErrorCode::timeout,
             "it did not answer within " + format_duration(policy_.start_timeout))
            .hint("look at its log (corral containers logs), or raise its start_timeout"));
  }
  if (next_poll_ && now >= *next_poll_) {
    next_poll_.reset();  // until the answer is in
    return {{Kind::check, {}}};
  }
  return {};
}

std::optional<ContainerMachine::Time> ContainerMachine::wake_at() const {
  if (deadline_ && next_poll_) return std::min(*deadline_, *next_poll_);
  return deadline_ ? deadline_ : next_poll_;
}

// --- leading on ----------------------------------------------------------------------------------

ContainerActions ContainerMachine::begin(ContainerState state, Kind step) {
  quiet();
  state_ = state;
  step_ = step;
  return {{step, {}}};
}

ContainerActions ContainerMachine::end_as_wished() {
  return begin(ContainerState::stopping, wish_ == Wish::remove ? Kind::remove : Kind::stop);
}

ContainerActions ContainerMachine::stop_as_crashed(Error reason) {
  crash_reason_ = std::move(reason);
  return begin(ContainerState::stopping, Kind::stop);
}

ContainerActions ContainerMachine::after_failure(Time now, Error reason, ContainerFault fault) {
  quiet();
  if (ready_since_ && now - *ready_since_ >= policy_.healthy_after) crashes_ = 0;
  ready_since_.reset();
  last_error_ = reason;
  bool crash = fault == ContainerFault::crash;
  if (crash) ++crashes_;
  if (fault == ContainerFault::later) ++delays_;
  if (fault == ContainerFault::permanent ||
      (crash && crashes_ >= std::max(policy_.restart_limit, 1u))) {
    state_ = ContainerState::failed;
    Actions actions{{Kind::tell_failed, std::move(reason)}};
    if (again_) std::ranges::move(fresh_start(), std::back_inserter(actions));
    return actions;
  }
  state_ = ContainerState::backing_off;
  deadline_ = now + backoff(crash ? crashes_ : delays_);
  return {};
}

void ContainerMachine::quiet() {
  next_poll_.reset();
  deadline_.reset();
}

ContainerPolicy::Duration ContainerMachine::backoff(unsigned failures) const {
  auto delay = std::min(policy_.restart_backoff, policy_.restart_backoff_max);
  for (unsigned i = 1; i < failures && delay < policy_.restart_backoff_max; ++i) {
    delay = std::min(delay * 2, policy_.restart_backoff_max);
  }
  return delay;
}

}  // namespace corral::engines
