// The engine of one deployment, as a pure state machine: what is decided about it and the
// instance's reports come in, actions come out. When it may be started and who waits for it is
// decided by the placement (core/placement.hpp). Diagram: docs/state-machines/deployment.md.
//
// Thread rule: one owner. Lifecycle: begins `unloaded`; lives as long as its model is known.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "sys/clock.hpp"

namespace corral::scheduler {

enum class DeploymentState { unloaded, loading, ready, unloading, failed };
std::string_view to_string(DeploymentState state);

enum class DeploymentAction {
  start_instance,
  stop_instance,
  open_endpoint,   // the instance answers: requests may go there
  close_endpoint,  // nobody is let in any more
};
using DeploymentActions = std::vector<DeploymentAction>;

class Deployment {
 public:
  using Time = sys::Steady;

  // After a failure a new request tries again, but not sooner than this.
  static constexpr std::chrono::seconds kRetryAfterFailure{10};

  // Why it is not to be tried now, with the time after which it is: it failed a moment ago.
  std::optional<Error> refusal(Time now) const;
  DeploymentActions start();  // nothing while it has an instance
  // The owner of the process reports.
  DeploymentActions instance_ready();
  DeploymentActions instance_down();                       // crashed; it will be started again
  DeploymentActions instance_failed(Error why, Time now);  // and will not
  DeploymentActions instance_stopped();
  DeploymentActions unload();  // give the memory back

  DeploymentState state() const { return state_; }
  const std::optional<Error>& error() const { return error_; }  // of the last failure

 private:
  DeploymentState state_ = DeploymentState::unloaded;
  std::optional<Error> error_;
  Time failed_at_{};
};

}  // namespace corral::scheduler
