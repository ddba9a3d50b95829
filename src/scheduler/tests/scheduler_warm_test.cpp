// Loading ahead of requests: beside what is loaded, never instead of it.
#include <gtest/gtest.h>

#include "scheduler/tests/world.hpp"

namespace corral::scheduler::scheduler_warm_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;

constexpr auto kPatience = 60s;

class WarmTest : public testing::Test {
 protected:
  Result<Warmed> warm(const std::string& model) {
    return world_.loops.run(world_.shard(), world_.scheduler->warm(model));
  }
  Outlook outlook() { return world_.loops.run(world_.shard(), world_.scheduler->outlook()); }
  bool ready(const std::string& model) {
    return eventually([&] { return world_.in_state(model, ModelState::ready); }, kPatience);
  }
  void keep_warm(std::set<std::string> models) {
    world_.scheduler->keep_warm(std::move(models));
    world_.settle();
  }

  World world_;
};

TEST_F(WarmTest, LoadsWhatFitsBesideTheOthers) {
  world_.put_model("one");
  world_.put_model("two");
  world_.settings.scheduler.max_models = 1;
  world_.start();
  EXPECT_EQ(warm("nope").error().code, ErrorCode::not_found);
  EXPECT_TRUE(outlook().loaded.empty());
  EXPECT_FALSE(outlook().busy);
  auto begun = warm("one");
  ASSERT_TRUE(begun) << begun.error().describe();
  EXPECT_EQ(*begun, Warmed::begun);
  ASSERT_TRUE(ready("one"));
  EXPECT_EQ(*warm("one"), Warmed::loaded);
  EXPECT_EQ(*warm("two"), Warmed::no_room);
  EXPECT_TRUE(world_.in_state("one", ModelState::ready)) << "it need not go for another";
  EXPECT_EQ(outlook().loaded, (std::set<std::string>{"one"}));
}

TEST_F(WarmTest, TakesNoMoreMemoryThanThereIs) {
  world_.put_model("one");
  world_.put_model("two");
  world_.settings.models.settings["one"].memory = 600u << 20;
  world_.settings.models.settings["two"].memory = 600u << 20;
  world_.settings.scheduler.memory = 1u << 30;
  world_.start();
  EXPECT_EQ(*warm("one"), Warmed::begun);
  ASSERT_TRUE(ready("one"));
  EXPECT_EQ(*warm("two"), Warmed::no_room);
  EXPECT_EQ(outlook().machine.memory, 1u << 30);
}

TEST_F(WarmTest, WhatWasUnloadedByHandIsKnownUntilItIsUsed) {
  world_.put_model("one");
  world_.start();
  ASSERT_TRUE(world_.ensure("one"));
  ASSERT_TRUE(world_.unload("one"));
  EXPECT_EQ(outlook().put_away, (std::set<std::string>{"one"}));
  ASSERT_TRUE(world_.ensure("one"));
  EXPECT_TRUE(outlook().put_away.empty());
}

TEST_F(WarmTest, WhatIsKeptWarmIsNotUnloadedForBeingIdle) {
  world_.put_model("kept");
  world_.put_model("other");
  world_.put_model("own");
  world_.settings.models.idle_timeout = 300ms;
  world_.settings.models.settings["own"].idle_timeout = 200ms;
  world_.start();
  keep_warm({"kept", "own"});
  for (const char* name : {"kept", "other", "own"}) ASSERT_TRUE(world_.ensure(name)) << name;
  auto gone = [&](const char* name) {
    return eventually([&] { return world_.in_state(name, ModelState::unloaded); }, kPatience);
  };
  EXPECT_TRUE(gone("other"));
  EXPECT_TRUE(gone("own")) << "what its settings say holds";
  EXPECT_TRUE(world_.in_state("kept", ModelState::ready));
  keep_warm({});
  EXPECT_TRUE(gone("kept"));
}

TEST_F(WarmTest, ABrokenModelIsRefused) {
  world_.put_rubbish("broken");
  world_.start();
  ASSERT_TRUE(world_.in_state("broken", ModelState::unusable));
  EXPECT_EQ(warm("broken").error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace corral::scheduler::scheduler_warm_test
