#include "scheduler/core/deployment.hpp"

#include <gtest/gtest.h>

namespace corral::scheduler {
namespace {

using Kind = DeploymentAction::Kind;
using State = DeploymentState;
using std::chrono::seconds;

const sys::Steady kStart{seconds(1000)};

std::vector<Kind> kinds(const DeploymentActions& actions) {
  std::vector<Kind> result;
  for (const auto& action : actions) result.push_back(action.kind);
  return result;
}

Error broken() { return fail(ErrorCode::unavailable, "broken"); }

Deployment ready_one() {
  Deployment d;
  (void)d.wanted(kStart);
  (void)d.instance_ready();
  return d;
}

TEST(Deployment, FirstRequestStartsAndAllShareOneLoad) {
  Deployment d;
  EXPECT_EQ(kinds(d.wanted(kStart)), std::vector{Kind::start_instance});
  EXPECT_TRUE(d.wanted(kStart).empty());
  EXPECT_EQ(kinds(d.instance_ready()), (std::vector{Kind::open_endpoint, Kind::wake_waiters}));
  EXPECT_EQ(d.state(), State::ready);
  EXPECT_EQ(kinds(d.wanted(kStart)), std::vector{Kind::wake_waiters});
}

TEST(Deployment, CrashClosesAndTheRestartOpensAgain) {
  Deployment d = ready_one();
  EXPECT_EQ(kinds(d.instance_down()), std::vector{Kind::close_endpoint});
  EXPECT_EQ(d.state(), State::loading);
  EXPECT_TRUE(d.instance_down().empty());
  EXPECT_TRUE(d.wanted(kStart).empty());
  EXPECT_EQ(kinds(d.instance_ready()), (std::vector{Kind::open_endpoint, Kind::wake_waiters}));
}

TEST(Deployment, FailureTellsTheWaitersAndIsTriedAgainLater) {
  Deployment d;
  (void)d.wanted(kStart);
  auto failed = d.instance_failed(broken(), kStart);
  ASSERT_EQ(kinds(failed), std::vector{Kind::wake_waiters});
  EXPECT_EQ(failed[0].error->message, "broken");
  EXPECT_EQ(d.error()->message, "broken");

  auto refused = d.wanted(kStart + seconds(4));
  ASSERT_EQ(kinds(refused), std::vector{Kind::wake_waiters});
  EXPECT_EQ(refused[0].error->retry_after, seconds(6));
  EXPECT_EQ(kinds(d.wanted(kStart + seconds(10))), std::vector{Kind::start_instance});
  EXPECT_FALSE(d.error().has_value());
}

TEST(Deployment, FailureOfAReadyOneClosesIt) {
  Deployment d = ready_one();
  EXPECT_EQ(kinds(d.instance_failed(broken(), kStart)),
            (std::vector{Kind::close_endpoint, Kind::wake_waiters}));
}

TEST(Deployment, UnloadGivesBackAndARequestMeanwhileLoadsAgain) {
  Deployment d = ready_one();
  EXPECT_EQ(kinds(d.unload(broken())), (std::vector{Kind::close_endpoint, Kind::stop_instance}));
  EXPECT_TRUE(d.instance_ready().empty());
  EXPECT_TRUE(d.wanted(kStart).empty());
  EXPECT_EQ(kinds(d.instance_stopped()), std::vector{Kind::start_instance});
  EXPECT_EQ(d.state(), State::loading);
  EXPECT_TRUE(d.instance_stopped().empty());
}

TEST(Deployment, UnloadWhileLoadingLetsTheWaitersGo) {
  Deployment d;
  (void)d.wanted(kStart);
  EXPECT_EQ(kinds(d.unload(broken())), (std::vector{Kind::wake_waiters, Kind::stop_instance}));
  (void)d.wanted(kStart);
  EXPECT_EQ(kinds(d.unload(broken())), std::vector{Kind::wake_waiters});
  EXPECT_TRUE(d.instance_stopped().empty());
  EXPECT_EQ(d.state(), State::unloaded);
  EXPECT_TRUE(d.unload(broken()).empty());
}

TEST(Deployment, UnloadForgetsAFailure) {
  Deployment d;
  (void)d.wanted(kStart);
  (void)d.instance_failed(broken(), kStart);
  EXPECT_TRUE(d.unload(broken()).empty());
  EXPECT_EQ(kinds(d.wanted(kStart)), std::vector{Kind::start_instance});
}

TEST(Deployment, StatesHaveNames) {
  for (auto state :
       {State::unloaded, State::loading, State::ready, State::unloading, State::failed}) {
    EXPECT_NE(to_string(state), "unknown");
  }
}

}  // namespace
}  // namespace corral::scheduler
