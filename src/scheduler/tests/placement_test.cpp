#include "scheduler/core/placement.hpp"

#include "scheduler/tests/placement_world.hpp"

namespace corral::scheduler::placement_test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kGiB = 1ull << 30;

class PlacementTest : public ::testing::Test {
 protected:
  void budget(std::uint64_t bytes, PlacementOptions options = {}) {
    world.placement.configure(options, {{"cpu", bytes, ""}});
    world.budgets = {{"cpu", bytes}};
  }
  // Asks and notes what comes of it: "a served", "a refused".
  TicketId ask(UnitId id) {
    return world.want(id, [this, id](const std::optional<Error>& error) {
      told += world.placement.spec(id).name + (error ? " refused; " : " served; ");
      if (error) last_error = *error;
    });
  }
  // Loads it and leaves it alone for a while.
  UnitId loaded(const std::string& name, std::uint64_t bytes) {
    auto id = world.add(name, bytes);
    ask(id);
    world.run_for(400ms);
    EXPECT_EQ(world.placement.state(id), UnitState::ready);
    return id;
  }
  std::string log() { return std::exchange(world.log, {}); }

  PlacementWorld world;
  std::string told;
  std::optional<Error> last_error;
};

TEST_F(PlacementTest, WhatFitsIsStartedAndItsCallersWoken) {
  budget(4 * kGiB);
  auto a = world.add("a", 2 * kGiB);
  auto b = world.add("b", 2 * kGiB);
  ask(a);
  ask(a);
  ask(b);
  EXPECT_EQ(log(), "start a at cpu; start b at cpu; ");
  EXPECT_EQ(told, "");
  EXPECT_EQ(world.placement.held(a), 2 * kGiB);
  EXPECT_EQ(world.placement.why_waiting(a, world.now), "it is loading");
  EXPECT_EQ(world.placement.loading_since(a), world.now);
  world.run_for(300ms);
  EXPECT_EQ(told, "a served; a served; b served; ");
  EXPECT_EQ(world.placement.load_time(a), 300ms);
  EXPECT_FALSE(world.placement.loading_since(a));
  ask(a);  // it serves: at once
  EXPECT_TRUE(told.ends_with("b served; a served; "));
  EXPECT_FALSE(world.placement.anyone_waits());
  EXPECT_EQ(world.placement.why_waiting(a, world.now), "");
}

TEST_F(PlacementTest, AnIdleOneGoesForOneThatIsWanted) {
  budget(3 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  auto b = world.add("b", 2 * kGiB);
  world.run_for(2s);
  log();
  ask(b);
  EXPECT_EQ(log(), "stop a; ");
  EXPECT_EQ(world.placement.state(a), UnitState::stopping);
  EXPECT_EQ(world.placement.held_of("cpu"), 2 * kGiB);  // until it is gone
  world.run_for(20ms);
  EXPECT_EQ(log(), "start b at cpu; ");
  world.run_for(300ms);
  EXPECT_TRUE(told.ends_with("b served; "));
}

TEST_F(PlacementTest, ABusyOneIsWaitedForUntilItRests) {
  budget(3 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  auto b = world.add("b", 2 * kGiB);
  world.enter(a);
  log();
  ask(b);
  world.run_for(10s);
  EXPECT_EQ(log(), "");
  EXPECT_TRUE(world.placement.room_wanted());
  EXPECT_EQ(world.placement.why_waiting(b, world.now),
            "it needs 2.0 GiB of cpu, of which 2.0 GiB are held by a (2.0 GiB); its place is that "
            "of a, at the latest in 20 s");
  world.leave_engine(a);
  world.run_for(19ms);
  EXPECT_EQ(log(), "");  // it stays a moment: the next request may be on its way
  world.run_for(1ms);
  EXPECT_EQ(log(), "stop a; ");
}

TEST_F(PlacementTest, ARequestInTimeKeepsIt) {
  budget(3 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  auto b = world.add("b", 2 * kGiB);
  world.enter(a);
  log();
  ask(b);
  world.leave_engine(a);
  world.run_for(10ms);
  world.enter(a);
  world.run_for(1s);
  EXPECT_EQ(log(), "");
}

TEST_F(PlacementTest, TheTurnOfABusyOneEnds) {
  budget(3 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  auto b = world.add("b", 2 * kGiB);
  world.enter(a);
  log();
  ask(b);
  world.run_for(29'999ms);
  EXPECT_EQ(log(), "");
  world.run_for(1ms);
  EXPECT_EQ(log(), "close a; ");  // to new requests
  EXPECT_EQ(world.placement.state(a), UnitState::draining);
  ask(a);
  EXPECT_EQ(world.placement.why_waiting(a, world.now),
            "its turn is over, and it finishes its requests");
  world.run_for(5s);
  EXPECT_EQ(log(), "");  // the running one is not hurried
  world.leave_engine(a);
  EXPECT_EQ(log(), "stop a; ");
  EXPECT_EQ(world.placement.why_waiting(a, world.now),
            "it is being unloaded and will be loaded again");
  world.run_for(400ms);
  EXPECT_EQ(told, "a served; b served; ");
  // Then it is the turn of a again, since b does nothing.
  world.run_for(2s);
  EXPECT_EQ(log(), "start b at cpu; stop b; start a at cpu; ");
  EXPECT_EQ(told, "a served; b served; a served; ");
  EXPECT_EQ(world.placement.state(b), UnitState::out);
}

TEST_F(PlacementTest, IfTheWaiterLeavesTheTurnGoesOn) {
  budget(3 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  auto b = world.add("b", 2 * kGiB);
  world.enter(a);
  auto ticket = ask(b);
  world.run_for(30s);
  EXPECT_EQ(world.placement.state(a), UnitState::draining);
  log();
  world.leave(ticket);
  EXPECT_EQ(log(), "reopen a; ");
  EXPECT_EQ(world.placement.state(a), UnitState::ready);
  EXPECT_FALSE(world.placement.leave(ticket));
  EXPECT_FALSE(world.placement.room_wanted());
}

TEST_F(PlacementTest, LeastRecentlyUsedGoesFirstWeightedByItsLoad) {
  budget(6 * kGiB);
  auto old = loaded("old", 2 * kGiB);
  world.run_for(10s);
  auto young = loaded("young", 2 * kGiB);
  auto costly = world.add("costly", 2 * kGiB);
  world.engines[costly].load = 60s;
  ask(costly);
  world.run_for(70s);
  world.enter(old);
  world.leave_engine(old);  // the youngest now
  world.run_for(1s);
  log();
  ask(world.add("new", 2 * kGiB));
  EXPECT_EQ(log(), "stop young; ");  // costly was idle for as long, but takes a minute to load
  world.run_for(2s);
  ask(world.add("newer", 2 * kGiB));
  EXPECT_EQ(world.placement.state(young), UnitState::out);
  EXPECT_EQ(world.placement.state(costly), UnitState::ready);
  EXPECT_EQ(world.placement.state(old), UnitState::stopping);
}

TEST_F(PlacementTest, NoneGoesInVain) {
  budget(8 * kGiB);
  loaded("small", 1 * kGiB);
  world.run_for(1s);
  loaded("large", 6 * kGiB);
  world.run_for(2s);
  log();
  ask(world.add("new", 6 * kGiB));  // large alone makes room enough, though small is older
  EXPECT_EQ(log(), "stop large; ");
}

TEST_F(PlacementTest, APinnedOneStays) {
  budget(3 * kGiB);
  UnitSpec spec{"a", {{"cpu", {{"cpu", 2 * kGiB}}, 0}}, true};
  auto a = world.add(spec);
  ask(a);
  world.run_for(10s);
  auto b = world.add("b", 2 * kGiB);
  ask(b);
  EXPECT_EQ(told, "a served; b refused; ");
  EXPECT_EQ(last_error->code, ErrorCode::unavailable);
  EXPECT_EQ(last_error->message,
            "the model 'b' needs 2.0 GiB of cpu, where engines may use 3.0 GiB, and pinned models "
            "hold 2.0 GiB: a (2.0 GiB)");
  EXPECT_FALSE(world.placement.anyone_waits());
  spec.pinned = false;
  world.placement.update(a, spec);  // holds at once
  ask(b);
  EXPECT_TRUE(log().ends_with("stop a; "));
}

TEST_F(PlacementTest, WhatNeverFitsIsRefusedAtOnce) {
  world.placement.configure({}, {{"cpu", kGiB, "2.0 GiB of it are kept for the pool fast"}});
  ask(world.add("big", 5 * kGiB));
  EXPECT_EQ(told, "big refused; ");
  EXPECT_EQ(
      last_error->message,
      "the model 'big' needs 5.0 GiB of cpu, and engines may use 1.0 GiB of it: 2.0 GiB of it "
      "are kept for the pool fast");
  EXPECT_FALSE(last_error->hint_text.empty());
  ask(world.add("lost", 1, "CUDA7"));
  EXPECT_EQ(last_error->message, "the model 'lost' needs 1 B of 'CUDA7', which is not there");
  ask(world.add(UnitSpec{"nowhere", {}, false}));
  EXPECT_EQ(last_error->message, "the model 'nowhere' has no place to run");
}

TEST_F(PlacementTest, NoMoreThanSoMany) {
  budget(100 * kGiB, {.max_units = 2});
  auto a = loaded("a", 1);
  world.run_for(1s);
  loaded("b", 1);
  world.run_for(1s);
  log();
  auto c = world.add("c", 1);
  ask(c);
  EXPECT_EQ(log(), "stop a; ");
  world.run_for(1s);
  EXPECT_EQ(world.placement.state(c), UnitState::ready);
  world.enter(c);
  world.enter(1);
  ask(a);
  EXPECT_TRUE(world.placement.why_waiting(a, world.now)
                  .starts_with("no more than 2 may be loaded at once; its place is that of b"))
      << world.placement.why_waiting(a, world.now);
}

TEST_F(PlacementTest, OnlyPinnedOnesAndNoMoreAllowed) {
  budget(100 * kGiB, {.max_units = 1});
  ask(world.add(UnitSpec{"a", {{"cpu", {{"cpu", 1}}, 0}}, true}));
  world.run_for(1s);
  ask(world.add("b", 1));
  EXPECT_EQ(last_error->message,
            "the model 'b' cannot be loaded: no more than 1 may be at once, and pinned ones never "
            "go: a");
}

TEST_F(PlacementTest, AFailedOneTellsItsCallersAndGivesItsPlaceBack) {
  budget(3 * kGiB);
  auto a = world.add("a", 2 * kGiB);
  auto b = world.add("b", 2 * kGiB);
  world.fails_to_start = [&](UnitId id) { return id == a; };
  ask(a);
  ask(b);
  world.run_for(1s);
  EXPECT_EQ(told, "a refused; b served; ");
  EXPECT_EQ(last_error->message, "broken");
  EXPECT_EQ(world.placement.held(a), 0u);
}

TEST_F(PlacementTest, ACrashedOneKeepsItsPlaceWhileItComesBack) {
  budget(3 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  world.crash(a);
  ask(a);
  ask(world.add("b", 2 * kGiB));
  EXPECT_EQ(world.placement.held(a), 2 * kGiB);
  world.run_for(5s);
  EXPECT_EQ(told, "a served; a served; b served; ");
}

TEST_F(PlacementTest, ACrashAtTheEndOfATurnEndsIt) {
  budget(3 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  world.enter(a);
  ask(world.add("b", 2 * kGiB));
  world.run_for(30s);
  EXPECT_EQ(world.placement.state(a), UnitState::draining);
  world.engines[a].in_flight = 0;
  log();
  world.placement.down(a);
  world.settle();
  EXPECT_EQ(log(), "stop a; ");
}

TEST_F(PlacementTest, StoppedForAnotherReason) {
  budget(3 * kGiB);
  auto a = world.add("a", 2 * kGiB);
  ask(a);
  Error why = fail(ErrorCode::unavailable, "unloaded on request");
  world.placement.leaving(a, &why);
  world.settle();
  EXPECT_EQ(told, "a refused; ");
  ask(a);  // waits until it is gone, and starts it again
  world.placement.gone(a);
  world.settle();
  world.run_for(1s);
  EXPECT_EQ(told, "a refused; a served; ");
  // For being idle: who comes just then waits on.
  world.engines[a].open = false;
  ask(a);
  world.placement.leaving(a, nullptr);
  world.placement.gone(a);
  world.settle();
  world.run_for(1s);
  EXPECT_TRUE(told.ends_with("a served; "));
  EXPECT_FALSE(world.placement.anyone_waits());
}

TEST_F(PlacementTest, TheTightestOfEqualPlacesAndTheBestRank) {
  world.placement.configure({},
                            {{"cpu", 64 * kGiB, ""}, {"g0", 24 * kGiB, ""}, {"g1", 8 * kGiB, ""}});
  auto places = [](std::uint64_t bytes) {
    return std::vector<Place>{{"g0", {{"g0", bytes}, {"cpu", kGiB}}, 0},
                              {"g1", {{"g1", bytes}, {"cpu", kGiB}}, 0},
                              {"cpu", {{"cpu", bytes}}, 1}};
  };
  auto small = world.add({"small", places(6 * kGiB), false});
  ask(small);
  EXPECT_EQ(world.placement.device(small), "g1");
  auto large = world.add({"large", places(20 * kGiB), false});
  ask(large);
  EXPECT_EQ(world.placement.device(large), "g0");
  EXPECT_EQ(world.placement.held(large), 21 * kGiB);
  world.run_for(1s);
  world.enter(small);
  world.enter(large);
  auto third = world.add({"third", places(7 * kGiB), false});
  ask(third);  // both are busy
  EXPECT_EQ(world.placement.device(third), "cpu");
  world.run_for(1s);
  world.leave_engine(small);
  world.run_for(5s);
  log();
  ask(world.add({"fourth", places(7 * kGiB), false}));
  EXPECT_EQ(log(), "stop small; ");  // rather than the second best place, which is free
}

TEST_F(PlacementTest, AYoungerOneMayUseWhatAnOlderOneLeaves) {
  budget(10 * kGiB);
  auto a = loaded("a", 6 * kGiB);
  world.enter(a);
  ask(world.add("b", 8 * kGiB));  // must wait for a
  log();
  ask(world.add("c", 2 * kGiB));  // fits beside either
  EXPECT_EQ(log(), "start c at cpu; ");
  ask(world.add("d", 1 * kGiB));  // would keep b out
  EXPECT_EQ(log(), "");
}

TEST_F(PlacementTest, WhatItReallyTakesCounts) {
  budget(6 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  world.placement.measured(a, 3 * kGiB);
  EXPECT_EQ(world.placement.held(a), 3 * kGiB);
  auto b = loaded("b", 2 * kGiB);
  world.run_for(2s);
  log();
  world.enter(b);
  world.budgets.clear();
  world.placement.measured(b, 5 * kGiB);
  world.settle();
  EXPECT_EQ(log(), "stop a; ");  // the idle one makes room for what grew
  world.run_for(1s);
  world.placement.measured(b, 50 * kGiB);
  EXPECT_EQ(world.placement.held(b), 6 * kGiB);  // no more than all
  world.placement.measured(a, kGiB);             // it is out
  EXPECT_EQ(world.placement.held(a), 0u);
}

TEST_F(PlacementTest, ASmallerBudgetHoldsForIdleOnes) {
  budget(6 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  loaded("b", 2 * kGiB);
  world.run_for(2s);
  world.enter(a);
  log();
  world.budgets.clear();
  world.placement.configure({}, {{"cpu", 2 * kGiB, ""}});
  world.settle();
  EXPECT_EQ(log(), "stop b; ");
  EXPECT_EQ(world.placement.budget_of("cpu"), 2 * kGiB);
  EXPECT_EQ(world.placement.budget_of("nothing"), 0u);
  EXPECT_EQ(world.placement.held_of("nothing"), 0u);
  world.placement.configure({}, {});
  EXPECT_EQ(world.placement.budget_of("cpu"), 0u);
}

TEST_F(PlacementTest, PositionsCountWholeModels) {
  budget(2 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  world.enter(a);
  auto b = world.add("b", 2 * kGiB);
  auto c = world.add("c", 2 * kGiB);
  auto first = ask(b);
  world.run_for(1ms);
  auto other = ask(c);
  world.run_for(1ms);
  auto second = ask(b);
  EXPECT_EQ(world.placement.position(first), 1u);
  EXPECT_EQ(world.placement.position(second), 2u);
  EXPECT_EQ(world.placement.position(other), 3u);
  EXPECT_EQ(world.placement.waiting(b), 2u);
  EXPECT_EQ(world.placement.position(999), 0u);
}

TEST_F(PlacementTest, CallersOnTheirWayAreWaitedFor) {
  budget(2 * kGiB);
  auto a = world.add("a", 2 * kGiB);
  auto b = world.add("b", 2 * kGiB);
  ask(a);  // is woken, but does not come
  world.run_for(100ms);
  ask(b);
  world.run_for(250ms);
  EXPECT_EQ(told, "a served; ");
  log();
  world.run_for(900ms);
  EXPECT_EQ(log(), "");
  world.run_for(200ms);
  EXPECT_EQ(log(), "stop a; start b at cpu; ");
}

TEST_F(PlacementTest, NewSettingsHoldFromTheNextStartOn) {
  budget(8 * kGiB);
  auto a = loaded("a", 2 * kGiB);
  world.placement.update(a, {"a", {{"cpu", {{"cpu", 7 * kGiB}}, 0}}, false});
  EXPECT_EQ(world.placement.held(a), 2 * kGiB);
  world.placement.leaving(a, nullptr);
  world.engines[a].open = false;
  world.placement.gone(a);
  ask(a);
  EXPECT_EQ(world.placement.held(a), 7 * kGiB);
}

TEST(PlacementNames, States) {
  EXPECT_EQ(to_string(UnitState::out), "out");
  EXPECT_EQ(to_string(UnitState::loading), "loading");
  EXPECT_EQ(to_string(UnitState::ready), "ready");
  EXPECT_EQ(to_string(UnitState::draining), "draining");
  EXPECT_EQ(to_string(UnitState::stopping), "stopping");
}

}  // namespace
}  // namespace corral::scheduler::placement_test
