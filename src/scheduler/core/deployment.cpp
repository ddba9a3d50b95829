#include "scheduler/core/deployment.hpp"

namespace corral::scheduler {

using Action = DeploymentAction;

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

std::optional<Error> Deployment::refusal(Time now) const {
  if (state_ != DeploymentState::failed || now - failed_at_ >= kRetryAfterFailure) {
    return std::nullopt;
  }
  Error error = *error_;
  error.retry_after =
      std::chrono::ceil<std::chrono::seconds>(kRetryAfterFailure - (now - failed_at_));
  return error;
}

DeploymentActions Deployment::start() {
  if (state_ != DeploymentState::unloaded && state_ != DeploymentState::failed) return {};
  state_ = DeploymentState::loading;
  error_.reset();
  return {Action::start_instance};
}

DeploymentActions Deployment::instance_ready() {
  if (state_ != DeploymentState::loading) return {};  // it is being unloaded
  state_ = DeploymentState::ready;
  return {Action::open_endpoint};
}

DeploymentActions Deployment::instance_down() {
  if (state_ != DeploymentState::ready) return {};
  state_ = DeploymentState::loading;
  return {Action::close_endpoint};
}

DeploymentActions Deployment::instance_failed(Error why, Time now) {
  DeploymentActions actions;
  if (state_ == DeploymentState::ready) actions.push_back(Action::close_endpoint);
  state_ = DeploymentState::failed;
  failed_at_ = now;
  error_ = std::move(why);
  return actions;
}

DeploymentActions Deployment::instance_stopped() {
  if (state_ == DeploymentState::unloading) state_ = DeploymentState::unloaded;
  return {};
}

DeploymentActions Deployment::unload() {
  switch (state_) {
    case DeploymentState::unloaded:
    case DeploymentState::unloading: return {};
    case DeploymentState::failed:
      state_ = DeploymentState::unloaded;
      error_.reset();
      return {};
    case DeploymentState::ready:
      state_ = DeploymentState::unloading;
      return {Action::close_endpoint, Action::stop_instance};
    case DeploymentState::loading:
      state_ = DeploymentState::unloading;
      return {Action::stop_instance};
  }
  return {};
}

}  // namespace corral::scheduler
