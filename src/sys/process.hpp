// Child processes by pidfd: no signal handlers, no races with reused process ids.
//
// Every child gets its own process group, SIGKILL when the thread that started it ends (so call
// `spawn` from a thread that lives as long as the program; main), default signal dispositions and
// mask, /dev/null as stdin, no core dumps (its memory may hold prompts and keys), and no descriptor
// of ours but the pipes asked for. When a child is found to have ended, whatever is left of its
// group is killed before it is reaped: afterwards the group's number could belong to somebody else.
// Thread rule: one owner. Waiting is the caller's: `exit_fd()` becomes readable when it has ended.
//
// Example:
//   CORRAL_TRY(auto child, processes.spawn({.program = "/bin/echo", .arguments = {"hi"}}));
//   CORRAL_CO_CHECK(co_await net::wait_readable(child->exit_fd()));
//   auto status = child->try_wait();
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "sys/fd.hpp"
#include "sys/files.hpp"

namespace corral::sys {

struct SpawnSpec {
  Path program;                        // a path with a slash, or a name looked up on PATH
  std::vector<std::string> arguments;  // without argv[0]; visible to all users: no secrets
  std::map<std::string, std::string> environment;  // the whole environment; nothing is inherited
  Path working_directory;                          // empty: ours
  bool capture_stdout = false;                     // else /dev/null
  bool capture_stderr = false;
  std::optional<std::uint64_t> memory_limit;  // bytes of address space (RLIMIT_AS)
  std::vector<int> join;  // of a LimitedGroup: it is in that group before it runs
  // Short of memory, the system ends it before us: as much above ours, of at most 1000.
  unsigned ended_before_us = 0;
  std::optional<unsigned> io_level;  // of its class of the disk's scheduler: 0 (first) to 7
};

struct ExitStatus {
  bool by_signal = false;
  int code = 0;                  // exit code, or the signal's number
  std::string describe() const;  // "exit code 1", "signal 9 (Killed)"
};

enum class Signal { interrupt, terminate, kill };

struct ProcessUsage {
  std::uint64_t resident_bytes = 0;
  std::uint64_t private_bytes = 0;  // of them, those that are not a file's
  std::chrono::milliseconds cpu_time{0};
};

class ChildProcess {
 public:
  virtual ~ChildProcess() = default;  // kills the whole group and reaps
  virtual int pid() const = 0;
  virtual int exit_fd() const = 0;    // pidfd
  virtual int stdout_fd() const = 0;  // non-blocking read end, or -1
  virtual int stderr_fd() const = 0;
  virtual std::optional<ExitStatus> try_wait() = 0;  // reaps; the same answer ever after
  virtual Result<void> send(Signal signal) = 0;      // to the process; not an error if it ended
  virtual void kill_group() = 0;                     // SIGKILL to everything it started
  virtual ProcessUsage usage() const = 0;            // zeros when it has ended
};

class Processes {
 public:
  virtual ~Processes() = default;
  // Returns once the program has been executed. not_found: no such program or working directory;
  // invalid_argument: it is not an executable program, or a NUL byte in the specification; io: the
  // system refused (out of processes, descriptors or memory).
  virtual Result<std::unique_ptr<ChildProcess>> spawn(const SpawnSpec& spec) = 0;
};

std::unique_ptr<Processes> real_processes();

// First executable of that name on PATH, or not_found.
Result<Path> find_program(const std::string& name);

// Our environment without names that begin with one of `dropped_prefixes`.
std::map<std::string, std::string> environment_without(
    const std::vector<std::string>& dropped_prefixes);

}  // namespace corral::sys
