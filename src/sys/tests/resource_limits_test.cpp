#include "sys/resource_limits.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "sys/process.hpp"
#include "sys/resource_limits_linux.hpp"
#include "temp_folder.hpp"

namespace corral::sys::resource_limits_test {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMiB = 1ull << 20;

std::string text_of(const Path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

void put(const Path& file, std::string_view text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

// Control group files that are plain ones. A new folder has those that `controllers` say.
class MadeUpFiles final : public ControlFiles {
 public:
  struct Rules {
    std::vector<std::string> inside;     // of a new folder
    std::set<std::string> refused;       // names of files that cannot be written
    std::set<std::string> refused_once;  // the first time
    bool folders = true;                 // may be made
    int stuck = 0;                       // so many removals fail
  };
  explicit MadeUpFiles(Rules& rules) : rules_(rules) {}

  bool make_folder(const Path& folder) override {
    std::error_code error;
    if (!rules_.folders || !fs::create_directory(folder, error)) return false;
    for (const auto& name : rules_.inside) std::ofstream(folder / name).flush();
    return true;
  }
  bool remove_folder(const Path& folder) override {
    if (rules_.stuck > 0) {
      --rules_.stuck;
      return false;
    }
    return fs::remove_all(folder) > 0;
  }
  std::vector<std::string> folders(const Path& folder) override {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& each : fs::directory_iterator(folder, error)) {
      if (each.is_directory()) out.push_back(each.path().filename());
    }
    return out;
  }
  std::string read(const Path& file) override { return text_of(file); }
  bool write(const Path& file, std::string_view text) override {
    if (rules_.refused.contains(file.filename())) return false;
    if (rules_.refused_once.erase(file.filename()) > 0) return false;
    if (!fs::exists(file)) return false;
    put(file, text);
    // What was switched on is what can be read.
    if (file.filename() == "cgroup.subtree_control") put(file, "cpu io memory\n");
    return true;
  }
  Fd open_to_write(const Path& file) override {
    if (rules_.refused.contains(file.filename())) return Fd();
    return Fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  }

 private:
  Rules& rules_;
};

class ResourceLimitsTest : public testing::Test {
 protected:
  // Version 2 alone, and we are in /service there.
  void version_2() {
    put(root_ / "proc/self/cgroup", "0::/service\n");
    put(root_ / "proc/self/mountinfo",
        "30 1 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
    own_ = root_ / "sys/fs/cgroup/service";
    put(own_ / "cgroup.controllers", "cpuset cpu io memory pids\n");
    put(own_ / "cgroup.subtree_control", "");
    put(own_ / "cgroup.procs", "");
    rules_.inside = {"cgroup.procs",  "memory.max", "memory.swap.max", "memory.oom.group",
                     "memory.events", "cpu.max",    "io.weight"};
  }
  void version_1() {
    put(root_ / "proc/self/cgroup", "3:memory:/box\n2:cpu,cpuacct:/\n1:blkio:/\n");
    put(root_ / "proc/self/mountinfo",
        "30 1 0:2 / /cg/memory rw - cgroup cgroup rw,memory\n"
        "31 1 0:3 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 1 0:4 / /cg/blkio rw - cgroup cgroup rw,blkio\n");
    for (const char* folder : {"cg/memory/box", "cg/cpu", "cg/blkio"}) {
      fs::create_directories(root_ / folder);
    }
    rules_.inside = {"cgroup.procs",     "memory.limit_in_bytes", "memory.oom_control",
                     "cpu.cfs_quota_us", "cpu.cfs_period_us",     "blkio.bfq.weight"};
  }
  void alive(int pid, const std::string& started) {
    std::string stat = std::to_string(pid) + " (a (name) S) S";
    for (int field = 4; field < 22; ++field) stat += " 0";
    put(root_ / "proc" / std::to_string(pid) / "stat", stat + " " + started + " 0\n");
  }
  std::unique_ptr<ResourceLimits> make() {
    alive(42, "777");
    return resource_limits_below(root_, std::make_unique<MadeUpFiles>(rules_), 42);
  }
  static std::size_t count(const Path& folder) {
    std::size_t out = 0;
    for (const auto& each : fs::directory_iterator(folder)) out += each.is_directory() ? 1 : 0;
    return out;
  }

  TempFolder temp_;
  Path root_ = temp_.path();
  Path own_;
  MadeUpFiles::Rules rules_;
};

TEST_F(ResourceLimitsTest, WithoutControlGroupsThereAreNone) {
  auto limits = make();
  EXPECT_EQ(limits->ways(), LimitWays{});
  auto group = limits->create({.memory = kMiB, .processors = 1, .io_weight = 10});
  EXPECT_EQ(group->ways(), LimitWays{});
  EXPECT_TRUE(group->join_files().empty());
  EXPECT_FALSE(group->ran_out_of_memory());
}

TEST_F(ResourceLimitsTest, Version2IsHandedDownBelowUs) {
  version_2();
  rules_.refused_once = {"cgroup.subtree_control"};  // while we are in the group ourselves
  auto limits = make();
  EXPECT_EQ(limits->ways().memory, LimitWay::control_group_2);
  EXPECT_EQ(limits->ways().processors, LimitWay::control_group_2);
  EXPECT_EQ(limits->ways().io, LimitWay::control_group_2);
  EXPECT_EQ(text_of(own_ / "corral-42-777-self/cgroup.procs"), "42");

  auto group = limits->create({.memory = 100 * kMiB, .processors = 1.5, .io_weight = 50});
  EXPECT_EQ(group->ways(), limits->ways());
  EXPECT_EQ(group->join_files().size(), 1u);
  const Path folder = own_ / "corral-42-777-1";
  EXPECT_EQ(text_of(folder / "memory.max"), "104857600");
  EXPECT_EQ(text_of(folder / "memory.swap.max"), "0");
  EXPECT_EQ(text_of(folder / "memory.oom.group"), "1");
  EXPECT_EQ(text_of(folder / "cpu.max"), "150000 100000");
  EXPECT_EQ(text_of(folder / "io.weight"), "50");
  EXPECT_FALSE(group->ran_out_of_memory());
  put(folder / "memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n");
  EXPECT_TRUE(group->ran_out_of_memory());
  group.reset();
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(ResourceLimitsTest, AGroupThatOthersAreInIsLeftAsItWas) {
  version_2();
  rules_.refused = {"cgroup.subtree_control"};
  auto limits = make();
  EXPECT_EQ(limits->ways(), LimitWays{});
  EXPECT_EQ(text_of(own_ / "cgroup.procs"), "42");  // moved back
  EXPECT_EQ(count(own_), 0u);
}

TEST_F(ResourceLimitsTest, WhereNoFoldersCanBeMadeThereAreNone) {
  version_2();
  rules_.folders = false;
  EXPECT_EQ(make()->ways(), LimitWays{});
  rules_.folders = true;
  put(own_ / "cgroup.controllers", "hugetlb\n");
  EXPECT_EQ(make()->ways(), LimitWays{});
}

TEST_F(ResourceLimitsTest, Version1HasAGroupForEachKind) {
  version_1();
  auto limits = make();
  EXPECT_EQ(limits->ways().memory, LimitWay::control_group_1);
  auto group = limits->create({.memory = kMiB, .processors = 0.5, .io_weight = 5000});
  EXPECT_EQ(group->ways(), limits->ways());
  EXPECT_EQ(group->join_files().size(), 3u);
  const std::string name = "corral-42-777-1";
  EXPECT_EQ(text_of(root_ / "cg/memory/box" / name / "memory.limit_in_bytes"), "1048576");
  EXPECT_EQ(text_of(root_ / "cg/cpu" / name / "cpu.cfs_quota_us"), "50000");
  EXPECT_EQ(text_of(root_ / "cg/cpu" / name / "cpu.cfs_period_us"), "100000");
  EXPECT_EQ(text_of(root_ / "cg/blkio" / name / "blkio.bfq.weight"), "1000");
  put(root_ / "cg/memory/box" / name / "memory.oom_control",
      "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  EXPECT_TRUE(group->ran_out_of_memory());
  group.reset();
  EXPECT_EQ(count(root_ / "cg/cpu"), 0u);
}

TEST_F(ResourceLimitsTest, OnlyWhatIsAskedForIsMade) {
  version_1();
  auto limits = make();
  auto group = limits->create({.memory = kMiB});
  EXPECT_EQ(group->ways(), (LimitWays{.memory = LimitWay::control_group_1}));
  EXPECT_EQ(group->join_files().size(), 1u);
  EXPECT_EQ(count(root_ / "cg/cpu"), 0u);
}

TEST_F(ResourceLimitsTest, AFileThatCannotBeWrittenIsALimitThatDoesNotHold) {
  version_1();
  auto limits = make();
  rules_.refused = {"memory.limit_in_bytes", "cpu.cfs_quota_us", "blkio.bfq.weight"};
  auto group = limits->create({.memory = kMiB, .processors = 1, .io_weight = 10});
  EXPECT_EQ(group->ways(), LimitWays{});
  group.reset();
  rules_.refused = {"cgroup.procs"};
  group = limits->create({.memory = kMiB});
  EXPECT_EQ(group->ways(), LimitWays{});
  EXPECT_TRUE(group->join_files().empty());
  EXPECT_EQ(count(root_ / "cg/memory/box"), 0u);
}

TEST_F(ResourceLimitsTest, AGroupThatCannotGoYetGoesLater) {
  version_1();
  auto limits = make();
  auto group = limits->create({.memory = kMiB});
  rules_.stuck = 1;
  group.reset();
  EXPECT_EQ(count(root_ / "cg/memory/box"), 1u);
  group = limits->create({.processors = 1});
  EXPECT_EQ(count(root_ / "cg/memory/box"), 0u);
}

TEST_F(ResourceLimitsTest, WhatAKilledCorralLeftBehindGoes) {
  version_1();
  const Path box = root_ / "cg/memory/box";
  alive(50, "100");
  for (const char* name : {"corral-50-100-1",     // lives
                           "corral-50-99-1",      // another process had that number
                           "corral-51-100-self",  // is no more
                           "corral-backup", "docker"}) {
    fs::create_directories(box / name);
  }
  auto limits = make();
  EXPECT_TRUE(fs::exists(box / "corral-50-100-1"));
  EXPECT_FALSE(fs::exists(box / "corral-50-99-1"));
  EXPECT_FALSE(fs::exists(box / "corral-51-100-self"));
  EXPECT_TRUE(fs::exists(box / "corral-backup"));
  EXPECT_TRUE(fs::exists(box / "docker"));
}

TEST(LimitWayNames, AreThoseOfTheDocumentation) {
  EXPECT_EQ(to_string(LimitWay::none), "none");
  EXPECT_EQ(to_string(LimitWay::control_group_1), "cgroup v1");
  EXPECT_EQ(to_string(LimitWay::control_group_2), "cgroup v2");
  EXPECT_EQ(to_string(LimitWay::watch), "watch");
  EXPECT_EQ(to_string(LimitWay::threads), "threads");
  EXPECT_EQ(to_string(LimitWay::priority), "priority");
}

// What a child says on its standard output.
std::string said_by(const SpawnSpec& spec) {
  auto child = real_processes()->spawn(spec);
  EXPECT_TRUE(child) << child.error().describe();
  if (!child) return {};
  std::string out;
  char buffer[512];
  pollfd readable{(*child)->stdout_fd(), POLLIN, 0};
  while (::poll(&readable, 1, 10'000) == 1) {
    const ssize_t got = ::read((*child)->stdout_fd(), buffer, sizeof buffer);
    if (got <= 0) break;
    out.append(buffer, static_cast<std::size_t>(got));
  }
  return out;
}

TEST(RealLimits, AChildIsInItsGroupBeforeItRuns) {
  auto limits = real_resource_limits();
  const bool grouped = limits->ways().memory != LimitWay::none;
  auto group = limits->create({.memory = 64 * kMiB});
  const std::string groups = said_by({.program = "/bin/cat",
                                      .arguments = {"/proc/self/cgroup"},
                                      .capture_stdout = true,
                                      .join = group->join_files()});
  const std::string ours = "/corral-" + std::to_string(::getpid()) + "-";
  EXPECT_EQ(groups.find(ours) != std::string::npos, grouped) << groups;
  EXPECT_EQ(group->join_files().empty(), !grouped);
  EXPECT_FALSE(group->ran_out_of_memory());
}

TEST(RealLimits, WhoTakesTooMuchIsEndedAndItIsSaid) {
  auto limits = real_resource_limits();
  auto group = limits->create({.memory = 16 * kMiB});
  if (limits->ways().memory == LimitWay::none) {  // then nothing would end the child below
    EXPECT_TRUE(group->join_files().empty());
    EXPECT_FALSE(group->ran_out_of_memory());
    return;
  }
  auto child =
      real_processes()->spawn({.program = "/bin/sh",
                               .arguments = {"-c", "x=1234567890; while :; do x=$x$x; done"},
                               .join = group->join_files()});
  ASSERT_TRUE(child) << child.error().describe();
  pollfd ended{(*child)->exit_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, 60'000), 1);
  auto status = (*child)->try_wait();
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->by_signal);
  EXPECT_EQ(status->code, 9);
  EXPECT_TRUE(group->ran_out_of_memory());
}

TEST(RealLimits, AChildCanBeTheFirstToGo) {
  long ours = 0;
  std::ifstream("/proc/self/oom_score_adj") >> ours;
  const std::string said = said_by({.program = "/bin/cat",
                                    .arguments = {"/proc/self/oom_score_adj"},
                                    .capture_stdout = true,
                                    .ended_before_us = 300,
                                    .io_level = 6});
  EXPECT_EQ(std::stol(said), std::min(1000l, ours + 300));
}

TEST(RealLimits, AGroupThatIsNoneFailsTheStart) {
  Fd nowhere(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  auto child = real_processes()->spawn({.program = "/bin/true", .join = {nowhere.get()}});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::io);
}

TEST(RealLimits, PrivateMemoryIsNotAFilesOwn) {
  auto child = real_processes()->spawn({.program = "/bin/sh",
                                        .arguments = {"-c", "echo up; exec sleep 60"},
                                        .capture_stdout = true});
  ASSERT_TRUE(child);
  pollfd up{(*child)->stdout_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&up, 1, 10'000), 1);
  const auto usage = (*child)->usage();
  EXPECT_GT(usage.private_bytes, 0u);
  EXPECT_LE(usage.private_bytes, usage.resident_bytes);
}

}  // namespace
}  // namespace corral::sys::resource_limits_test
