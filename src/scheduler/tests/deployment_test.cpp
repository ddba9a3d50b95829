#include "scheduler/core/deployment.hpp"

#include <gtest/gtest.h>

namespace corral::scheduler::deployment_test {
namespace {

using Action = DeploymentAction;
using State = DeploymentState;
using std::chrono::seconds;

const sys::Steady kStart{seconds(1000)};

Error broken() { return fail(ErrorCode::unavailable, "broken"); }

Deployment ready_one() {
  Deployment d;
  (void)d.start();
  (void)d.instance_ready();
  return d;
}

TEST(Deployment, StartsOnce) {
  Deployment d;
  EXPECT_FALSE(d.refusal(kStart));
  EXPECT_EQ(d.start(), DeploymentActions{Action::start_instance});
  EXPECT_TRUE(d.start().empty());
  EXPECT_EQ(d.instance_ready(), DeploymentActions{Action::open_endpoint});
  EXPECT_EQ(d.state(), State::ready);
  EXPECT_TRUE(d.start().empty());
  EXPECT_TRUE(d.instance_ready().empty());
}

TEST(Deployment, CrashClosesAndTheRestartOpensAgain) {
  Deployment d = ready_one();
  EXPECT_EQ(d.instance_down(), DeploymentActions{Action::close_endpoint});
  EXPECT_EQ(d.state(), State::loading);
  EXPECT_TRUE(d.instance_down().empty());
  EXPECT_TRUE(d.start().empty());
  EXPECT_EQ(d.instance_ready(), DeploymentActions{Action::open_endpoint});
}

TEST(Deployment, AfterAFailureItIsTriedAgainLater) {
  Deployment d;
  (void)d.start();
  EXPECT_TRUE(d.instance_failed(broken(), kStart).empty());
  EXPECT_EQ(d.error()->message, "broken");
  auto refused = d.refusal(kStart + seconds(4));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->message, "broken");
  EXPECT_EQ(refused->retry_after, seconds(6));
  EXPECT_FALSE(d.refusal(kStart + seconds(10)));
  EXPECT_EQ(d.start(), DeploymentActions{Action::start_instance});
  EXPECT_FALSE(d.error().has_value());
}

TEST(Deployment, FailureWhileServingCloses) {
  Deployment d = ready_one();
  EXPECT_EQ(d.instance_failed(broken(), kStart), DeploymentActions{Action::close_endpoint});
  EXPECT_EQ(d.state(), State::failed);
}

TEST(Deployment, Unloads) {
  Deployment d = ready_one();
  EXPECT_EQ(d.unload(), (DeploymentActions{Action::close_endpoint, Action::stop_instance}));
  EXPECT_EQ(d.state(), State::unloading);
  EXPECT_TRUE(d.unload().empty());
  EXPECT_TRUE(d.start().empty());           // not before it is gone
  EXPECT_TRUE(d.instance_ready().empty());  // too late
  EXPECT_TRUE(d.instance_down().empty());
  EXPECT_EQ(d.state(), State::unloading);
  EXPECT_TRUE(d.instance_stopped().empty());
  EXPECT_EQ(d.state(), State::unloaded);
  EXPECT_TRUE(d.unload().empty());
  EXPECT_EQ(d.start(), DeploymentActions{Action::start_instance});
  EXPECT_TRUE(d.instance_stopped().empty());  // of an earlier one
  EXPECT_EQ(d.state(), State::loading);
  EXPECT_EQ(d.unload(), DeploymentActions{Action::stop_instance});
}

TEST(Deployment, UnloadForgetsAFailure) {
  Deployment d;
  (void)d.start();
  (void)d.instance_failed(broken(), kStart);
  EXPECT_TRUE(d.unload().empty());
  EXPECT_EQ(d.state(), State::unloaded);
  EXPECT_FALSE(d.error());
}

TEST(Deployment, StatesHaveNames) {
  for (auto [state, name] : {std::pair{State::unloaded, "unloaded"},
                             {State::loading, "loading"},
                             {State::ready, "ready"},
                             {State::unloading, "unloading"},
                             {State::failed, "failed"}}) {
    EXPECT_EQ(to_string(state), name);
  }
}

}  // namespace
}  // namespace corral::scheduler::deployment_test
