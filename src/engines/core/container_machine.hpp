// The life of one container of ours as a pure state machine: events and the time come in, actions
// come out. No sockets, no sleeping; the driver (engines/docker/container.hpp) performs the actions
// and reports what became of them. The diagram is in docs/state-machines/container.md.
//
// One step (look, pull, create, start, stop, remove) is under way at a time; what is wished
// meanwhile is done when the step has ended.
// Thread rule: one owner. Lifecycle: begins `absent`; the driver calls `tick` at `wake_at`, and
// reports exactly one of looked(), done() and failed() for each step.
// Example:
//   ContainerMachine machine(policy);
//   perform(machine.start(clock.now()));  // look -> machine.looked(now, {.exists = false})
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "sys/clock.hpp"

namespace corral::engines {

enum class ContainerState {
  absent,       // none, as far as is known, and none wanted
  looking,      // asking what is there
  pulling,      // its image comes
  creating,     // it is made, or an old one taken away for it
  starting,     // was started, and does not answer yet
  ready,        // answers
  stopping,     // is being stopped or removed
  stopped,      // there, and does not run
  backing_off,  // something failed; is tried again
  failed,       // failed too often, or in a way that will not mend by itself
};
std::string_view to_string(ContainerState state);

struct ContainerPolicy {
  using Duration = std::chrono::milliseconds;
  Duration start_timeout{120'000};  // from started to ready
  Duration restart_backoff{1'000};  // after the first failure; doubles with each in a row
  Duration restart_backoff_max{60'000};
  unsigned restart_limit = 3;      // crashes in a row until `failed`
  Duration healthy_after{60'000};  // so long ready: earlier crashes are forgotten
  Duration first_poll{50};         // health checks while starting; slower with each
  Duration slowest_poll{1'000};
  Duration health_interval{5'000};  // while ready
  unsigned health_failures = 6;     // in a row until it counts as hung
  bool pull = true;                 // an image that is not there
};

enum class ContainerActionKind {
  look,    // what is there by its name; report looked
  pull,    // the image
  create,  // the container
  start,   // run it; done when it runs
  stop,    // if it runs
  remove,  // stop it and take it away, if it is there
  cancel,  // the step under way, which then fails
  check,   // ask once whether it answers; report health
  tell_ready,
  tell_down,  // it was ready and is no more; `reason` says why. Not after stop()
  tell_failed,
  tell_stopped,
};

struct ContainerAction {
  ContainerActionKind kind;
  std::optional<Error> reason;
};
using ContainerActions = std::vector<ContainerAction>;

// What is there by the container's name.
struct ContainerFinding {
  bool exists = false;
  bool running = false;
  bool ours = false;       // has our label
  bool same_spec = false;  // made from just these settings
  bool image = false;      // the image is there
};

enum class ContainerFault {
  crash,      // may go better next time, but not for ever
  permanent,  // will not: no such image, a name that is taken
  later,      // Docker or a registry cannot be reached now: that is nobody's crash
};

class ContainerMachine {
 public:
  using Time = sys::Steady;
  using Actions = ContainerActions;

  explicit ContainerMachine(ContainerPolicy policy) : policy_(policy) {}

  Actions start(Time now);  // nothing if it is wanted already, unless it failed
  Actions stop(Time now);
  Actions restart(Time now);  // also after it failed
  Actions remove(Time now);

  Actions looked(Time now, const ContainerFinding& finding);
  Actions done(Time now);
  Actions failed(Time now, Error reason, ContainerFault fault);
  // The container ended, or vanished. Means nothing while a step is under way.
  Actions ended(Time now, Error reason);
  Actions health(Time now, bool answers);
  Actions tick(Time now);

  std::optional<Time> wake_at() const;  // when `tick` is due; none: only an event leads on

  ContainerState state() const { return state_; }
  bool busy() const { return step_.has_value(); }
  bool wanted() const { return wish_ == Wish::run; }
  unsigned restarts() const { return restarts_; }  // since start()
  const std::optional<Error>& last_error() const { return last_error_; }

 private:
  enum class Wish { run, stop, remove };
  using Kind = ContainerActionKind;

  Actions begin(ContainerState state, Kind step);
  Actions end_as_wished();
  Actions fresh_start();
  Actions after_failure(Time now, Error reason, ContainerFault fault);
  Actions stop_as_crashed(Error reason);
  void quiet();  // no timer
  ContainerPolicy::Duration backoff(unsigned failures) const;

  ContainerPolicy policy_;
  ContainerState state_ = ContainerState::absent;
  Wish wish_ = Wish::stop;
  std::optional<Kind> step_;
  bool again_ = false;  // start once it has stopped
  unsigned crashes_ = 0;
  unsigned delays_ = 0;  // failures in a row that are nobody's crash
  unsigned restarts_ = 0;
  unsigned unanswered_ = 0;
  ContainerPolicy::Duration poll_delay_{0};
  std::optional<Time> next_poll_;
  std::optional<Time> deadline_;  // of the state
  std::optional<Time> ready_since_;
  std::optional<Error> crash_reason_;  // being stopped because of this
  std::optional<Error> last_error_;
};

}  // namespace corral::engines
