#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Debian 12's header forgets this.
extern "C" {
#include <sys/pidfd.h>
}

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "sys/process.hpp"
#include "sys/process_linux.hpp"

namespace corral::sys {
namespace {

// Where the child was when it failed, sent to the parent with errno.
enum class Step : int { group, parent_death, limits, descriptors, directory, execute };

struct ChildFailure {
  Step step;
  int number;
};

// Everything the child needs, made before fork(): between fork() and execve() only
// async-signal-safe calls are allowed, because another thread may have held the allocator's lock.
struct ChildPlan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const char* directory;                         // or nullptr
  int null_fd, stdout_fd, stderr_fd, report_fd;  // all above 2
  pid_t parent;
  const std::uint64_t* memory_limit;
  const int* join;  // `join_count` of them
  std::size_t join_count;
  const char* oom_score;  // or nullptr
  const unsigned* io_level;
};

[[noreturn]] void child_fail(int report_fd, Step step) {
  ChildFailure failure{step, errno};
  [[maybe_unused]] ssize_t put = ::write(report_fd, &failure, sizeof failure);
  ::_exit(127);
}

void child_reset_signals() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool child_limit(const ChildPlan& plan) {
  rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) return false;
  if (plan.memory_limit == nullptr) return true;
  rlimit memory{*plan.memory_limit, *plan.memory_limit};
  return ::setrlimit(RLIMIT_AS, &memory) == 0;
}

// Before descriptors are moved about, since those of the groups may be anywhere.
bool child_join(const ChildPlan& plan) {
  for (std::size_t i = 0; i < plan.join_count; ++i) {
    // "0" is whoever writes it.
    if (::write(plan.join[i], "0", 1) != 1) return false;
  }
  return true;
}

// Hints: a system that does not take them has its reasons.
void child_hints(const ChildPlan& plan) {
  if (plan.oom_score != nullptr) {
    int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
      [[maybe_unused]] ssize_t put = ::write(fd, plan.oom_score, ::strlen(plan.oom_score));
      ::close(fd);
    }
  }
  if (plan.io_level == nullptr) return;
  // ioprio_set(2), which has no function in the C library.
  constexpr int kThisProcess = 1, kBestEffort = 2, kClassShift = 13;
  ::syscall(SYS_ioprio_set, kThisProcess, 0,
            (kBestEffort << kClassShift) | static_cast<int>(*plan.io_level));
}

[[noreturn]] void run_child(const ChildPlan& plan) {
  int report = plan.report_fd;
  if (::setpgid(0, 0) != 0) child_fail(report, Step::group);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) child_fail(report, Step::parent_death);
  if (::getppid() != plan.parent) ::_exit(127);  // The parent ended before the line above.
  child_reset_signals();
  if (!child_join(plan)) child_fail(report, Step::limits);
  child_hints(plan);
  if (::dup2(plan.null_fd, 0) < 0 || ::dup2(plan.stdout_fd, 1) < 0 || ::dup2(plan.stderr_fd, 2) < 0)
    child_fail(report, Step::descriptors);
  if (report != 3 && ::dup3(report, 3, O_CLOEXEC) < 0) child_fail(report, Step::descriptors);
  report = 3;
  if (::close_range(4, ~0U, 0) != 0) child_fail(report, Step::descriptors);
  if (!child_limit(plan)) child_fail(report, Step::limits);
  if (plan.directory != nullptr && ::chdir(plan.directory) != 0)
    child_fail(report, Step::directory);
  ::execve(plan.program, plan.arguments, plan.environment);
  child_fail(report, Step::execute);
}

struct Pipe {
  Fd read_end;
  Fd write_end;
};

// Both ends close on exec and lie above 2, so that the child's dup2 onto 0, 1 and 2 cannot hit them
// even if we run with those closed.
Result<Fd> above_standard(Fd fd) {
  if (fd.valid() && fd.get() > 2) return fd;
  int moved = fd.valid() ? ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3) : -1;
  if (moved < 0) return fail_os("cannot make a descriptor for a child process", errno);
  return Fd(moved);
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return fail_os("cannot make a pipe for a child process", errno)
        .hint("raise the limit of open files");
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  CORRAL_TRY(Fd high_read, above_standard(std::move(read_end)));
  CORRAL_TRY(Fd high_write, above_standard(std::move(write_end)));
  return Pipe{std::move(high_read), std::move(high_write)};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// `above` more than ours, which this process may always give to others.
std::string oom_score(unsigned above) {
  if (above == 0) return {};
  constexpr long kMost = 1000;
  long ours = 0;
  std::ifstream("/proc/self/oom_score_adj") >> ours;
  return std::to_string(std::min(kMost, ours + static_cast<long>(std::min(above, 2000u))));
}

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

Result<void> check_texts(const SpawnSpec& spec) {
  bool bad = has_nul(spec.program.native()) || has_nul(spec.working_directory.native());
  for (const std::string& argument : spec.arguments) bad = bad || has_nul(argument);
  for (const auto& [name, value] : spec.environment)
    bad = bad || has_nul(name) || has_nul(value) || name.empty() ||
          name.find('=') != std::string::npos;
  if (bad)
    return fail(ErrorCode::invalid_argument,
                "an argument or environment variable of a child process holds a character that "
                "cannot be passed");
  return {};
}

Error failure_of(const ChildFailure& failure, const SpawnSpec& spec, const Path& program) {
  std::string name = "'" + program.string() + "'";
  if (failure.step == Step::directory) {
    Error error = fail_os("cannot start " + name + " in '" + spec.working_directory.string() + "'",
                          failure.number);
    if (failure.number == ENOENT || failure.number == ENOTDIR) error.code = ErrorCode::not_found;
    return error;
  }
  Error error = fail_os("cannot start " + name, failure.number);
  if (failure.step != Step::execute) return error;
  switch (failure.number) {
    case ENOENT:
    case ENOTDIR:
      error.code = ErrorCode::not_found;
      error.hint_text = ::access(program.c_str(), F_OK) == 0
                            ? "the file is there, but its interpreter or loader is not"
                            : "check the path";
      break;
    case EACCES:
    case EPERM:
      error.code = ErrorCode::invalid_argument;
      error.hint_text = "it is not executable for this user: chmod +x, or a mount with noexec";
      break;
    case ENOEXEC:
      error.code = ErrorCode::invalid_argument;
      error.hint_text = "it is not a program for this kind of machine";
      break;
    case E2BIG: error.code = ErrorCode::invalid_argument; break;
    default: break;
  }
  return error;
}

ExitStatus status_of(const siginfo_t& info) {
  return {.by_signal = info.si_code != CLD_EXITED, .code = info.si_status};
}

void reap(pid_t pid) {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {}
}

int signal_number(Signal signal) {
  switch (signal) {
    case Signal::interrupt: return SIGINT;
    case Signal::terminate: return SIGTERM;
    case Signal::kill: return SIGKILL;
  }
  return SIGKILL;
}

class RealChild final : public ChildProcess {
 public:
  RealChild(pid_t pid, Fd pidfd, Fd out, Fd err)
      : pid_(pid), pidfd_(std::move(pidfd)), stdout_(std::move(out)), stderr_(std::move(err)) {}

  ~RealChild() override {
    if (try_wait()) return;
    kill_group();
    // SIGKILL takes effect at once unless the child hangs in the kernel (a dead network disk); then
    // it stays behind as a zombie until we end rather than hanging us too.
    pollfd ended{pidfd_.get(), POLLIN, 0};
    while (::poll(&ended, 1, 5'000) < 0 && errno == EINTR) {}
    try_wait();
  }

  int pid() const override { return pid_; }
  int exit_fd() const override { return pidfd_.get(); }
  int stdout_fd() const override { return stdout_.get(); }
  int stderr_fd() const override { return stderr_.get(); }

  std::optional<ExitStatus> try_wait() override {
    if (status_) return status_;
    siginfo_t info{};
    auto id = static_cast<id_t>(pidfd_.get());
    // Looked at first and reaped after: until then the number of the group cannot be given anew.
    while (::waitid(P_PIDFD, id, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
      if (errno == EINTR) continue;
      // Somebody else reaped it (SIGCHLD ignored in this program): its status is lost.
      return status_ = ExitStatus{.by_signal = false, .code = -1};
    }
    if (info.si_pid == 0) return std::nullopt;
    ::kill(-pid_, SIGKILL);
    while (::waitid(P_PIDFD, id, &info, WEXITED) != 0 && errno == EINTR) {}
    return status_ = status_of(info);
  }

  Result<void> send(Signal signal) override {
    if (status_) return {};
    if (::pidfd_send_signal(pidfd_.get(), signal_number(signal), nullptr, 0) == 0) return {};
    if (errno == ESRCH) return {};
    return fail_os("cannot send a signal to process " + std::to_string(pid_), errno);
  }

  void kill_group() override {
    if (!status_) ::kill(-pid_, SIGKILL);
  }

  ProcessUsage usage() const override { return status_ ? ProcessUsage{} : process_usage(pid_); }

 private:
  pid_t pid_;
  Fd pidfd_;
  Fd stdout_;
  Fd stderr_;
  std::optional<ExitStatus> status_;
};

struct ChildPipes {
  Fd null_device;
  Pipe report;
  Pipe out;
  Pipe err;
};

Result<ChildPipes> make_pipes(const SpawnSpec& spec) {
  ChildPipes pipes;
  CORRAL_TRY(pipes.null_device, above_standard(Fd(::open("/dev/null", O_RDWR | O_CLOEXEC))));
  CORRAL_TRY(pipes.report, make_pipe());
  if (spec.capture_stdout) {
    CORRAL_TRY(pipes.out, make_pipe());
    ::fcntl(pipes.out.read_end.get(), F_SETFL, O_NONBLOCK);
  }
  if (spec.capture_stderr) {
    CORRAL_TRY(pipes.err, make_pipe());
    ::fcntl(pipes.err.read_end.get(), F_SETFL, O_NONBLOCK);
  }
  return pipes;
}

// Signals are held back around fork(), so that none of our handlers runs in the child.
pid_t fork_child(const ChildPlan& plan) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = ::fork();
  if (pid == 0) run_child(plan);
  int number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = number;
  return pid;
}

// End of file means that execve() succeeded and closed the pipe.
std::optional<ChildFailure> read_report(int fd) {
  ChildFailure failure{};
  for (;;) {
    ssize_t got = ::read(fd, &failure, sizeof failure);
    if (got < 0 && errno == EINTR) continue;
    if (got == static_cast<ssize_t>(sizeof failure)) return failure;
    return std::nullopt;
  }
}

class RealProcesses final : public Processes {
 public:
  Result<std::unique_ptr<ChildProcess>> spawn(const SpawnSpec& spec) override {
    CORRAL_CHECK(check_texts(spec));
    CORRAL_TRY(Path program, resolve(spec.program));
    std::vector<std::string> arguments{spec.program.string()};
    arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
    std::vector<std::string> environment;
    environment.reserve(spec.environment.size());
    for (const auto& [name, value] : spec.environment) {
      environment.emplace_back(name).append("=").append(value);
    }
    std::vector<char*> argument_pointers = pointers(arguments);
    std::vector<char*> environment_pointers = pointers(environment);
    CORRAL_TRY(ChildPipes pipes, make_pipes(spec));

    const std::string score = oom_score(spec.ended_before_us);
    int null_fd = pipes.null_device.get();
    ChildPlan plan{
        .program = program.c_str(),
        .arguments = argument_pointers.data(),
        .environment = environment_pointers.data(),
        .directory = spec.working_directory.empty() ? nullptr : spec.working_directory.c_str(),
        .null_fd = null_fd,
        .stdout_fd = spec.capture_stdout ? pipes.out.write_end.get() : null_fd,
        .stderr_fd = spec.capture_stderr ? pipes.err.write_end.get() : null_fd,
        .report_fd = pipes.report.write_end.get(),
        .parent = ::getpid(),
        .memory_limit = spec.memory_limit ? &*spec.memory_limit : nullptr,
        .join = spec.join.data(),
        .join_count = spec.join.size(),
        .oom_score = score.empty() ? nullptr : score.c_str(),
        .io_level = spec.io_level ? &*spec.io_level : nullptr};
    pid_t pid = fork_child(plan);
    if (pid < 0)
      return fail_os("cannot start '" + program.string() + "'", errno)
          .hint("raise the limit of processes, or free memory");
    return adopt(pid, std::move(pipes), spec, program);
  }

 private:
  static Result<Path> resolve(const Path& program) {
    if (program.empty()) return fail(ErrorCode::invalid_argument, "no program to start");
    if (program.native().find('/') != std::string::npos) return program;
    return find_program(program.string());
  }

  static Result<std::unique_ptr<ChildProcess>> adopt(pid_t pid, ChildPipes pipes,
                                                     const SpawnSpec& spec, const Path& program) {
    pipes.report.write_end.reset();
    if (auto failure = read_report(pipes.report.read_end.get())) {
      reap(pid);
      return failure_of(*failure, spec, program);
    }
    Fd pidfd(::pidfd_open(pid, 0));
    if (!pidfd.valid()) {
      int number = errno;
      ::kill(-pid, SIGKILL);
      reap(pid);
      return fail_os("cannot watch the new process of '" + program.string() + "'", number)
          .hint("raise the limit of open files");
    }
    return std::make_unique<RealChild>(pid, std::move(pidfd), std::move(pipes.out.read_end),
                                       std::move(pipes.err.read_end));
  }
};

}  // namespace

std::string ExitStatus::describe() const {
  if (!by_signal) return code < 0 ? "exit status unknown" : "exit code " + std::to_string(code);
  const char* name = ::sigdescr_np(code);
  return "signal " + std::to_string(code) + " (" + (name != nullptr ? name : "unknown") + ")";
}

std::unique_ptr<Processes> real_processes() { return std::make_unique<RealProcesses>(); }

}  // namespace corral::sys
