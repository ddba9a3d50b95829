// Which of several places that are free a unit takes.
#include "scheduler/core/placement.hpp"

#include "scheduler/tests/placement_world.hpp"

namespace corral::scheduler::placement_spread_test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kGiB = 1ull << 30;

class PlacementSpreadTest : public ::testing::Test {
 protected:
  void budgets(std::uint64_t first, std::uint64_t second) {
    world.budgets = {{"g0", first}, {"g1", second}};
    world.placement.configure({}, {{"g0", first, ""}, {"g1", second, ""}});
  }
  void ask(UnitId id) {
    world.want(id, [](const std::optional<Error>& error) { EXPECT_FALSE(error); });
  }
  PlacementWorld world;
};

// Two accelerators with room for two each, and the instances of a deployment.
TEST_F(PlacementSpreadTest, TheInstancesOfADeploymentSpreadOverDevices) {
  budgets(8 * kGiB, 7 * kGiB);
  UnitSpec spec{"a", {{"g0", {{"g0", 3 * kGiB}}}, {"g1", {{"g1", 3 * kGiB}}}}};
  spec.spread = true;
  spec.kin = "a";
  std::vector<UnitId> instances;
  for (int i = 0; i < 5; ++i) {
    spec.spare = i > 0;
    instances.push_back(world.add(spec));
  }
  ask(instances[0]);
  world.run_for(10s);
  EXPECT_EQ(world.placement.device(instances[0]), "g0");  // most is free there
  const char* devices[] = {"g0", "g1", "g0", "g1"};
  for (std::size_t i = 1; i < 4; ++i) {
    ASSERT_TRUE(world.placement.offer(instances[i], world.now));
    world.settle();
    EXPECT_EQ(world.placement.device(instances[i]), devices[i]) << i;
  }
  EXPECT_FALSE(world.placement.offer(instances[4], world.now));  // both are full
  EXPECT_FALSE(world.placement.room_for(instances[4]));
  EXPECT_EQ(world.placement.held_of("g0"), 6 * kGiB);
  EXPECT_EQ(world.placement.held_of("g1"), 6 * kGiB);
}

TEST_F(PlacementSpreadTest, WhereOnlyOneDeviceHasRoomAllInstancesGoThere) {
  budgets(8 * kGiB, 8 * kGiB);
  auto other = world.add("other", 6 * kGiB, "g1");
  ask(other);
  world.run_for(10s);
  UnitSpec spec{"a", {{"g0", {{"g0", 3 * kGiB}}}, {"g1", {{"g1", 3 * kGiB}}}}};
  spec.spread = true;
  spec.kin = "a";
  auto first = world.add(spec);
  spec.spare = true;
  auto second = world.add(spec);
  ask(first);
  ASSERT_TRUE(world.placement.offer(second, world.now));
  world.settle();
  EXPECT_EQ(world.placement.device(first), "g0");
  EXPECT_EQ(world.placement.device(second), "g0");
}

// Two models that are no kin: where it is emptier if so wished, else where it is tighter.
TEST_F(PlacementSpreadTest, SpreadUnitsTakeTheEmptiestPlace) {
  budgets(8 * kGiB, 7 * kGiB);
  UnitSpec spec{"a", {{"g0", {{"g0", 2 * kGiB}}}, {"g1", {{"g1", 2 * kGiB}}}}};
  auto tight = world.add(spec);
  ask(tight);
  EXPECT_EQ(world.placement.device(tight), "g1");
  spec.name = "b";
  spec.spread = true;
  auto wide = world.add(spec);
  ask(wide);
  EXPECT_EQ(world.placement.device(wide), "g0");
}

}  // namespace
}  // namespace corral::scheduler::placement_spread_test
