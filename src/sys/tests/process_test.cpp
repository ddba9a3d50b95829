#include "sys/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// Debian 12's header forgets this.
extern "C" {
#include <sys/pidfd.h>
}

#include <atomic>
#include <thread>

#include "temp_folder.hpp"

namespace corral::sys::process_test {
namespace {

constexpr int kPatience = 10'000;  // ms; only a failing test waits so long

bool wait_ready(int fd, int milliseconds = kPatience) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, milliseconds) == 1;
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  while (wait_ready(fd)) {
    ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

// One line from the child, without the end of line: how tests wait until it is where they want it.
std::string read_line(int fd) {
  std::string text;
  char c = 0;
  while (wait_ready(fd) && ::read(fd, &c, 1) == 1 && c != '\n') text.push_back(c);
  return text;
}

bool gone(int pid) {
  Fd pidfd(::pidfd_open(pid, 0));
  return !pidfd.valid() || wait_ready(pidfd.get());
}

class ProcessTest : public testing::Test {
 protected:
  std::unique_ptr<ChildProcess> spawn(const SpawnSpec& spec) {
    auto child = processes_->spawn(spec);
    EXPECT_TRUE(child) << child.error().describe();
    return child ? std::move(*child) : nullptr;
  }
  std::unique_ptr<ChildProcess> shell(const std::string& script) {
    return spawn({.program = "/bin/sh",
                  .arguments = {"-c", script},
                  .environment = {{"PATH", "/usr/bin:/bin"}},
                  .capture_stdout = true});
  }
  static std::optional<ExitStatus> wait(ChildProcess& child) {
    EXPECT_TRUE(wait_ready(child.exit_fd()));
    return child.try_wait();
  }
  std::string output(const std::string& script) {
    auto child = shell(script);
    return read_all(child->stdout_fd());
  }
  std::unique_ptr<Processes> processes_ = real_processes();
};

TEST_F(ProcessTest, ExitCodesAndTheSameAnswerEverAfter) {
  for (int code : {0, 1, 42, 255}) {
    auto child = shell("exit " + std::to_string(code));
    auto status = wait(*child);
    ASSERT_TRUE(status);
    EXPECT_FALSE(status->by_signal);
    EXPECT_EQ(status->code, code);
    EXPECT_EQ(child->try_wait()->code, code);
    EXPECT_TRUE(child->send(Signal::terminate));  // has ended: no error
    child->kill_group();
    EXPECT_EQ(child->usage().resident_bytes, 0u);
  }
}

TEST_F(ProcessTest, NoStatusWhileItRuns) {
  auto child = shell("echo up; exec sleep 1000");
  EXPECT_EQ(read_line(child->stdout_fd()), "up");
  EXPECT_FALSE(child->try_wait());
  EXPECT_FALSE(wait_ready(child->exit_fd(), 0));
  EXPECT_GT(child->usage().resident_bytes, 0u);
}

TEST_F(ProcessTest, DeathBySignal) {
  for (auto [signal, number] :
       {std::pair{Signal::terminate, SIGTERM}, std::pair{Signal::interrupt, SIGINT},
        std::pair{Signal::kill, SIGKILL}}) {
    auto child = spawn({.program = "sleep", .arguments = {"1000"}});
    ASSERT_TRUE(child->send(signal));
    auto status = wait(*child);
    ASSERT_TRUE(status);
    EXPECT_TRUE(status->by_signal);
    EXPECT_EQ(status->code, number);
  }
}

TEST_F(ProcessTest, StatusDescribesItself) {
  EXPECT_EQ((ExitStatus{false, 1}).describe(), "exit code 1");
  EXPECT_EQ((ExitStatus{true, 9}).describe(), "signal 9 (Killed)");
  EXPECT_EQ((ExitStatus{true, 999}).describe(), "signal 999 (unknown)");
  EXPECT_EQ((ExitStatus{false, -1}).describe(), "exit status unknown");
}

TEST_F(ProcessTest, AChildThatIgnoresSigtermDiesBySigkill) {
  auto child = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
  EXPECT_EQ(read_line(child->stdout_fd()), "ready");
  ASSERT_TRUE(child->send(Signal::terminate));
  EXPECT_FALSE(wait_ready(child->exit_fd(), 50));
  ASSERT_TRUE(child->send(Signal::kill));
  auto status = wait(*child);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, SIGKILL);
}

TEST_F(ProcessTest, OutputIsCapturedApart) {
  auto child = spawn({.program = "/bin/sh",
                      .arguments = {"-c", "echo out; echo err >&2"},
                      .capture_stdout = true,
                      .capture_stderr = true});
  EXPECT_EQ(read_all(child->stdout_fd()), "out\n");
  EXPECT_EQ(read_all(child->stderr_fd()), "err\n");
  EXPECT_TRUE(::fcntl(child->stdout_fd(), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(::fcntl(child->stderr_fd(), F_GETFD) & FD_CLOEXEC);
}

TEST_F(ProcessTest, UncapturedOutputGoesNowhereAndStdinIsEmpty) {
  auto child = spawn({.program = "/bin/sh", .arguments = {"-c", "echo x; echo y >&2; cat"}});
  EXPECT_EQ(child->stdout_fd(), -1);
  EXPECT_EQ(child->stderr_fd(), -1);
  EXPECT_EQ(wait(*child)->code, 0);  // cat saw the end at once
  EXPECT_EQ(output("readlink /proc/self/fd/0"), "/dev/null\n");
}

TEST_F(ProcessTest, ArgumentsArePassedAsTheyAre) {
  auto child = spawn({.program = "/bin/sh",
                      .arguments = {"-c", "for a; do printf '[%s]' \"$a\"; done", "sh", "", "a b",
                                    "*", "$HOME", "ñ\n"},
                      .capture_stdout = true});
  EXPECT_EQ(read_all(child->stdout_fd()), "[][a b][*][$HOME][ñ\n]");
}

TEST_F(ProcessTest, TheEnvironmentIsExactlyTheOneGiven) {
  ::setenv("CORRAL_TEST_SECRET", "leak", 1);
  auto child = spawn({.program = "/usr/bin/env",
                      .environment = {{"A", "1"}, {"B", "x=y"}},
                      .capture_stdout = true});
  ::unsetenv("CORRAL_TEST_SECRET");
  EXPECT_EQ(read_all(child->stdout_fd()), "A=1\nB=x=y\n");
}

TEST_F(ProcessTest, NoDescriptorOfOursIsInherited) {
  Fd open_for_all(::open("/dev/null", O_RDONLY));  // NOLINT: without O_CLOEXEC on purpose
  Fd high(::fcntl(open_for_all.get(), F_DUPFD, 500));
  ASSERT_TRUE(high.valid());
  // The shell's own list: 0, 1, 2 and the one with which ls reads the folder.
  EXPECT_EQ(output("exec ls /proc/self/fd"), "0\n1\n2\n3\n");
}

TEST_F(ProcessTest, WorksWhenOurOwnStandardDescriptorsAreClosed) {
  // In a process of its own, because closing them here would silence the test program.
  pid_t pid = ::fork();
  if (pid == 0) {
    ::close(0);
    ::close(1);
    ::close(2);
    auto child = real_processes()->spawn({.program = "/bin/sh",
                                          .arguments = {"-c", "echo out; echo err >&2"},
                                          .capture_stdout = true,
                                          .capture_stderr = true});
    bool right = child && read_all((*child)->stdout_fd()) == "out\n" &&
                 read_all((*child)->stderr_fd()) == "err\n";
    ::_exit(right ? 0 : 1);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(ProcessTest, SignalsAreReset) {
  // Ignored and blocked signals would otherwise pass through exec.
  auto* before = ::signal(SIGTERM, SIG_IGN);
  sigset_t blocked;
  sigset_t old;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &blocked, &old);
  std::string masks = output("grep -E '^Sig(Blk|Ign)' /proc/self/status");
  sigset_t now;
  ::sigprocmask(SIG_SETMASK, &old, &now);
  ::signal(SIGTERM, before);
  EXPECT_EQ(masks, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  EXPECT_TRUE(sigismember(&now, SIGUSR1));  // spawn left our own mask as it was
}

TEST_F(ProcessTest, OwnGroupAndNoCoreDumps) {
  auto child = shell("ulimit -c; echo up; exec sleep 1000");
  EXPECT_EQ(read_line(child->stdout_fd()), "0");
  EXPECT_EQ(read_line(child->stdout_fd()), "up");
  EXPECT_EQ(::getpgid(child->pid()), child->pid());
}

TEST_F(ProcessTest, WorkingDirectory) {
  TempFolder folder;
  auto child =
      spawn({.program = "/bin/pwd", .working_directory = folder.path(), .capture_stdout = true});
  EXPECT_EQ(read_all(child->stdout_fd()),
            std::filesystem::canonical(folder.path()).string() + "\n");
  auto missing = processes_->spawn({.program = "/bin/pwd", .working_directory = folder / "no"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().message.find((folder / "no").string()), std::string::npos);
}

TEST_F(ProcessTest, MemoryLimit) {
  SpawnSpec spec{.program = "/bin/sh",
                 .arguments = {"-c", "ulimit -v"},
                 .capture_stdout = true,
                 .memory_limit = 512u << 20};
  auto child = spawn(spec);
  EXPECT_EQ(read_all(child->stdout_fd()), std::to_string((512u << 20) / 1024) + "\n");
}

TEST_F(ProcessTest, AMissingProgramIsNotFound) {
  auto child = processes_->spawn({.program = "/nowhere/llama"});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::not_found);
  EXPECT_NE(child.error().message.find("/nowhere/llama"), std::string::npos);
  EXPECT_FALSE(child.error().hint_text.empty());

  auto by_name = processes_->spawn({.program = "no-such-program-here"});
  ASSERT_FALSE(by_name);
  EXPECT_EQ(by_name.error().code, ErrorCode::not_found);
  EXPECT_NE(by_name.error().message.find("PATH"), std::string::npos);
  EXPECT_EQ(processes_->spawn({}).error().code, ErrorCode::invalid_argument);
}

TEST_F(ProcessTest, WhatIsNoProgramIsRefusedWithAHint) {
  TempFolder folder;
  Path plain = folder.put("plain", "no program");
  auto child = processes_->spawn({.program = plain});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(child.error().hint_text.find("chmod"), std::string::npos);

  std::filesystem::permissions(plain, std::filesystem::perms::owner_all);
  child = processes_->spawn({.program = plain});
  ASSERT_FALSE(child);
  EXPECT_NE(child.error().hint_text.find("kind of machine"), std::string::npos);

  Path script = folder.put("script", "#!/nowhere/interpreter\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  child = processes_->spawn({.program = script});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::not_found);
  EXPECT_NE(child.error().hint_text.find("interpreter"), std::string::npos);

  EXPECT_FALSE(processes_->spawn({.program = folder.path()}));
}

TEST_F(ProcessTest, TextsThatCannotBePassedAreRefused) {
  using namespace std::string_literals;
  for (const SpawnSpec& spec :
       {SpawnSpec{.program = "/bin/true\0x"s}, SpawnSpec{.program = "true", .arguments = {"a\0b"s}},
        SpawnSpec{.program = "true", .environment = {{"A", "x\0y"s}}},
        SpawnSpec{.program = "true", .environment = {{"A=B", "x"}}},
        SpawnSpec{.program = "true", .environment = {{"", "x"}}}}) {
    auto child = processes_->spawn(spec);
    ASSERT_FALSE(child);
    EXPECT_EQ(child.error().code, ErrorCode::invalid_argument);
  }
  auto child = processes_->spawn(
      {.program = "true", .arguments = std::vector<std::string>(64, std::string(100'000, 'x'))});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::invalid_argument);  // E2BIG
}

TEST_F(ProcessTest, NoDescriptorsLeftIsAnErrorAndLeaksNothing) {
  SpawnSpec spec{.program = "/bin/sleep",
                 .arguments = {"1000"},
                 .capture_stdout = true,
                 .capture_stderr = true};
  // UBSan opens a pipe when it first looks at an object of some type; let it do so now.
  EXPECT_TRUE(processes_->spawn(spec));
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  int lowest_free = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(lowest_free);
  // From none to enough: every descriptor on the way fails to open once.
  unsigned failures = 0;
  bool worked = false;
  for (int extra = 0; extra < 16 && !worked; ++extra) {
    rlimit tight{static_cast<rlim_t>(lowest_free + extra), before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &tight);
    auto child = processes_->spawn(spec);
    ::setrlimit(RLIMIT_NOFILE, &before);
    worked = child.has_value();
    failures += !worked;
    if (!worked) EXPECT_EQ(child.error().code, ErrorCode::io);
    child = fail(ErrorCode::io, "ended");
    int now = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(now, lowest_free);
    ::close(now);
  }
  EXPECT_TRUE(worked);
  EXPECT_GE(failures, 7u);
}

TEST_F(ProcessTest, KillGroupReachesGrandchildren) {
  auto child = shell("sleep 1000 & echo $!; wait");
  int grandchild = std::stoi(read_line(child->stdout_fd()));
  EXPECT_EQ(::kill(grandchild, 0), 0);
  child->kill_group();
  EXPECT_TRUE(wait(*child));
  EXPECT_TRUE(gone(grandchild));
}

TEST_F(ProcessTest, DestructionKillsTheWholeGroup) {
  auto child = shell("trap '' TERM; sleep 1000 & echo $!; wait");
  int grandchild = std::stoi(read_line(child->stdout_fd()));
  int pid = child->pid();
  child.reset();
  EXPECT_EQ(::kill(pid, 0), -1);  // reaped already
  EXPECT_TRUE(gone(grandchild));
}

TEST_F(ProcessTest, WhatAChildLeftBehindEndsWhenItIsReaped) {
  auto child = shell("sleep 1000 & echo $!");
  int grandchild = std::stoi(read_line(child->stdout_fd()));
  EXPECT_EQ(wait(*child)->code, 0);
  EXPECT_TRUE(gone(grandchild));
}

TEST_F(ProcessTest, KillOfTheParentLeavesNoOrphan) {
  int report[2];
  ASSERT_EQ(::pipe2(report, O_CLOEXEC), 0);
  pid_t parent = ::fork();
  if (parent == 0) {
    auto child = real_processes()->spawn({.program = "/bin/sleep", .arguments = {"1000"}});
    int pid = child ? (*child)->pid() : -1;
    [[maybe_unused]] ssize_t put = ::write(report[1], &pid, sizeof pid);
    for (;;) ::pause();
  }
  int child = -1;
  ASSERT_EQ(::read(report[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  ASSERT_GT(child, 0);
  Fd pidfd(::pidfd_open(child, 0));
  ASSERT_TRUE(pidfd.valid());
  EXPECT_FALSE(wait_ready(pidfd.get(), 0));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  EXPECT_TRUE(wait_ready(pidfd.get())) << "process " << child << " outlived its parent";
  ::close(report[0]);
  ::close(report[1]);
}

TEST_F(ProcessTest, UsageCountsTimeAndMemory) {
  auto child =
      shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; exec sleep 1000");
  EXPECT_EQ(read_line(child->stdout_fd()), "done");
  ProcessUsage usage = child->usage();
  EXPECT_GT(usage.cpu_time.count(), 0);
  EXPECT_GT(usage.resident_bytes, 100'000u);
  ASSERT_TRUE(child->send(Signal::kill));
  ASSERT_TRUE(wait_ready(child->exit_fd()));
  EXPECT_EQ(child->usage().resident_bytes, 0u);  // a zombie
}

TEST_F(ProcessTest, ManyThreadsMaySpawnAtOnce) {
  // Each child sees the end of its own pipes only if no other child inherited them.
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        auto child = shell("echo hi");
        right += child && read_all(child->stdout_fd()) == "hi\n" && wait(*child)->code == 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 40);
}

TEST_F(ProcessTest, AStatusThatSomebodyElseTookIsUnknown) {
  auto child = shell("exit 3");
  ASSERT_TRUE(wait_ready(child->exit_fd()));
  ::waitpid(child->pid(), nullptr, 0);
  auto status = child->try_wait();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->describe(), "exit status unknown");
}

class ProgramsTest : public testing::Test {
 protected:
  ProgramsTest() : path_(::getenv("PATH")) {}
  ~ProgramsTest() override { ::setenv("PATH", path_.c_str(), 1); }
  std::string path_;
  TempFolder folder_;
};

TEST_F(ProgramsTest, FindsTheFirstExecutableOnPath) {
  using std::filesystem::perms;
  folder_.put("a/tool", "not executable");
  std::filesystem::create_directories(folder_ / "b/tool");  // a folder of that name
  std::filesystem::permissions(folder_.put("c/tool", ""), perms::owner_all);
  std::filesystem::permissions(folder_.put("d/tool", ""), perms::owner_all);
  std::string path = "relative::";
  for (const char* name : {"a", "b", "missing", "c", "d"}) path += (folder_ / name).string() + ":";
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(find_program("tool").value(), folder_ / "c/tool");
  EXPECT_EQ(find_program("other").error().code, ErrorCode::not_found);
  EXPECT_EQ(find_program("").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(find_program("c/tool").error().code, ErrorCode::invalid_argument);
}

TEST_F(ProgramsTest, WithoutPathTheUsualFoldersAreSearched) {
  ::unsetenv("PATH");
  EXPECT_TRUE(find_program("sh"));
}

TEST_F(ProgramsTest, EnvironmentWithoutPrefixes) {
  ::setenv("LLAMA_ARG_PORT", "1", 1);
  ::setenv("LLAMA", "kept", 1);
  ::setenv("HF_TOKEN", "secret", 1);
  ::setenv("CORRAL_EMPTY", "", 1);
  auto environment = environment_without({"LLAMA_", "HF_"});
  for (const char* name : {"LLAMA_ARG_PORT", "LLAMA", "HF_TOKEN", "CORRAL_EMPTY"}) ::unsetenv(name);
  EXPECT_FALSE(environment.contains("LLAMA_ARG_PORT"));
  EXPECT_FALSE(environment.contains("HF_TOKEN"));
  EXPECT_EQ(environment["LLAMA"], "kept");
  EXPECT_TRUE(environment.contains("CORRAL_EMPTY"));
  EXPECT_EQ(environment["PATH"], path_);
}

}  // namespace
}  // namespace corral::sys::process_test
