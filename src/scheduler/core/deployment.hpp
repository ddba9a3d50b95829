// What is wished for one model in one purpose, as a pure state machine: wishes and the instance's
// reports come in, actions come out. It decides when an engine is started for a request, when
// callers are let go, and when memory is given back. Diagram: docs/state-machines/deployment.md.
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

struct DeploymentAction {
  enum class Kind {
    start_instance,
    stop_instance,
    open_endpoint,   // the instance answers: requests may go there
    close_endpoint,  // nobody is let in any more
    wake_waiters,    // all callers who wait: with the endpoint, or with `error`
  };
  Kind kind;
  std::optional<Error> error;
};
using DeploymentActions = std::vector<DeploymentAction>;

class Deployment {
 public:
  using Time = sys::Steady;

  // After a failure a new request tries again, but not sooner than this.
  static constexpr std::chrono::seconds kRetryAfterFailure{10};

  // A caller wants the model; it waits unless a wake_waiters comes back.
  DeploymentActions wanted(Time now);
  // The owner of the process reports.
  DeploymentActions instance_ready();
  DeploymentActions instance_down();                       // crashed; it will be started again
  DeploymentActions instance_failed(Error why, Time now);  // and will not
  DeploymentActions instance_stopped();
  // Give the memory back. `why` goes to callers who wait.
  DeploymentActions unload(Error why);

  DeploymentState state() const { return state_; }
  const std::optional<Error>& error() const { return error_; }  // of the last failure

 private:
  DeploymentActions begin_loading();

  DeploymentState state_ = DeploymentState::unloaded;
  bool wanted_again_ = false;  // while unloading
  std::optional<Error> error_;
  Time failed_at_{};
};

}  // namespace corral::scheduler
