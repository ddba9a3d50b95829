// The rules of the machine hold whatever happens.
#include <gtest/gtest.h>

#include <random>
#include <utility>

#include "engines/tests/instance_machine_fixture.hpp"

namespace corral::engines::instance_machine_property_test {
namespace {

// Random events against a small model of the outside world. Whatever comes: at most one process;
// signals only to a process; ready and down alternate; after stop() it always comes to rest.
class World {
 public:
  explicit World(unsigned seed, InstancePolicy policy) : random_(seed), machine_(policy) {}

  void step() {
    clock_.advance(std::chrono::milliseconds(random_() % 700));
    switch (random_() % 8) {
      case 0:
        wanted_ = true;
        take(machine_.start(now()));
        break;
      case 1:
        wanted_ = false;
        take(machine_.stop(now()));
        break;
      case 2: end_process(); break;
      case 3:
      case 4: answer_check(); break;
      default: take(machine_.tick(now())); break;
    }
    check();
  }

  void come_to_rest() {
    take(machine_.stop(now()));
    for (int i = 0; i < 10 && machine_.state() != InstanceState::stopped; ++i) {
      if (auto at = machine_.wake_at()) {
        if (*at > now()) clock_.advance(*at - now());
        take(machine_.tick(now()));
      } else {
        end_process();
      }
    }
    EXPECT_EQ(machine_.state(), InstanceState::stopped);
    EXPECT_FALSE(process_);
    EXPECT_FALSE(machine_.wake_at());
  }

 private:
  sys::Steady now() const { return clock_.now(); }

  void end_process() {
    if (!process_) return;
    process_ = false;
    check_open_ = false;
    Fault faults[] = {Fault::crash, Fault::crash, Fault::port_taken, Fault::permanent};
    take(machine_.exited(now(), crash(), faults[random_() % 4]));
  }

  void answer_check() {
    if (!std::exchange(check_open_, false)) return;
    Health answers[] = {Health::ok, Health::loading, Health::unanswered};
    take(machine_.health(now(), answers[random_() % 3]));
  }

  void take(Actions actions) {
    for (const Action& action : actions) {
      switch (action.kind) {
        case ActionKind::spawn:
          ASSERT_FALSE(process_);
          if (random_() % 5 == 0) {
            take(machine_.spawn_failed(now(), crash(), Fault::crash));
          } else {
            process_ = true;
            take(machine_.spawned(now()));
          }
          break;
        case ActionKind::check_health:
          ASSERT_TRUE(process_);
          ASSERT_FALSE(check_open_);
          check_open_ = true;
          break;
        case ActionKind::terminate:
          ASSERT_TRUE(process_);
          told_ready_ = false;
          break;
        case ActionKind::kill: ASSERT_TRUE(process_); break;
        case ActionKind::tell_ready: ASSERT_FALSE(std::exchange(told_ready_, true)); break;
        case ActionKind::tell_down: ASSERT_TRUE(std::exchange(told_ready_, false)); break;
        case ActionKind::tell_failed: ASSERT_TRUE(action.reason); break;
        case ActionKind::tell_stopped: ASSERT_FALSE(process_); break;
      }
    }
  }

  void check() {
    EXPECT_EQ(machine_.has_process(), process_);
    InstanceState state = machine_.state();
    if (state == InstanceState::stopped || state == InstanceState::failed ||
        state == InstanceState::backing_off)
      EXPECT_FALSE(process_);
    EXPECT_EQ(state == InstanceState::ready, told_ready_);
    if (wanted_) EXPECT_NE(state, InstanceState::stopped);
    // Something always leads on: a process that will end, or a time.
    if (state == InstanceState::backing_off || state == InstanceState::starting)
      EXPECT_TRUE(machine_.wake_at());
  }

  std::mt19937 random_;
  sys::ManualClock clock_;
  InstanceMachine machine_;
  bool wanted_ = false;
  bool process_ = false;
  bool check_open_ = false;
  bool told_ready_ = false;
};

using InstanceMachineProperty = InstanceMachineTest;

TEST_F(InstanceMachineProperty, RulesHoldForAnyOrderOfEvents) {
  for (unsigned seed = 1; seed <= 300 && !HasFailure(); ++seed) {
    World world(seed, policy());
    for (int i = 0; i < 300; ++i) world.step();
    world.come_to_rest();
    if (HasFailure()) ADD_FAILURE() << "seed " << seed;
  }
}

}  // namespace
}  // namespace corral::engines::instance_machine_property_test
