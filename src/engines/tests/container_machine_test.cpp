// The life of a container, driven by hand.
#include "engines/core/container_machine.hpp"

#include <gtest/gtest.h>

#include <string>

namespace corral::engines::container_machine_test {
namespace {

using namespace std::chrono_literals;
using Kind = ContainerActionKind;
using State = ContainerState;

constexpr ContainerFinding kNothing{};
constexpr ContainerFinding kImageOnly{.image = true};
constexpr ContainerFinding kRuns{.exists = true, .running = true, .ours = true, .same_spec = true};
constexpr ContainerFinding kStands{.exists = true, .ours = true, .same_spec = true};

std::string_view name(Kind kind) {
  switch (kind) {
    case Kind::look: return "look";
    case Kind::pull: return "pull";
    case Kind::create: return "create";
    case Kind::start: return "start";
    case Kind::stop: return "stop";
    case Kind::remove: return "remove";
    case Kind::cancel: return "cancel";
    case Kind::check: return "check";
    case Kind::tell_ready: return "ready";
    case Kind::tell_down: return "down";
    case Kind::tell_failed: return "failed";
    case Kind::tell_stopped: return "stopped";
  }
  return "?";
}

std::string text(const ContainerActions& actions) {
  std::string all;
  for (const auto& each : actions) all += (all.empty() ? "" : " ") + std::string(name(each.kind));
  return all;
}

Error crash() { return fail(ErrorCode::upstream, "crashed"); }

class ContainerMachineTest : public testing::Test {
 protected:
  // Lets the clock go on to the next tick.
  std::string tick() {
    auto due = machine_.wake_at();
    if (!due) return "never";
    now_ = *due;
    return text(machine_.tick(now_));
  }
  void make_ready() {
    machine_.start(now_);
    machine_.looked(now_, kRuns);
    machine_.health(now_, true);
    ASSERT_EQ(machine_.state(), State::ready);
  }
  std::string done() { return text(machine_.done(now_)); }
  std::string fails(ContainerFault fault) { return text(machine_.failed(now_, crash(), fault)); }
  std::string stop() { return text(machine_.stop(now_)); }

  ContainerPolicy policy_;
  ContainerMachine machine_{policy_};
  sys::Steady now_{};
};

TEST_F(ContainerMachineTest, PullsMakesStartsAndChecks) {
  EXPECT_EQ(machine_.state(), State::absent);
  EXPECT_EQ(text(machine_.start(now_)), "look");
  EXPECT_EQ(machine_.state(), State::looking);
  EXPECT_TRUE(machine_.busy());
  EXPECT_EQ(text(machine_.start(now_)), "");  // wanted already
  EXPECT_EQ(text(machine_.looked(now_, kNothing)), "pull");
  EXPECT_EQ(machine_.state(), State::pulling);
  EXPECT_EQ(done(), "look");
  EXPECT_EQ(text(machine_.looked(now_, kImageOnly)), "create");
  EXPECT_EQ(machine_.state(), State::creating);
  EXPECT_EQ(done(), "start");
  EXPECT_EQ(machine_.state(), State::starting);
  EXPECT_EQ(done(), "");
  EXPECT_FALSE(machine_.busy());
  auto begun = now_;
  EXPECT_EQ(tick(), "check");
  EXPECT_EQ(now_ - begun, policy_.first_poll);
  EXPECT_EQ(text(machine_.tick(now_)), "");  // one check at a time
  EXPECT_EQ(text(machine_.health(now_, false)), "");
  auto asked = now_;
  EXPECT_EQ(tick(), "check");
  EXPECT_GT(now_ - asked, policy_.first_poll);
  EXPECT_EQ(text(machine_.health(now_, true)), "ready");
  EXPECT_EQ(machine_.state(), State::ready);
  EXPECT_EQ(tick(), "check");
}

TEST_F(ContainerMachineTest, ChecksNeverGetSlowerThanTheSlowest) {
  machine_.start(now_);
  machine_.looked(now_, kRuns);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(tick(), "check");
    machine_.health(now_, false);
  }
  EXPECT_EQ(*machine_.wake_at() - now_, policy_.slowest_poll);
}

TEST_F(ContainerMachineTest, TakesOverWhatRuns) {
  machine_.start(now_);
  EXPECT_EQ(text(machine_.looked(now_, kRuns)), "");
  EXPECT_EQ(machine_.state(), State::starting);
  EXPECT_FALSE(machine_.busy());
  EXPECT_EQ(tick(), "check");
}

TEST_F(ContainerMachineTest, StartsWhatStandsAndReplacesWhatIsOtherwise) {
  machine_.start(now_);
  EXPECT_EQ(text(machine_.looked(now_, kStands)), "start");
  ContainerMachine other(policy_);
  other.start(now_);
  auto differs = kRuns;
  differs.same_spec = false;
  EXPECT_EQ(text(other.looked(now_, differs)), "remove");
  EXPECT_EQ(other.state(), State::creating);
  EXPECT_EQ(text(other.done(now_)), "look");
}

TEST_F(ContainerMachineTest, LeavesWhatOthersMadeAlone) {
  machine_.start(now_);
  auto foreign = kRuns;
  foreign.ours = false;
  EXPECT_EQ(text(machine_.looked(now_, foreign)), "failed");
  EXPECT_EQ(machine_.state(), State::failed);
  EXPECT_EQ(machine_.last_error()->code, ErrorCode::conflict);
  EXPECT_EQ(machine_.wake_at(), std::nullopt);
  EXPECT_EQ(text(machine_.start(now_)), "look");  // whoever asks again may have mended it
  EXPECT_EQ(machine_.last_error(), std::nullopt);
}

TEST_F(ContainerMachineTest, WithoutPullAMissingImageFails) {
  policy_.pull = false;
  machine_ = ContainerMachine(policy_);
  machine_.start(now_);
  EXPECT_EQ(text(machine_.looked(now_, kNothing)), "failed");
  EXPECT_EQ(machine_.last_error()->code, ErrorCode::not_found);
}

TEST_F(ContainerMachineTest, ACrashBacksOffAndThreeInARowFail) {
  make_ready();
  EXPECT_EQ(text(machine_.ended(now_, crash())), "down");
  EXPECT_EQ(machine_.state(), State::backing_off);
  auto since = now_;
  EXPECT_EQ(tick(), "look");
  EXPECT_EQ(now_ - since, policy_.restart_backoff);
  EXPECT_EQ(machine_.restarts(), 1u);
  machine_.looked(now_, kStands);
  EXPECT_EQ(fails(ContainerFault::crash), "");
  since = now_;
  EXPECT_EQ(tick(), "look");
  EXPECT_EQ(now_ - since, policy_.restart_backoff * 2);
  machine_.looked(now_, kStands);
  EXPECT_EQ(fails(ContainerFault::crash), "failed");
  EXPECT_EQ(machine_.state(), State::failed);
  EXPECT_EQ(machine_.restarts(), 2u);
}

TEST_F(ContainerMachineTest, AMinuteOfReadinessForgivesCrashes) {
  for (int i = 0; i < 5; ++i) {
    if (i == 0) {
      make_ready();
    } else {
      EXPECT_EQ(tick(), "look");
      machine_.looked(now_, kRuns);
      machine_.health(now_, true);
    }
    now_ += policy_.healthy_after;
    machine_.ended(now_, crash());
    ASSERT_EQ(machine_.state(), State::backing_off) << i;
  }
  EXPECT_EQ(*machine_.wake_at() - now_, policy_.restart_backoff);
}

TEST_F(ContainerMachineTest, WhatIsNobodysFaultIsTriedForEver) {
  machine_.start(now_);
  auto longest = 0ms;
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(fails(ContainerFault::later), "");
    ASSERT_EQ(machine_.state(), State::backing_off);
    longest = std::max(
        longest, std::chrono::duration_cast<std::chrono::milliseconds>(*machine_.wake_at() - now_));
    EXPECT_EQ(tick(), "look");
  }
  EXPECT_EQ(longest, policy_.restart_backoff_max);
}

TEST_F(ContainerMachineTest, APullThatFailsWaitsLongerEachTime) {
  machine_.start(now_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(text(machine_.looked(now_, kNothing)), "pull");
    EXPECT_EQ(fails(ContainerFault::later), "");
    EXPECT_EQ(*machine_.wake_at() - now_, policy_.restart_backoff * (1 << i));
    EXPECT_EQ(tick(), "look");
  }
}

TEST_F(ContainerMachineTest, HungIsStoppedAndStartedAgain) {
  make_ready();
  for (unsigned i = 1; i < policy_.health_failures; ++i) {
    EXPECT_EQ(tick(), "check");
    EXPECT_EQ(text(machine_.health(now_, false)), "");
  }
  EXPECT_EQ(tick(), "check");
  EXPECT_EQ(text(machine_.health(now_, false)), "down stop");
  EXPECT_EQ(machine_.state(), State::stopping);
  EXPECT_EQ(text(machine_.ended(now_, crash())), "");  // as was asked for
  EXPECT_EQ(done(), "");
  EXPECT_EQ(machine_.state(), State::backing_off);
  EXPECT_EQ(tick(), "look");
}

TEST_F(ContainerMachineTest, OneAnswerForgivesSilence) {
  make_ready();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(text(machine_.health(now_, i % 3 == 0)), "");
  }
  EXPECT_EQ(machine_.state(), State::ready);
}

TEST_F(ContainerMachineTest, NotReadyInTimeIsACrash) {
  machine_.start(now_);
  machine_.looked(now_, kRuns);
  now_ += policy_.start_timeout;
  EXPECT_EQ(text(machine_.tick(now_)), "stop");
  EXPECT_EQ(done(), "");
  EXPECT_EQ(machine_.state(), State::backing_off);
  EXPECT_EQ(machine_.last_error()->code, ErrorCode::timeout);
}

TEST_F(ContainerMachineTest, StopsFromReady) {
  make_ready();
  EXPECT_EQ(stop(), "stop");
  EXPECT_EQ(machine_.state(), State::stopping);
  EXPECT_EQ(machine_.wake_at(), std::nullopt);
  EXPECT_EQ(stop(), "");  // under way
  EXPECT_EQ(done(), "stopped");
  EXPECT_EQ(machine_.state(), State::stopped);
  EXPECT_EQ(stop(), "stopped");
  EXPECT_EQ(text(machine_.start(now_)), "look");
}

TEST_F(ContainerMachineTest, StopCutsAPullShort) {
  machine_.start(now_);
  machine_.looked(now_, kNothing);
  EXPECT_EQ(stop(), "cancel");
  EXPECT_EQ(fails(ContainerFault::later), "stop");
  EXPECT_EQ(done(), "stopped");
}

TEST_F(ContainerMachineTest, StopWaitsForTheStepUnderWay) {
  machine_.start(now_);
  EXPECT_EQ(stop(), "");
  EXPECT_EQ(text(machine_.looked(now_, kRuns)), "stop");
  EXPECT_EQ(text(machine_.start(now_)), "");  // remembered
  EXPECT_EQ(done(), "stopped look");
  EXPECT_EQ(machine_.state(), State::looking);
}

TEST_F(ContainerMachineTest, StopDuringCreateAndStartStopsWhatCame) {
  machine_.start(now_);
  machine_.looked(now_, kImageOnly);
  stop();
  EXPECT_EQ(done(), "stop");
  EXPECT_EQ(done(), "stopped");
}

TEST_F(ContainerMachineTest, AStopThatFailsSaysSo) {
  make_ready();
  stop();
  EXPECT_EQ(fails(ContainerFault::later), "failed");
  EXPECT_EQ(machine_.state(), State::failed);
  EXPECT_EQ(stop(), "stop");
}

TEST_F(ContainerMachineTest, AFailedStopWithAStartBehindItBeginsAnew) {
  make_ready();
  stop();
  machine_.start(now_);
  EXPECT_EQ(fails(ContainerFault::crash), "failed look");
}

TEST_F(ContainerMachineTest, RemovesFromAnywhere) {
  EXPECT_EQ(text(machine_.remove(now_)), "remove");  // one of an earlier run may be there
  EXPECT_EQ(done(), "stopped");
  EXPECT_EQ(machine_.state(), State::absent);
  make_ready();
  EXPECT_EQ(text(machine_.remove(now_)), "remove");
  EXPECT_EQ(done(), "stopped");
  EXPECT_EQ(machine_.state(), State::absent);
}

TEST_F(ContainerMachineTest, RemoveAfterAStopUnderWay) {
  make_ready();
  stop();
  EXPECT_EQ(text(machine_.remove(now_)), "");
  EXPECT_EQ(done(), "remove");
  EXPECT_EQ(done(), "stopped");
  EXPECT_EQ(machine_.state(), State::absent);
}

TEST_F(ContainerMachineTest, RestartsFromAnywhere) {
  EXPECT_EQ(text(machine_.restart(now_)), "look");
  machine_.looked(now_, kRuns);
  machine_.health(now_, true);
  EXPECT_EQ(text(machine_.restart(now_)), "stop");
  EXPECT_EQ(done(), "stopped look");
  machine_.looked(now_, kStands);
  fails(ContainerFault::permanent);
  EXPECT_EQ(machine_.state(), State::failed);
  EXPECT_EQ(text(machine_.restart(now_)), "look");
}

TEST_F(ContainerMachineTest, StopWhileBackingOffOrFailed) {
  make_ready();
  machine_.ended(now_, crash());
  EXPECT_EQ(stop(), "stop");
  EXPECT_EQ(done(), "stopped");
  machine_.start(now_);
  fails(ContainerFault::permanent);
  EXPECT_EQ(stop(), "stop");
  EXPECT_EQ(done(), "stopped");
}

TEST_F(ContainerMachineTest, WhatDoesNotFitIsNothing) {
  EXPECT_EQ(done(), "");
  EXPECT_EQ(fails(ContainerFault::crash), "");
  EXPECT_EQ(text(machine_.ended(now_, crash())), "");
  EXPECT_EQ(text(machine_.health(now_, true)), "");
  EXPECT_EQ(text(machine_.tick(now_)), "");
  machine_.start(now_);
  EXPECT_EQ(text(machine_.health(now_, true)), "");
  EXPECT_EQ(machine_.state(), State::looking);
}

TEST_F(ContainerMachineTest, EveryStateHasAName) {
  for (auto state :
       {State::absent, State::looking, State::pulling, State::creating, State::starting,
        State::ready, State::stopping, State::stopped, State::backing_off, State::failed}) {
    EXPECT_NE(to_string(state), "unknown");
  }
}

}  // namespace
}  // namespace corral::engines::container_machine_test
