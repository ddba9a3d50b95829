#include "engines/core/instance_machine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engines/tests/instance_machine_fixture.hpp"

namespace corral::engines::instance_machine_test {
namespace {

using namespace std::chrono_literals;

TEST_F(InstanceMachineTest, StartsPollsAndBecomesReady) {
  EXPECT_EQ(state(), InstanceState::stopped);
  EXPECT_FALSE(machine_.wake_at());
  start_process();
  EXPECT_EQ(state(), InstanceState::starting);
  EXPECT_TRUE(machine_.has_process());
  EXPECT_EQ(*machine_.wake_at(), now() + 10ms);
  EXPECT_EQ(kinds(machine_.tick(now())), Kinds{});  // not due yet
  become_ready();
  EXPECT_EQ(*machine_.wake_at(), now() + 5s);  // the next check
}

TEST_F(InstanceMachineTest, PollsSlowDown) {
  start_process();
  std::vector<std::chrono::nanoseconds> gaps;
  for (int i = 0; i < 40; ++i) {
    auto before = now();
    ASSERT_EQ(next(), Kinds{ActionKind::check_health});
    gaps.push_back(now() - before);
    // One check at a time: while it is under way only the deadline counts.
    EXPECT_EQ(kinds(machine_.tick(now() + 1s)), Kinds{});
    machine_.health(now(), i % 2 == 0 ? Health::loading : Health::unanswered);
  }
  EXPECT_EQ(gaps.front(), 10ms);
  EXPECT_EQ(gaps[1], 11ms);  // a tenth more each time: never late by more than that
  EXPECT_EQ(gaps.back(), 250ms);
  EXPECT_TRUE(std::ranges::is_sorted(gaps));
}

TEST_F(InstanceMachineTest, StoppingIsSigtermThenSigkill) {
  start_process();
  become_ready();
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{ActionKind::terminate});
  EXPECT_EQ(state(), InstanceState::stopping);
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{});  // once is enough
  EXPECT_EQ(*machine_.wake_at(), now() + 5s);
  EXPECT_EQ(next(), Kinds{ActionKind::kill});
  EXPECT_EQ(state(), InstanceState::killing);
  EXPECT_FALSE(machine_.wake_at());
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{});
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_stopped});
  EXPECT_EQ(state(), InstanceState::stopped);
  EXPECT_FALSE(machine_.has_process());
}

TEST_F(InstanceMachineTest, AProcessThatObeysSigtermIsNotKilled) {
  start_process();
  become_ready();
  machine_.stop(now());
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_stopped});
  EXPECT_FALSE(machine_.wake_at());
  EXPECT_FALSE(machine_.last_error());  // its end was asked for
}

TEST_F(InstanceMachineTest, StopWhileLoading) {
  start_process();
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{ActionKind::terminate});
  EXPECT_EQ(kinds(machine_.health(now(), Health::ok)), Kinds{});  // a late answer
  EXPECT_EQ(state(), InstanceState::stopping);
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_stopped});
}

TEST_F(InstanceMachineTest, StopBeforeTheProcessIsThere) {
  machine_.start(now());
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{});
  EXPECT_EQ(state(), InstanceState::stopping);
  EXPECT_EQ(kinds(machine_.spawned(now())), Kinds{ActionKind::terminate});
  EXPECT_EQ(*machine_.wake_at(), now() + 5s);
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_stopped});

  machine_.start(now());
  machine_.stop(now());
  EXPECT_EQ(kinds(machine_.spawn_failed(now(), crash(), Fault::crash)),
            Kinds{ActionKind::tell_stopped});
}

TEST_F(InstanceMachineTest, StartWhileStoppingComesBackAfterwards) {
  start_process();
  become_ready();
  machine_.stop(now());
  EXPECT_EQ(kinds(machine_.start(now())), Kinds{});
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)),
            (Kinds{ActionKind::tell_stopped, ActionKind::spawn}));
  EXPECT_EQ(state(), InstanceState::starting);
}

TEST_F(InstanceMachineTest, StartAndStopWhileStoppingEndsStopped) {
  start_process();
  machine_.stop(now());
  machine_.start(now());
  machine_.stop(now());
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_stopped});
}

TEST_F(InstanceMachineTest, StartWhileKilledByStopComesBackAfterwards) {
  start_process();
  machine_.stop(now());
  ASSERT_EQ(next(), Kinds{ActionKind::kill});
  machine_.start(now());
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)),
            (Kinds{ActionKind::tell_stopped, ActionKind::spawn}));
}

TEST_F(InstanceMachineTest, StartTwiceIsStartOnce) {
  start_process();
  EXPECT_EQ(kinds(machine_.start(now())), Kinds{});
  become_ready();
  EXPECT_EQ(kinds(machine_.start(now())), Kinds{});
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_down});
  EXPECT_EQ(kinds(machine_.start(now())), Kinds{});  // backing off: no short cut
  EXPECT_EQ(state(), InstanceState::backing_off);
}

TEST_F(InstanceMachineTest, StopWhenStoppedIsNothing) {
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{});
  EXPECT_EQ(kinds(machine_.tick(now())), Kinds{});
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{});
  EXPECT_EQ(state(), InstanceState::stopped);
}

TEST_F(InstanceMachineTest, CrashesBackOffDoublingAndThenFail) {
  start_process();
  become_ready();
  EXPECT_EQ(kinds(machine_.exited(now(), crash("first"), Fault::crash)),
            Kinds{ActionKind::tell_down});
  EXPECT_EQ(last_[0].reason->message, "first");
  EXPECT_EQ(*machine_.wake_at(), now() + 500ms);
  respawn();
  EXPECT_EQ(machine_.restarts(), 1u);

  EXPECT_EQ(kinds(machine_.exited(now(), crash("second"), Fault::crash)), Kinds{});
  EXPECT_EQ(*machine_.wake_at(), now() + 1s);
  respawn();

  EXPECT_EQ(kinds(machine_.exited(now(), crash("third"), Fault::crash)),
            Kinds{ActionKind::tell_failed});
  EXPECT_EQ(last_[0].reason->message, "third");
  EXPECT_EQ(state(), InstanceState::failed);
  EXPECT_EQ(machine_.crashes_in_a_row(), 3u);
  EXPECT_EQ(machine_.last_error()->message, "third");
  EXPECT_FALSE(machine_.wake_at());
}

TEST_F(InstanceMachineTest, BackOffIsCapped) {
  InstancePolicy patient = policy();
  patient.restart_limit = 100;
  machine_ = InstanceMachine(patient);
  start_process();
  std::vector<std::chrono::nanoseconds> delays;
  for (int i = 0; i < 80; ++i) {
    machine_.exited(now(), crash(), Fault::crash);
    delays.push_back(*machine_.wake_at() - now());
    respawn();
  }
  EXPECT_EQ(delays[0], 500ms);
  EXPECT_EQ(delays[1], 1s);
  EXPECT_EQ(delays[2], 2s);
  EXPECT_EQ(delays[3], 3s);
  EXPECT_EQ(delays.back(), 3s);
}

TEST_F(InstanceMachineTest, ABackOffLongerThanItsMaximumIsTheMaximum) {
  InstancePolicy odd = policy();
  odd.restart_backoff = 10s;
  machine_ = InstanceMachine(odd);
  start_process();
  machine_.exited(now(), crash(), Fault::crash);
  EXPECT_EQ(*machine_.wake_at() - now(), 3s);
}

TEST_F(InstanceMachineTest, AHealthyMinuteForgivesEarlierCrashes) {
  start_process();
  machine_.exited(now(), crash(), Fault::crash);
  respawn();
  machine_.exited(now(), crash(), Fault::crash);
  respawn();
  become_ready();
  clock_.advance(60s);
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_down});
  EXPECT_EQ(state(), InstanceState::backing_off);
  EXPECT_EQ(machine_.crashes_in_a_row(), 1u);
  EXPECT_EQ(*machine_.wake_at(), now() + 500ms);
}

TEST_F(InstanceMachineTest, AShortHealthyTimeForgivesNothing) {
  start_process();
  machine_.exited(now(), crash(), Fault::crash);
  respawn();
  machine_.exited(now(), crash(), Fault::crash);
  respawn();
  become_ready();
  clock_.advance(59s);
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)),
            (Kinds{ActionKind::tell_down, ActionKind::tell_failed}));
}

TEST_F(InstanceMachineTest, AZeroLimitFailsAtTheFirstCrash) {
  InstancePolicy strict = policy();
  strict.restart_limit = 0;
  machine_ = InstanceMachine(strict);
  start_process();
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_failed});
}

TEST_F(InstanceMachineTest, PermanentFaultsFailAtOnce) {
  start_process();
  EXPECT_EQ(kinds(machine_.exited(now(), crash("bad model"), Fault::permanent)),
            Kinds{ActionKind::tell_failed});
  EXPECT_EQ(last_[0].reason->message, "bad model");

  machine_.start(now());
  EXPECT_EQ(kinds(machine_.spawn_failed(now(), crash("no engine"), Fault::permanent)),
            Kinds{ActionKind::tell_failed});
}

TEST_F(InstanceMachineTest, AnEngineThatServedIsTriedAgainEvenAfterAPermanentFault) {
  start_process();
  become_ready();
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::permanent)), Kinds{ActionKind::tell_down});
  EXPECT_EQ(state(), InstanceState::backing_off);
}

TEST_F(InstanceMachineTest, FailedSpawnsCountAsCrashes) {
  machine_.start(now());
  EXPECT_EQ(kinds(machine_.spawn_failed(now(), crash(), Fault::crash)), Kinds{});
  EXPECT_EQ(next(), Kinds{ActionKind::spawn});
  EXPECT_EQ(kinds(machine_.spawn_failed(now(), crash(), Fault::crash)), Kinds{});
  EXPECT_EQ(next(), Kinds{ActionKind::spawn});
  EXPECT_EQ(kinds(machine_.spawn_failed(now(), crash(), Fault::crash)),
            Kinds{ActionKind::tell_failed});
}

TEST_F(InstanceMachineTest, ATakenPortIsTriedAgainAtOnceAndIsNoCrash) {
  start_process();
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::port_taken)), Kinds{ActionKind::spawn});
  machine_.spawned(now());
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::port_taken)), Kinds{ActionKind::spawn});
  machine_.spawned(now());
  EXPECT_EQ(machine_.crashes_in_a_row(), 0u);
  // Past the limit of ports it is a crash like any other.
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::port_taken)), Kinds{});
  EXPECT_EQ(state(), InstanceState::backing_off);
  EXPECT_EQ(machine_.crashes_in_a_row(), 1u);
}

TEST_F(InstanceMachineTest, NotReadyInTimeIsKilledAndCountsAsCrash) {
  start_process();
  for (int i = 0; i < 200 && state() == InstanceState::starting; ++i) {
    if (next() == Kinds{ActionKind::check_health}) machine_.health(now(), Health::loading);
  }
  ASSERT_EQ(state(), InstanceState::killing);
  EXPECT_EQ(kinds(last_), Kinds{ActionKind::kill});
  EXPECT_FALSE(machine_.wake_at());
  EXPECT_EQ(kinds(machine_.exited(now(), crash("signal 9"), Fault::crash)), Kinds{});
  EXPECT_EQ(state(), InstanceState::backing_off);
  // The reason is the time that passed, not the signal that we sent.
  EXPECT_EQ(machine_.last_error()->code, ErrorCode::timeout);
  EXPECT_NE(machine_.last_error()->message.find("10s"), std::string::npos);
}

TEST_F(InstanceMachineTest, TheStartDeadlineHoldsWhileACheckIsUnderWay) {
  start_process();
  ASSERT_EQ(next(), Kinds{ActionKind::check_health});
  clock_.advance(10s);
  EXPECT_EQ(kinds(machine_.tick(now())), Kinds{ActionKind::kill});
}

TEST_F(InstanceMachineTest, StopWhileKilledForACrashEndsStopped) {
  start_process();
  clock_.advance(10s);
  ASSERT_EQ(kinds(machine_.tick(now())), Kinds{ActionKind::kill});
  EXPECT_EQ(kinds(machine_.start(now())), Kinds{});  // it would come back anyway
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{});
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{ActionKind::tell_stopped});
}

TEST_F(InstanceMachineTest, StopWhileBackingOff) {
  start_process();
  machine_.exited(now(), crash(), Fault::crash);
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{ActionKind::tell_stopped});
  EXPECT_FALSE(machine_.wake_at());
}

TEST_F(InstanceMachineTest, FailedCanBeStoppedOrStartedAfresh) {
  start_process();
  machine_.exited(now(), crash(), Fault::permanent);
  EXPECT_EQ(kinds(machine_.stop(now())), Kinds{ActionKind::tell_stopped});
  start_process();
  machine_.exited(now(), crash(), Fault::permanent);
  start_process();  // from failed
  EXPECT_EQ(machine_.crashes_in_a_row(), 0u);
  EXPECT_EQ(machine_.restarts(), 0u);
  EXPECT_FALSE(machine_.last_error());
}

TEST_F(InstanceMachineTest, AHungEngineIsKilledAndStartedAgain) {
  start_process();
  become_ready();
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(next(), Kinds{ActionKind::check_health});
    EXPECT_EQ(kinds(machine_.health(now(), Health::unanswered)), Kinds{});
  }
  // One answer starts the count anew; a busy engine that says "loading" is not hung.
  ASSERT_EQ(next(), Kinds{ActionKind::check_health});
  machine_.health(now(), Health::loading);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(next(), Kinds{ActionKind::check_health});
    EXPECT_EQ(kinds(machine_.health(now(), Health::unanswered)), Kinds{});
  }
  ASSERT_EQ(next(), Kinds{ActionKind::check_health});
  EXPECT_EQ(kinds(machine_.health(now(), Health::unanswered)),
            (Kinds{ActionKind::tell_down, ActionKind::kill}));
  EXPECT_EQ(state(), InstanceState::killing);
  // It was told already that it is down.
  EXPECT_EQ(kinds(machine_.exited(now(), crash(), Fault::crash)), Kinds{});
  EXPECT_EQ(state(), InstanceState::backing_off);
}

TEST_F(InstanceMachineTest, StatesHaveNames) {
  EXPECT_EQ(to_string(InstanceState::stopped), "stopped");
  EXPECT_EQ(to_string(InstanceState::starting), "starting");
  EXPECT_EQ(to_string(InstanceState::ready), "ready");
  EXPECT_EQ(to_string(InstanceState::stopping), "stopping");
  EXPECT_EQ(to_string(InstanceState::killing), "killing");
  EXPECT_EQ(to_string(InstanceState::backing_off), "backing_off");
  EXPECT_EQ(to_string(InstanceState::failed), "failed");
}

}  // namespace
}  // namespace corral::engines::instance_machine_test
