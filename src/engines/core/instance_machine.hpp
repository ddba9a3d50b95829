// The life of one engine process as a pure state machine: events and the time come in, actions come
// out. No sockets, no processes, no sleeping; the driver (engines/instance.hpp) performs the
// actions and reports what became of them. The diagram is in docs/state-machines/instance.md.
//
// Thread rule: one owner.
// Lifecycle: begins `stopped`; any number of starts and stops. The driver calls `tick` at
// `wake_at`, and reports exactly one `exited` for each `spawned`. Example:
//   InstanceMachine machine(policy);
//   perform(machine.start(clock.now()));   // Action::spawn -> machine.spawned(clock.now())
//   perform(machine.tick(*machine.wake_at()));
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "sys/clock.hpp"

namespace corral::engines {

enum class InstanceState {
  stopped,      // no process, none wanted
  starting,     // a process was asked for or runs, and does not serve yet
  ready,        // serves
  stopping,     // SIGTERM was sent
  killing,      // SIGKILL was sent
  backing_off,  // crashed; will be started again
  failed,       // crashed too often, or in a way that will not mend by itself
};
std::string_view to_string(InstanceState state);

struct InstancePolicy {
  using Duration = std::chrono::milliseconds;
  Duration start_timeout{120'000};  // from spawn to ready
  Duration stop_timeout{5'000};     // from SIGTERM to SIGKILL
  Duration restart_backoff{500};    // after the first crash; doubles with each in a row
  Duration restart_backoff_max{30'000};
  unsigned restart_limit = 3;      // crashes in a row until `failed`; 0 counts as 1
  Duration healthy_after{60'000};  // so long ready: earlier crashes are forgotten
  // Health checks while starting begin so close together, and slow down to a tenth of the time that
  // it takes, but no more than to slowest_poll. What is waited longer is lost for the first
  // request.
  Duration first_poll{10};
  Duration slowest_poll{250};
  Duration health_interval{5'000};  // between health checks while ready
  unsigned health_failures = 6;     // unanswered in a row until it counts as hung
  unsigned port_retries = 10;       // other ports tried when one is taken
};

enum class ActionKind {
  spawn,         // start a process on a free port; report spawned or spawn_failed
  check_health,  // ask once; report health
  terminate,     // SIGTERM
  kill,          // SIGKILL to the whole group
  tell_ready,
  tell_down,    // it was ready and is no more; `reason` says why. Not after stop()
  tell_failed,  // `reason` says why; only start() leads on from here
  tell_stopped,
};

struct Action {
  ActionKind kind;
  std::optional<Error> reason;
};
using Actions = std::vector<Action>;

enum class Health { ok, loading, unanswered };

// Why a process ended or could not be started, as far as that decides what comes next.
enum class Fault {
  crash,       // may go better next time
  permanent,   // will not: a broken model, a bad argument, no engine
  port_taken,  // somebody was faster; another port will do
};

class InstanceMachine {
 public:
  using Time = sys::Steady;

  explicit InstanceMachine(InstancePolicy policy) : policy_(policy) {}

  Actions start(Time now);
  Actions stop(Time now);
  Actions spawned(Time now);
  Actions spawn_failed(Time now, Error reason, Fault fault);
  Actions health(Time now, Health answer);
  Actions exited(Time now, Error reason, Fault fault);
  Actions tick(Time now);

  // When `tick` is due; none when only an event can lead on.
  std::optional<Time> wake_at() const;

  InstanceState state() const { return state_; }
  bool has_process() const { return process_; }
  unsigned restarts() const { return restarts_; }  // since start()
  unsigned crashes_in_a_row() const { return crashes_; }
  const std::optional<Error>& last_error() const { return last_error_; }  // since start()

 private:
  Actions spawn(Time now);
  Actions after_crash(Time now, Error reason, Fault fault);
  Actions kill_as_crashed(Error reason);
  Actions finish_stop(Time now);
  InstancePolicy::Duration backoff() const;
  void poll_after(Time now, InstancePolicy::Duration delay) { next_poll_ = now + delay; }

  InstancePolicy policy_;
  InstanceState state_ = InstanceState::stopped;
  bool process_ = false;       // spawned and not yet exited
  bool wanted_again_ = false;  // start() came while it was being stopped
  unsigned crashes_ = 0;
  unsigned restarts_ = 0;
  unsigned unanswered_ = 0;
  unsigned ports_tried_ = 0;
  InstancePolicy::Duration poll_delay_{0};
  std::optional<Time> next_poll_;  // none while a health check is under way
  std::optional<Time> deadline_;   // of the state
  std::optional<Time> ready_since_;
  std::optional<Error> crash_reason_;  // killing because of this, not because of stop()
  std::optional<Error> last_error_;
};

}  // namespace corral::engines
