// Deployments with several instances on a machine with two accelerators, which are made up.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "scheduler/tests/world.hpp"

namespace corral::scheduler::replica_devices_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;

constexpr std::uint64_t kMiB = 1u << 20;

// An engine that says that it was built for both, and is a script otherwise.
class TwoDevices : public World {
 public:
  TwoDevices(unsigned first_mib, unsigned second_mib) {
    settings.scheduler.memory = 4000 * kMiB;
    folder.put("root/sys/class/drm/card0/device/vendor", "0x1002\n");
    folder.put("root/sys/class/drm/card0/device/mem_info_vram_total", "8589934592\n");
    devices = {folder / "root", "libcorral-no-such.so.1"};
    const auto fake = settings.llama_server.path;
    const auto engine =
        folder.put("engine", fmt::format("#!/bin/sh\n"
                                         "if [ \"$1\" = --list-devices ]; then\n"
                                         "  echo '  ROCm0: One ({0} MiB, {0} MiB free)'\n"
                                         "  echo '  ROCm1: Two ({1} MiB, {1} MiB free)'\n"
                                         "  exit 0\nfi\n"
                                         "exec '{2}' \"$@\"\n",
                                         first_mib, second_mib, fake));
    std::filesystem::permissions(engine, std::filesystem::perms::owner_all);
    settings.llama_server.path = engine.string();
    put_model("tiny");
  }
  void replicas(const std::string& model, unsigned count, std::uint64_t bytes) {
    auto& own = settings.models.settings[model];
    own.min_replicas = own.max_replicas = count;
    own.memory = bytes;
  }
  // How many instances of it are ready, by device.
  std::map<std::string, int> ready_on(const std::string& model) {
    std::map<std::string, int> found;
    for (const auto& each : instances()) {
      if (each.model == model && each.state == "ready") ++found[each.device];
    }
    return found;
  }
  bool comes_to(const std::string& model, const std::map<std::string, int>& wanted) {
    return eventually([&] { return ready_on(model) == wanted; }, 60s);
  }
};

using Places = std::map<std::string, int>;

TEST(ReplicaDevices, TwoInstancesLieOnDifferentAccelerators) {
  TwoDevices world(2000, 2000);
  world.replicas("tiny", 2, 300 * kMiB);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  EXPECT_TRUE(world.comes_to("tiny", Places{{"ROCm0", 1}, {"ROCm1", 1}}));
}

TEST(ReplicaDevices, FourInstancesAreTwoAndTwo) {
  TwoDevices world(2000, 1900);
  world.replicas("tiny", 4, 300 * kMiB);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  EXPECT_TRUE(world.comes_to("tiny", Places{{"ROCm0", 2}, {"ROCm1", 2}}));
}

TEST(ReplicaDevices, WhereOnlyOneHasRoomBothLieThere) {
  TwoDevices world(2000, 100);
  world.replicas("tiny", 2, 300 * kMiB);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  EXPECT_TRUE(world.comes_to("tiny", Places{{"ROCm0", 2}}));
}

// The third has no room, and takes none of the host's either.
TEST(ReplicaDevices, EachDevicesBudgetIsRespected) {
  TwoDevices world(700, 400);
  world.replicas("tiny", 4, 300 * kMiB);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  EXPECT_TRUE(world.comes_to("tiny", Places{{"ROCm0", 2}, {"ROCm1", 1}}));
}

TEST(ReplicaDevices, AnotherModelGoesWhereRoomIs) {
  TwoDevices world(1000, 1000);
  world.put_model("other");
  world.replicas("tiny", 1, 800 * kMiB);
  world.replicas("other", 1, 800 * kMiB);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.ensure("other"));
  EXPECT_TRUE(world.comes_to("other", Places{{"ROCm1", 1}}));
  EXPECT_TRUE(world.comes_to("tiny", Places{{"ROCm0", 1}}));
}

}  // namespace
}  // namespace corral::scheduler::replica_devices_test
