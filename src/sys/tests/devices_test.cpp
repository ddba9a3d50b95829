#include "sys/devices.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "temp_folder.hpp"

namespace corral::sys::devices_test {
namespace {

constexpr std::uint64_t kGiB = 1ull << 30;

class DevicesTest : public testing::Test {
 protected:
  ~DevicesTest() override { ::unsetenv("FAKE_NVML"); }

  // NVIDIA's library as it behaves in `mode`.
  Devices nvidia(const char* mode) {
    ::setenv("FAKE_NVML", mode, 1);
    return devices({root_.path(), CORRAL_FAKE_NVML});
  }
  Devices without_nvidia() { return devices({root_.path(), "libcorral-no-such.so.1"}); }

  void amd(const std::string& card, const std::string& slot, const std::string& total,
           const std::string& used = "1073741824\n") {
    const Path device = Path("sys/class/drm") / card / "device";
    root_.put(device / "vendor", "0x1002\n");
    root_.put(device / "uevent", "DRIVER=amdgpu\nPCI_SLOT_NAME=" + slot + "\n");
    root_.put(device / "mem_info_vram_total", total);
    root_.put(device / "mem_info_vram_used", used);
  }
  TempFolder root_;
};

TEST_F(DevicesTest, AMachineWithNothing) {
  const Devices found = without_nvidia();
  EXPECT_TRUE(found.accelerators.empty());
  EXPECT_TRUE(found.nodes.empty());
  EXPECT_TRUE(found.problems.empty());
}

TEST_F(DevicesTest, TheRealMachineIsNoTrouble) {
  const Devices found = devices();
  for (const auto& each : found.accelerators) EXPECT_LE(each.memory_free, each.memory_total);
}

TEST_F(DevicesTest, NvidiasDevices) {
  const Devices found = nvidia("two");
  ASSERT_EQ(found.accelerators.size(), 2u);
  EXPECT_TRUE(found.problems.empty());
  const auto& first = found.accelerators[0];
  EXPECT_EQ(first.kind, AcceleratorKind::nvidia);
  EXPECT_EQ(first.index, 0u);
  EXPECT_EQ(first.name, "NVIDIA A");
  EXPECT_EQ(first.id, "GPU-1");
  EXPECT_EQ(first.memory_total, 80 * kGiB);
  EXPECT_EQ(first.memory_free, 20 * kGiB);
  EXPECT_EQ(first.busy_percent, 37);
  EXPECT_EQ(found.accelerators[1].index, 1u);
  EXPECT_EQ(found.accelerators[1].memory_total, 24 * kGiB);
}

TEST_F(DevicesTest, ALibraryThatFailsIsAProblemAndNoMore) {
  for (const char* mode : {"init", "count", "many"}) {
    const Devices found = nvidia(mode);
    EXPECT_TRUE(found.accelerators.empty()) << mode;
    EXPECT_EQ(found.problems.size(), 1u) << mode;
  }
  for (const char* mode : {"handle", "memory"}) {
    const Devices found = nvidia(mode);
    EXPECT_EQ(found.accelerators.size(), 1u) << mode;
    EXPECT_EQ(found.problems.size(), 1u) << mode;
  }
}

TEST_F(DevicesTest, ALibraryThatLiesIsNotBelieved) {
  for (const char* mode : {"total", "empty"}) {
    const Devices found = nvidia(mode);
    EXPECT_TRUE(found.accelerators.empty()) << mode;
    EXPECT_EQ(found.problems.size(), 2u) << mode;
  }
  EXPECT_EQ(nvidia("free").accelerators[1].memory_free, 24 * kGiB);
  EXPECT_EQ(nvidia("busy").accelerators[0].busy_percent, -1);
  EXPECT_EQ(nvidia("idle").accelerators[0].busy_percent, -1);
  EXPECT_EQ(nvidia("name").accelerators[0].name, "NVIDIA GPU");
  EXPECT_EQ(nvidia("endless").accelerators[0].name, std::string(96, 'x'));
  EXPECT_EQ(nvidia("control").accelerators[0].name, "evil?[31m");
}

TEST_F(DevicesTest, ALibraryOfAnotherKindIsAProblem) {
  const Devices found = devices({root_.path(), "libm.so.6"});
  EXPECT_TRUE(found.accelerators.empty());
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_NE(found.problems[0].find("nvmlInit_v2"), std::string::npos);
}

TEST_F(DevicesTest, AFileThatIsNoLibraryIsNone) {
  const Path text = root_.put("libnvidia-ml.so.1", "not a library");
  EXPECT_TRUE(devices({root_.path(), text.string()}).accelerators.empty());
}

TEST_F(DevicesTest, AmdsDevicesByTheirPlaceOnTheBus) {
  amd("card1", "0000:43:00.0", "17163091968\n");
  amd("card0", "0000:83:00.0", "25753026560\n");
  root_.put("sys/class/drm/card0/device/gpu_busy_percent", "12\n");
  root_.put("sys/class/drm/card0/device/product_name", "Radeon PRO W7900\n");
  root_.put("sys/class/drm/card0-DP-1/status", "connected\n");
  root_.put("sys/class/drm/card2/device/vendor", "0x8086\n");
  const Devices found = without_nvidia();
  ASSERT_EQ(found.accelerators.size(), 2u);
  EXPECT_EQ(found.accelerators[0].id, "0000:43:00.0");
  EXPECT_EQ(found.accelerators[0].name, "AMD GPU");
  EXPECT_EQ(found.accelerators[0].index, 0u);
  EXPECT_EQ(found.accelerators[0].busy_percent, -1);
  const auto& second = found.accelerators[1];
  EXPECT_EQ(second.kind, AcceleratorKind::amd);
  EXPECT_EQ(second.index, 1u);
  EXPECT_EQ(second.name, "Radeon PRO W7900");
  EXPECT_EQ(second.memory_total, 25753026560u);
  EXPECT_EQ(second.memory_free, 25753026560u - kGiB);
  EXPECT_EQ(second.busy_percent, 12);
}

TEST_F(DevicesTest, AmdsFilesMayLieToo) {
  amd("card0", "", "99999999999999999999\n");
  amd("card1", "", "-5\n");
  amd("card2", "", "8589934592\n", "99999999999\n");
  root_.put("sys/class/drm/card2/device/gpu_busy_percent", "250\n");
  amd("card3", "", "words\n");
  const Devices found = without_nvidia();
  ASSERT_EQ(found.accelerators.size(), 1u);
  EXPECT_EQ(found.accelerators[0].id, "card2");
  EXPECT_EQ(found.accelerators[0].memory_free, 0u);
  EXPECT_EQ(found.accelerators[0].busy_percent, -1);
  EXPECT_EQ(found.problems.size(), 3u);
}

TEST_F(DevicesTest, MemoryNodes) {
  root_.put("sys/devices/system/node/node1/meminfo",
            "Node 1 MemTotal:       4194304 kB\nNode 1 MemFree:        1048576 kB\n");
  root_.put("sys/devices/system/node/node1/cpulist", "4-7,12\n");
  root_.put("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: 8388608 kB\n");
  root_.put("sys/devices/system/node/node0/cpulist", "0-3,x,9-2\n");
  root_.put("sys/devices/system/node/possible", "0-1\n");
  root_.put("sys/devices/system/node/node2/meminfo", "Node 2 MemTotal: lots kB\n");
  const Devices found = without_nvidia();
  ASSERT_EQ(found.nodes.size(), 3u);
  EXPECT_EQ(found.nodes[0].number, 0u);
  EXPECT_EQ(found.nodes[0].memory_total, 8 * kGiB);
  EXPECT_EQ(found.nodes[0].memory_free, 0u);
  EXPECT_EQ(found.nodes[0].cpus, 4u);
  EXPECT_EQ(found.nodes[1].memory_total, 4 * kGiB);
  EXPECT_EQ(found.nodes[1].memory_free, kGiB);
  EXPECT_EQ(found.nodes[1].cpus, 5u);
  EXPECT_EQ(found.nodes[2].memory_total, 0u);
}

}  // namespace
}  // namespace corral::sys::devices_test
