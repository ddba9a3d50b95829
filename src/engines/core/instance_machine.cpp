#include "engines/core/instance_machine.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.hpp"

namespace corral::engines {

std::string_view to_string(InstanceState state) {
  switch (state) {
    case InstanceState::stopped: return "stopped";
    case InstanceState::starting: return "starting";
    case InstanceState::ready: return "ready";
    case InstanceState::stopping: return "stopping";
    case InstanceState::killing: return "killing";
    case InstanceState::backing_off: return "backing_off";
    case InstanceState::failed: return "failed";
  }
  return "unknown";
}

Actions InstanceMachine::start(Time now) {
  switch (state_) {
    case InstanceState::stopped:
    case InstanceState::failed:
      crashes_ = restarts_ = ports_tried_ = 0;
      last_error_.reset();
      return spawn(now);
    case InstanceState::stopping:
    case InstanceState::killing:
      // Killed for a crash it comes back by itself, and a stop meanwhile forgets this.
      wanted_again_ = true;
      return {};
    case InstanceState::starting:
    case InstanceState::ready:
    case InstanceState::backing_off: return {};
  }
  return {};
}

Actions InstanceMachine::stop(Time now) {
  wanted_again_ = false;
  switch (state_) {
    case InstanceState::starting:
    case InstanceState::ready:
      next_poll_.reset();
      deadline_.reset();
      state_ = InstanceState::stopping;
      if (!process_) return {};  // being spawned: what comes of it will be ended
      deadline_ = now + policy_.stop_timeout;
      return {{ActionKind::terminate, {}}};
    case InstanceState::killing: crash_reason_.reset(); return {};
    case InstanceState::backing_off:
    case InstanceState::failed: return finish_stop(now);
    case InstanceState::stopped:
    case InstanceState::stopping: return {};
  }
  return {};
}

Actions InstanceMachine::spawned(Time now) {
  process_ = true;
  if (state_ == InstanceState::stopping) {
    deadline_ = now + policy_.stop_timeout;
    return {{ActionKind::terminate, {}}};
  }
  // The check is not begun at once: nothing listens yet a few milliseconds after exec.
  poll_delay_ = policy_.first_poll;
  poll_after(now, poll_delay_);
  return {};
}

Actions InstanceMachine::spawn_failed(Time now, Error reason, Fault fault) {
  process_ = false;
  if (state_ == InstanceState::stopping) return finish_stop(now);
  return after_crash(now, std::move(reason), fault);
}

Actions InstanceMachine::health(Time now, Health answer) {
  if (state_ == InstanceState::starting) {
    if (answer != Health::ok) {
      poll_delay_ = std::min(policy_.slowest_poll, poll_delay_ * 11 / 10);
      poll_after(now, poll_delay_);
      return {};
    }
    state_ = InstanceState::ready;
    deadline_.reset();
    ready_since_ = now;
    unanswered_ = ports_tried_ = 0;
    poll_after(now, policy_.health_interval);
    return {{ActionKind::tell_ready, {}}};
  }
  if (state_ != InstanceState::ready) return {};
  unanswered_ = answer == Health::unanswered ? unanswered_ + 1 : 0;
  if (unanswered_ >= policy_.health_failures) {
    Error hung =
        fail(ErrorCode::unavailable, "the engine did not answer " + std::to_string(unanswered_) +
                                         " health checks in a row");
    Actions actions{{ActionKind::tell_down, hung}};
    std::ranges::move(kill_as_crashed(std::move(hung)), std::back_inserter(actions));
    return actions;
  }
  poll_after(now, policy_.health_interval);
  return {};
}

Actions InstanceMachine::exited(Time now, Error reason, Fault fault) {
  if (!process_) return {};
  process_ = false;
  next_poll_.reset();
  switch (state_) {
    case InstanceState::starting: return after_crash(now, std::move(reason), fault);
    case InstanceState::ready: {
      Actions actions{{ActionKind::tell_down, reason}};
      // An engine that served once is worth another try whatever its last words were.
      std::ranges::move(after_crash(now, std::move(reason), Fault::crash),
                        std::back_inserter(actions));
      return actions;
    }
    case InstanceState::killing:
      if (crash_reason_) {
        Error why = std::move(*crash_reason_);
        crash_reason_.reset();
        return after_crash(now, std::move(why), Fault::crash);
      }
      return finish_stop(now);
    case InstanceState::stopping: return finish_stop(now);
    case InstanceState::stopped:
    case InstanceState::backing_off:
    case InstanceState::failed: return {};
  }
  return {};
}

Actions InstanceMachine::tick(Time now) {
  if (deadline_ && now >= *deadline_) {
    deadline_.reset();
    switch (state_) {
      case InstanceState::starting:
        return kill_as_crashed(
            fail(ErrorCode::timeout,
                 "the engine was not ready within " + format_duration(policy_.start_timeout))
                .hint("raise engines.llama_server.start_timeout for a large model"));
      case InstanceState::stopping:
        state_ = InstanceState::killing;
        return {{ActionKind::kill, {}}};
      case InstanceState::backing_off: ++restarts_; return spawn(now);
      default: return {};
    }
  }
  if (next_poll_ && now >= *next_poll_) {
    next_poll_.reset();  // until the answer is in
    return {{ActionKind::check_health, {}}};
  }
  return {};
}

std::optional<InstanceMachine::Time> InstanceMachine::wake_at() const {
  if (deadline_ && next_poll_) return std::min(*deadline_, *next_poll_);
  return deadline_ ? deadline_ : next_poll_;
}

Actions InstanceMachine::spawn(Time now) {
  state_ = InstanceState::starting;
  deadline_ = now + policy_.start_timeout;
  next_poll_.reset();
  ready_since_.reset();
  return {{ActionKind::spawn, {}}};
}

Actions InstanceMachine::after_crash(Time now, Error reason, Fault fault) {
  deadline_.reset();
  next_poll_.reset();
  if (fault == Fault::port_taken && ++ports_tried_ <= policy_.port_retries) return spawn(now);
  if (ready_since_ && now - *ready_since_ >= policy_.healthy_after) crashes_ = 0;
  ready_since_.reset();
  ++crashes_;
  last_error_ = reason;
  if (fault == Fault::permanent || crashes_ >= std::max(policy_.restart_limit, 1u)) {
    state_ = InstanceState::failed;
    return {{ActionKind::tell_failed, std::move(reason)}};
  }
  state_ = InstanceState::backing_off;
  deadline_ = now + backoff();
  return {};
}

Actions InstanceMachine::kill_as_crashed(Error reason) {
  state_ = InstanceState::killing;
  deadline_.reset();
  next_poll_.reset();
  crash_reason_ = std::move(reason);
  return {{ActionKind::kill, {}}};
}

Actions InstanceMachine::finish_stop(Time now) {
  deadline_.reset();
  state_ = InstanceState::stopped;
  Actions actions{{ActionKind::tell_stopped, {}}};
  if (!std::exchange(wanted_again_, false)) return actions;
  std::ranges::move(start(now), std::back_inserter(actions));
  return actions;
}

InstancePolicy::Duration InstanceMachine::backoff() const {
  auto delay = std::min(policy_.restart_backoff, policy_.restart_backoff_max);
  for (unsigned i = 1; i < crashes_ && delay < policy_.restart_backoff_max; ++i)
    delay = std::min(delay * 2, policy_.restart_backoff_max);
  return delay;
}

}  // namespace corral::engines
