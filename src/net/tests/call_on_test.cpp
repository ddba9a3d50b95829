// Calls from one shard to another.
#include <gtest/gtest.h>

#include "net/shard.hpp"
#include "test_support.hpp"

namespace corral::net::call_on_test {
namespace {

using namespace testing;

Task<std::pair<bool, bool>> ask_where(Shard* here, Shard* there) {
  std::function<bool()> work = [there] { return there->is_current(); };
  bool ran_there = co_await call_on(*there, std::move(work));
  co_return std::pair(ran_there, here->is_current());
}

TEST(CallOn, RunsThereAndResumesHere) {
  Loops loops(2);
  Shard& here = loops.shards().serving(0);
  for (Shard* there : {&loops.shards().serving(1), &loops.shards().control(), &here}) {
    auto [ran_there, back] = loops.run(here, ask_where(&here, there));
    EXPECT_TRUE(ran_there);
    EXPECT_TRUE(back);
  }
}

Task<std::unique_ptr<int>> fetch(Shard* there) {
  std::function<std::unique_ptr<int>()> work = [] { return std::make_unique<int>(7); };
  co_return co_await call_on(*there, std::move(work));
}

TEST(CallOn, GivesBackValuesThatOnlyMove) {
  Loops loops(2);
  auto value = loops.run(loops.shards().serving(0), fetch(&loops.shards().serving(1)));
  ASSERT_TRUE(value);
  EXPECT_EQ(*value, 7);
}

// Work on the other shard that takes a while, and says whether it was there all the time.
Task<int> slow_work(Shard* there, std::atomic<bool>* gate, std::atomic<int>* begun, int value) {
  ++*begun;
  while (!*gate) {
    auto slept = co_await sleep_for(1ms);
    if (!slept) co_return -1;
  }
  co_return there->is_current() ? value : -2;
}

struct RunOn {
  RunOn() : group(there) {}
  ~RunOn() {
    gate = true;
    loops.run(there, group.close());
  }
  Task<std::optional<int>> call(int value) {
    std::function<Task<int>()> work = [this, value] {
      return slow_work(&there, &gate, &begun, value);
    };
    return run_on(there, group, std::move(work));
  }
  static Task<void> note(RunOn* self, int value, std::atomic<int>* ended, std::atomic<int>* got) {
    auto result = co_await self->call(value);
    got->store(result.value_or(-9));
    ++*ended;
  }

  Loops loops{2};
  Shard& here = loops.shards().serving(0);
  Shard& there = loops.shards().serving(1);
  TaskGroup group;
  std::atomic<bool> gate{false};
  std::atomic<int> begun{0};
};

Task<std::optional<int>> call_it(RunOn* run, int value) { co_return co_await run->call(value); }

TEST(RunOn, RunsACoroutineThere) {
  RunOn run;
  run.gate = true;
  auto value = run.loops.run(run.here, call_it(&run, 5));
  ASSERT_TRUE(value);
  EXPECT_EQ(*value, 5);
}

TEST(RunOn, AClosedGroupTakesNothing) {
  RunOn run;
  run.loops.run(run.there, run.group.close());
  EXPECT_EQ(run.loops.run(run.here, call_it(&run, 5)), std::nullopt);
  EXPECT_EQ(run.begun, 0);
}

TEST(RunOn, WhatIsCancelledThereSaysSo) {
  RunOn run;
  std::atomic<int> ended{0}, got{0};
  TaskGroup callers(run.here);
  run.loops.call(run.here, [&] { callers.spawn(RunOn::note(&run, 5, &ended, &got)); });
  EXPECT_TRUE(eventually([&] { return run.begun == 1; }));
  run.loops.run(run.there, run.group.close());
  EXPECT_TRUE(eventually([&] { return ended == 1; }));
  EXPECT_EQ(got, -1);  // what the coroutine made of it
  run.loops.run(run.here, callers.close());
}

TEST(RunOn, ACallerWhoLeavesDoesNotStopIt) {
  RunOn run;
  std::atomic<int> ended{0}, got{0};
  TaskGroup callers(run.here);
  run.loops.call(run.here, [&] { callers.spawn(RunOn::note(&run, 5, &ended, &got)); });
  EXPECT_TRUE(eventually([&] { return run.begun == 1; }));
  run.loops.run(run.here, callers.close());
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(got, -9);
  EXPECT_EQ(run.loops.call(run.there, [&] { return run.group.running(); }), 1u);
  run.gate = true;
  EXPECT_TRUE(eventually(
      [&] { return run.loops.call(run.there, [&] { return run.group.running(); }) == 0; }));
}

TEST(RunOn, ManyCallsCross) {
  RunOn run;
  run.gate = true;
  std::atomic<int> ended{0}, got{0};
  TaskGroup callers(run.here);
  run.loops.call(run.here, [&] {
    for (int i = 0; i < 200; ++i) callers.spawn(RunOn::note(&run, i, &ended, &got));
  });
  EXPECT_TRUE(eventually([&] { return ended == 200; }));
  run.loops.run(run.here, callers.close());
}

}  // namespace
}  // namespace corral::net::call_on_test
