// A machine driven by hand, for the tests of its rules.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "engines/core/instance_machine.hpp"
#include "sys/clock.hpp"

namespace corral::engines {

using Kinds = std::vector<ActionKind>;

inline Error crash(std::string text = "crashed") {
  return fail(ErrorCode::unavailable, std::move(text));
}

class InstanceMachineTest : public testing::Test {
 protected:
  InstancePolicy policy() {
    InstancePolicy policy;
    policy.start_timeout = std::chrono::seconds(10);
    policy.stop_timeout = std::chrono::seconds(5);
    policy.restart_backoff = std::chrono::milliseconds(500);
    policy.restart_backoff_max = std::chrono::seconds(3);
    policy.restart_limit = 3;
    policy.health_failures = 3;
    policy.port_retries = 2;
    return policy;
  }
  Kinds kinds(const Actions& actions) {
    Kinds result;
    for (const Action& action : actions) result.push_back(action.kind);
    last_ = actions;
    return result;
  }
  // Moves the clock to the machine's next wish and ticks.
  Kinds next() {
    EXPECT_TRUE(machine_.wake_at());
    if (auto at = machine_.wake_at(); at && *at > now()) clock_.advance(*at - now());
    return kinds(machine_.tick(now()));
  }
  sys::Steady now() const { return clock_.now(); }
  InstanceState state() const { return machine_.state(); }

  void start_process() {
    ASSERT_EQ(kinds(machine_.start(now())), Kinds{ActionKind::spawn});
    ASSERT_EQ(kinds(machine_.spawned(now())), Kinds{});
  }
  void become_ready() {
    ASSERT_EQ(next(), Kinds{ActionKind::check_health});
    ASSERT_EQ(kinds(machine_.health(now(), Health::ok)), Kinds{ActionKind::tell_ready});
    ASSERT_EQ(state(), InstanceState::ready);
  }
  void respawn() {
    ASSERT_EQ(state(), InstanceState::backing_off);
    ASSERT_EQ(next(), Kinds{ActionKind::spawn});
    machine_.spawned(now());
  }

  sys::ManualClock clock_;
  InstanceMachine machine_{policy()};
  Actions last_;
};

}  // namespace corral::engines
