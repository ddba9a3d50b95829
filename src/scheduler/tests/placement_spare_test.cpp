// Spare units: further instances of a deployment, which take what is free and give way.
#include <gtest/gtest.h>

#include "scheduler/tests/placement_world.hpp"

namespace corral::scheduler::placement_spare_test {
namespace {

using namespace std::chrono_literals;

class PlacementSpareTest : public testing::Test {
 protected:
  PlacementSpareTest() {
    world_.budgets = {{"cpu", 100}};
    world_.placement.configure({.turn_limit = 30s}, {{"cpu", 100, ""}});
  }
  UnitId add(const std::string& name, std::uint64_t bytes, bool spare = false) {
    UnitSpec spec{name, {{"cpu", {{"cpu", bytes}}, 0}}, false};
    spec.spare = spare;
    return world_.add(std::move(spec));
  }
  UnitState state(UnitId id) const { return world_.placement.state(id); }
  bool offer(UnitId id) {
    bool taken = world_.placement.offer(id, world_.now);
    world_.settle();
    return taken;
  }
  void serve(UnitId id) {
    world_.request(id, 10ms, [] {});
    world_.run_for(1s);
    ASSERT_EQ(state(id), UnitState::ready);
  }

  PlacementWorld world_;
};

TEST_F(PlacementSpareTest, IsStartedWhereMemoryIsFree) {
  auto first = add("a", 40);
  auto second = add("a2", 40, true);
  auto third = add("a3", 40, true);
  serve(first);
  EXPECT_TRUE(world_.placement.room_for(second));
  EXPECT_TRUE(offer(second));
  EXPECT_EQ(state(second), UnitState::loading);
  EXPECT_FALSE(offer(second));  // it is coming already
  EXPECT_FALSE(world_.placement.room_for(third));
  EXPECT_FALSE(offer(third));  // nothing goes for it, though all are idle
  world_.run_for(10s);
  EXPECT_EQ(state(second), UnitState::ready);
  EXPECT_EQ(state(third), UnitState::out);
  EXPECT_EQ(world_.log, "start a at cpu; start a2 at cpu; ");
}

TEST_F(PlacementSpareTest, IsNotStartedWhileSomebodyWaitsForRoom) {
  auto first = add("a", 40);
  auto second = add("a2", 40, true);
  auto large = add("b", 80);
  serve(first);
  bool done = false;
  world_.request(first, 60s, [&] { done = true; });
  world_.request(large, 10ms, [] {});
  EXPECT_FALSE(world_.placement.room_for(second));
  EXPECT_FALSE(offer(second));
  world_.run_for(120s);
  EXPECT_TRUE(done);
  EXPECT_EQ(state(large), UnitState::ready);
}

TEST_F(PlacementSpareTest, TheIdleOneGoesBeforeModelsThatAreIdleForLonger) {
  auto old = add("old", 30);
  auto first = add("a", 30);
  auto second = add("a2", 30, true);
  auto fresh = add("new", 30);
  serve(old);
  world_.run_for(60s);
  serve(first);
  ASSERT_TRUE(offer(second));
  world_.run_for(2s);
  serve(second);
  world_.run_for(2s);
  serve(fresh);
  EXPECT_EQ(state(second), UnitState::out);
  EXPECT_EQ(state(old), UnitState::ready);
  EXPECT_EQ(state(first), UnitState::ready);
}

TEST_F(PlacementSpareTest, TheBusyOneFinishesAndGoesWithoutAnotherTurn) {
  auto first = add("a", 40);
  auto second = add("a2", 40, true);
  auto other = add("b", 40);
  serve(first);
  ASSERT_TRUE(offer(second));
  world_.run_for(2s);
  bool done = false;
  world_.request(first, 60s, [] {});
  world_.request(second, 3s, [&] { done = true; });
  bool served = false;
  auto begun = world_.now;
  world_.request(other, 10ms, [&] { served = true; });
  EXPECT_EQ(state(second), UnitState::draining);
  EXPECT_FALSE(done);
  while (!served && world_.now < begun + 20s) world_.run_for(100ms);
  EXPECT_TRUE(done);
  EXPECT_TRUE(served);
  EXPECT_LT(world_.now - begun, 5s);  // not the turn of 30 s
  EXPECT_EQ(state(first), UnitState::ready);
  EXPECT_EQ(world_.engines[first].stops, 0u);
}

TEST_F(PlacementSpareTest, StaysWhenTheOneThatWaitedLeaves) {
  auto first = add("a", 40);
  auto second = add("a2", 40, true);
  auto other = add("b", 40);
  serve(first);
  ASSERT_TRUE(offer(second));
  world_.run_for(2s);
  world_.request(first, 60s, [] {});
  world_.request(second, 3s, [] {});
  auto ticket = world_.want(other, [](const std::optional<Error>&) {});
  ASSERT_EQ(state(second), UnitState::draining);
  world_.leave(ticket);
  EXPECT_EQ(state(second), UnitState::ready);
  world_.run_for(10s);
  EXPECT_EQ(world_.engines[second].stops, 0u);
}

TEST_F(PlacementSpareTest, SeveralGoForALargeModel) {
  auto first = add("a", 20);
  serve(first);
  std::vector<UnitId> spares;
  for (int i = 2; i <= 4; ++i) {
    spares.push_back(add("a" + std::to_string(i), 20, true));
    ASSERT_TRUE(offer(spares.back()));
    world_.run_for(2s);
    world_.request(spares.back(), 2s, [] {});
  }
  world_.request(first, 60s, [] {});
  bool served = false;
  world_.request(add("b", 70), 10ms, [&] { served = true; });
  world_.run_for(8s);
  EXPECT_TRUE(served);
  EXPECT_EQ(state(first), UnitState::ready);
}

// The number of instances counts too.
TEST_F(PlacementSpareTest, NoMoreThanMayBeLoaded) {
  world_.placement.configure({.turn_limit = 30s, .max_units = 2}, {{"cpu", 100, ""}});
  auto first = add("a", 10);
  auto second = add("a2", 10, true);
  auto third = add("a3", 10, true);
  serve(first);
  EXPECT_TRUE(offer(second));
  EXPECT_FALSE(offer(third));
}

}  // namespace
}  // namespace corral::scheduler::placement_spare_test
