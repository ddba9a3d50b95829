#include "sys/host.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "sys/host_linux.hpp"
#include "temp_folder.hpp"

namespace corral::sys::host_test {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

// A made-up machine: 4 logical CPUs on 2 cores, 8 GiB of memory of which 6 GiB are free.
class HostTest : public testing::Test {
 protected:
  HostTest() {
    root_.put("proc/meminfo",
              "MemTotal:        8388608 kB\nMemFree: 12 kB\n"
              "MemAvailable:    6291456 kB\n");
    for (int cpu = 0; cpu < 4; ++cpu) {
      Path topology = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology";
      root_.put(topology / "physical_package_id", "0\n");
      root_.put(topology / "core_id", std::to_string(cpu / 2) + "\n");
    }
  }
  void version_2(const std::string& group, const std::string& mount_root = "/") {
    root_.put("proc/self/cgroup", "0::" + group + "\n");
    root_.put("proc/self/mountinfo", "24 1 0:5 / /proc rw - proc proc rw\n30 24 0:26 " +
                                         mount_root +
                                         " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 c rw\n");
  }
  HostFacts facts() const { return host_facts_below(root_.path(), {0, 1, 2, 3}); }
  TempFolder root_;
};

TEST_F(HostTest, WithoutLimits) {
  HostFacts found = facts();
  EXPECT_EQ(found.logical_cpus, 4u);
  EXPECT_EQ(found.physical_cores, 2u);
  EXPECT_EQ(found.memory_total, 8192 * kMiB);
  EXPECT_EQ(found.memory_available, 6144 * kMiB);
}

TEST_F(HostTest, OnlyUsableCpusCount) {
  HostFacts found = host_facts_below(root_.path(), {0, 1});
  EXPECT_EQ(found.logical_cpus, 2u);
  EXPECT_EQ(found.physical_cores, 1u);  // two threads of one core
}

TEST_F(HostTest, AnEmptyMachineStillHasOneCpu) {
  TempFolder nothing;
  HostFacts found = host_facts_below(nothing.path(), {});
  EXPECT_EQ(found.logical_cpus, 1u);
  EXPECT_EQ(found.physical_cores, 1u);
  EXPECT_EQ(found.memory_total, 0u);
  EXPECT_EQ(host_facts_below(nothing.path(), {0, 1}).physical_cores, 2u);
}

TEST_F(HostTest, Version2LimitsOfTheGroupAndItsAncestors) {
  version_2("/slice/app.service");
  root_.put("sys/fs/cgroup/slice/app.service/cpu.max", "max 100000\n");
  root_.put("sys/fs/cgroup/slice/app.service/memory.max", "max\n");
  root_.put("sys/fs/cgroup/slice/cpu.max", "150000 100000\n");
  root_.put("sys/fs/cgroup/slice/memory.max", std::to_string(1024 * kMiB) + "\n");
  root_.put("sys/fs/cgroup/slice/memory.current", std::to_string(400 * kMiB) + "\n");
  root_.put("sys/fs/cgroup/slice/memory.stat",
            "anon 5\nactive_file 7\ninactive_file " + std::to_string(100 * kMiB) + "\n");
  HostFacts found = facts();
  EXPECT_EQ(found.logical_cpus, 2u);  // 1.5 CPUs, rounded up
  EXPECT_EQ(found.memory_total, 1024 * kMiB);
  EXPECT_EQ(found.memory_available, (1024 - 300) * kMiB);
}

TEST_F(HostTest, Version2InAContainerWhoseMountBeginsBelowTheRoot) {
  version_2("/docker/abc/worker", "/docker/abc");
  root_.put("sys/fs/cgroup/worker/cpu.max", "50000 100000\n");
  root_.put("sys/fs/cgroup/memory.max", std::to_string(512 * kMiB) + "\n");
  HostFacts found = facts();
  EXPECT_EQ(found.logical_cpus, 1u);
  EXPECT_EQ(found.memory_total, 512 * kMiB);
}

TEST_F(HostTest, AGroupOutsideTheMountFallsBackToTheMount) {
  version_2("/elsewhere", "/docker/abc");
  root_.put("sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(facts().logical_cpus, 1u);
}

TEST_F(HostTest, Version1Limits) {
  root_.put("proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n2:cpuset:/\n0::/\n");
  root_.put("proc/self/mountinfo",
            "31 24 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
            "32 24 0:28 / /cg/memory rw - cgroup cgroup rw,memory\n");
  root_.put("cg/cpu/box/cpu.cfs_quota_us", "-1\n");
  root_.put("cg/cpu/box/cpu.cfs_period_us", "100000\n");
  root_.put("cg/cpu/cpu.cfs_quota_us", "300000\n");
  root_.put("cg/cpu/cpu.cfs_period_us", "100000\n");
  root_.put("cg/memory/box/memory.limit_in_bytes", std::to_string(2048 * kMiB) + "\n");
  root_.put("cg/memory/box/memory.usage_in_bytes", std::to_string(3000 * kMiB) + "\n");
  root_.put("cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
  HostFacts found = facts();
  EXPECT_EQ(found.logical_cpus, 3u);
  EXPECT_EQ(found.physical_cores, 2u);
  EXPECT_EQ(found.memory_total, 2048 * kMiB);
  EXPECT_EQ(found.memory_available, 0u);  // more used than allowed
}

TEST_F(HostTest, RubbishInControlGroupFilesIsIgnored) {
  version_2("/g");
  root_.put("proc/self/cgroup", "rubbish\n0::/g\n\n");
  root_.put("proc/self/mountinfo",
            "no dash here\nshort - cgroup2\n30 24 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n");
  root_.put("sys/fs/cgroup/g/cpu.max", "many few\n");
  root_.put("sys/fs/cgroup/g/memory.max", "-5\n");
  HostFacts found = facts();
  EXPECT_EQ(found.logical_cpus, 4u);
  EXPECT_EQ(found.memory_total, 8192 * kMiB);
}

TEST_F(HostTest, RubbishInMeminfo) {
  root_.put("proc/meminfo", "MemTotal: lots kB\nMemAvailable\n");
  EXPECT_EQ(facts().memory_total, 0u);
  EXPECT_EQ(facts().memory_available, 0u);
}

TEST(Host, ThisMachine) {
  HostFacts found = host_facts();
  cpu_set_t set;
  ASSERT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_GE(found.logical_cpus, 1u);
  EXPECT_LE(found.logical_cpus, static_cast<unsigned>(CPU_COUNT(&set)));
  EXPECT_LE(found.physical_cores, found.logical_cpus);
  EXPECT_GT(found.memory_total, 64 * kMiB);
  EXPECT_GT(found.memory_available, 0u);
  EXPECT_LE(found.memory_available, found.memory_total);
  EXPECT_TRUE(found.os.starts_with("Linux "));
  EXPECT_FALSE(found.hostname.empty());
}

TEST(Host, AffinityCounts) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(host_facts().logical_cpus, 1u);
  ::sched_setaffinity(0, sizeof before, &before);
}

TEST(Host, SelfUsageFollowsWhatWeDo) {
  SelfUsage before = self_usage();
  EXPECT_GT(before.resident_bytes, kMiB);
  EXPECT_GE(before.threads, 1u);
  EXPECT_GE(before.open_files, 1u);

  Fd one(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Fd two(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::atomic<bool> stop{false};
  std::thread other([&] { stop.wait(false); });
  SelfUsage after = self_usage();
  stop = true;
  stop.notify_all();
  other.join();
  EXPECT_EQ(after.open_files, before.open_files + 2);
  EXPECT_EQ(after.threads, before.threads + 1);
  EXPECT_GE(after.cpu_seconds, before.cpu_seconds);
}

TEST(Host, RaisesTheOpenFileLimit) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit lowered{std::min<rlim_t>(before.rlim_max, 256), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &lowered), 0);
  EXPECT_EQ(raise_open_file_limit(), before.rlim_max);
  EXPECT_EQ(raise_open_file_limit(), before.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST(Host, OpenFilesHaveRoomBeforeTheyAreOpened) {
  raise_open_file_limit();
  auto room = [] {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line)) {
      if (line.starts_with("FDSize:")) return std::stoull(line.substr(7));
    }
    return 0ULL;
  };
  auto open_before = self_usage().open_files;
  auto wanted = room() * 4;
  reserve_open_files(wanted);
  EXPECT_GE(room(), wanted);
  EXPECT_LE(room(), wanted * 2);
  EXPECT_EQ(self_usage().open_files, open_before);

  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit lowered{wanted * 4, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &lowered), 0);
  reserve_open_files(wanted * 100);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_GE(room(), wanted * 4);
  EXPECT_LE(room(), wanted * 8);
}

TEST(Host, TerminalOrNot) {
  Fd null_device(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(is_terminal(null_device.get()));
  EXPECT_FALSE(is_terminal(-1));
  Fd terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (terminal.valid()) EXPECT_TRUE(is_terminal(terminal.get()));
}

}  // namespace
}  // namespace corral::sys::host_test
