// Wakes the driver of a state machine when the machine wants to be asked again: one sleep at a
// time, replaced when another moment is set.
//
// Thread rule: belongs to its shard. Lifecycle: construct, `set` any number of times, `co_await
// close()`, destroy; whoever is woken must be there until then. Example:
//   WakeTimer timer(shard, clock, [this] { perform(machine.tick(now())); });
//   timer.set(machine.wake_at());   // after each event
#pragma once

#include <functional>
#include <optional>

#include "net/shard.hpp"
#include "net/task.hpp"
#include "sys/clock.hpp"

namespace corral::engines {

class WakeTimer {
 public:
  // `wake` is called on the shard, once for each moment that has come; it may call set().
  WakeTimer(net::Shard& shard, const sys::Clock& clock, std::function<void()> wake);

  void set(std::optional<sys::Steady> at);  // none: not again before the next call
  net::Task<void> close();

 private:
  net::Task<void> sleep_then_wake(sys::Steady until);

  const sys::Clock& clock_;
  std::function<void()> wake_;
  std::optional<sys::Steady> armed_for_;
  net::TaskGroup sleeps_;
};

}  // namespace corral::engines
