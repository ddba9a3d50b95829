#include "scheduler/core/deployment.hpp"

namespace corral::scheduler {

using Kind = DeploymentAction::Kind;

std::string_view to_string(DeploymentState state) {
  switch (state) {
    case DeploymentState::unloaded: return "unloaded";
    case DeploymentState::loading: return "loading";
    case DeploymentState::ready: return "ready";
    case DeploymentState::unloading: return "unloading";
    case DeploymentState::failed: return "failed";
  }
  return "unknown";
}

DeploymentActions Deployment::begin_loading() {
  state_ = DeploymentState::loading;
  error_.reset();
  return {{Kind::start_instance, {}}};
}

DeploymentActions Deployment::wanted(Time now) {
  switch (state_) {
    case DeploymentState::unloaded: return begin_loading();
    case DeploymentState::loading: return {};
    case DeploymentState::ready: return {{Kind::wake_waiters, {}}};
    case DeploymentState::unloading: wanted_again_ = true; return {};
    case DeploymentState::failed: break;
  }
  if (now - failed_at_ >= kRetryAfterFailure) return begin_loading();
  auto wait = std::chrono::ceil<std::chrono::seconds>(kRetryAfterFailure - (now - failed_at_));
  Error error = *error_;
  error.retry_after = wait;
  return {{Kind::wake_waiters, std::move(error)}};
}

DeploymentActions Deployment::instance_ready() {
  if (state_ != DeploymentState::loading) return {};  // it is being unloaded
  state_ = DeploymentState::ready;
  return {{Kind::open_endpoint, {}}, {Kind::wake_waiters, {}}};
}

DeploymentActions Deployment::instance_down() {
  if (state_ != DeploymentState::ready) return {};
  state_ = DeploymentState::loading;  // callers wait for the restart
  return {{Kind::close_endpoint, {}}};
}

DeploymentActions Deployment::instance_failed(Error why, Time now) {
  DeploymentActions actions;
  if (state_ == DeploymentState::ready) actions.push_back({Kind::close_endpoint, {}});
  state_ = DeploymentState::failed;
  wanted_again_ = false;
  failed_at_ = now;
  error_ = why;
  actions.push_back({Kind::wake_waiters, std::move(why)});
  return actions;
}

DeploymentActions Deployment::instance_stopped() {
  if (state_ != DeploymentState::unloading) return {};
  if (std::exchange(wanted_again_, false)) return begin_loading();
  state_ = DeploymentState::unloaded;
  return {};
}

DeploymentActions Deployment::unload(Error why) {
  DeploymentActions actions;
  switch (state_) {
    case DeploymentState::unloaded: return {};
    case DeploymentState::unloading:
      wanted_again_ = false;
      return {{Kind::wake_waiters, std::move(why)}};
    case DeploymentState::failed:
      state_ = DeploymentState::unloaded;
      error_.reset();
      return {};
    case DeploymentState::ready: actions.push_back({Kind::close_endpoint, {}}); break;
    case DeploymentState::loading: actions.push_back({Kind::wake_waiters, std::move(why)}); break;
  }
  state_ = DeploymentState::unloading;
  actions.push_back({Kind::stop_instance, {}});
  return actions;
}

}  // namespace corral::scheduler
