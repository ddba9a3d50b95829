#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "base/text.hpp"
#include "sys/fd.hpp"
#include "sys/host.hpp"
#include "sys/host_linux.hpp"
#include "sys/process_linux.hpp"

namespace corral::sys {
namespace {

// "Name:   123 kB" in /proc/meminfo (and "Name:  123" in /proc/self/status).
std::optional<std::uint64_t> labelled_number(const Path& path, std::string_view label) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::string_view text = line;
    if (!text.starts_with(label) || text.size() <= label.size() || text[label.size()] != ':')
      continue;
    text = trim(text.substr(label.size() + 1));
    bool kilobytes = text.ends_with(" kB");
    if (kilobytes) text.remove_suffix(3);
    auto number = parse_int(trim(text));
    if (!number || *number < 0) return std::nullopt;
    return static_cast<std::uint64_t>(*number) * (kilobytes ? 1024 : 1);
  }
  return std::nullopt;
}

std::string first_line(const Path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return std::string(trim(line));
}

std::vector<unsigned> usable_cpus() {
  std::vector<unsigned> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    return cpus;
  }
  // More than 1024 CPUs: take those that are online.
  long online = std::max(1l, ::sysconf(_SC_NPROCESSORS_ONLN));
  for (long cpu = 0; cpu < online; ++cpu) cpus.push_back(static_cast<unsigned>(cpu));
  return cpus;
}

unsigned count_open_files() {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir("/proc/self/fd"), ::closedir);
  if (!dir) return 0;
  unsigned count = 0;
  while (const dirent* entry = ::readdir(dir.get())) count += entry->d_name[0] != '.';
  return count > 0 ? count - 1 : 0;  // the folder's own descriptor
}

}  // namespace

unsigned count_cores(const Path& root, const std::vector<unsigned>& cpus) {
  std::set<std::pair<std::string, std::string>> cores;
  for (unsigned cpu : cpus) {
    Path topology = root / "sys/devices/system/cpu" / ("cpu" + std::to_string(cpu)) / "topology";
    std::string core = first_line(topology / "core_id");
    if (!core.empty()) cores.emplace(first_line(topology / "physical_package_id"), core);
  }
  return static_cast<unsigned>(cores.size());
}

HostFacts host_facts_below(const Path& root, const std::vector<unsigned>& usable) {
  HostFacts facts;
  facts.logical_cpus = std::max(1u, static_cast<unsigned>(usable.size()));
  unsigned cores = count_cores(root, usable);
  facts.physical_cores = cores > 0 ? cores : facts.logical_cpus;
  facts.memory_total = labelled_number(root / "proc/meminfo", "MemTotal").value_or(0);
  facts.memory_available = labelled_number(root / "proc/meminfo", "MemAvailable").value_or(0);

  CgroupLimits limits = cgroup_limits(root);
  if (limits.cpus) {
    // A quota of 1.5 CPUs is used up by two threads at three quarters each.
    auto quota = static_cast<unsigned>(std::max(1.0, std::ceil(*limits.cpus)));
    facts.logical_cpus = std::min(facts.logical_cpus, quota);
    facts.physical_cores = std::min(facts.physical_cores, quota);
  }
  if (limits.memory_limit) facts.memory_total = std::min(facts.memory_total, *limits.memory_limit);
  if (limits.memory_headroom)
    facts.memory_available = std::min(facts.memory_available, *limits.memory_headroom);
  return facts;
}

HostFacts host_facts() {
  HostFacts facts = host_facts_below("/", usable_cpus());
  utsname names{};
  if (::uname(&names) == 0) {
    facts.hostname = names.nodename;
    facts.os = std::string(names.sysname) + " " + names.release + " " + names.machine;
  }
  return facts;
}

SelfUsage self_usage() {
  SelfUsage usage;
  usage.resident_bytes = process_usage(::getpid()).resident_bytes;
  rusage times{};
  if (::getrusage(RUSAGE_SELF, &times) == 0) {
    auto seconds = [](const timeval& value) {
      return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) * 1e-6;
    };
    usage.cpu_seconds = seconds(times.ru_utime) + seconds(times.ru_stime);
  }
  usage.threads =
      static_cast<unsigned>(labelled_number("/proc/self/status", "Threads").value_or(0));
  usage.open_files = count_open_files();
  return usage;
}

std::uint64_t raise_open_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

void reserve_open_files(std::uint64_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == 0 || count == 0) return;
  // Several threads: growing the table waits for all of them (synchronize_rcu). It never shrinks.
  auto last = static_cast<int>(std::min<std::uint64_t>(count, limit.rlim_cur) - 1);
  Fd any(::eventfd(0, EFD_CLOEXEC));
  Fd highest(::fcntl(any.get(), F_DUPFD_CLOEXEC, last));
}

// glibc's fast bins make every allocation of 1 KiB and more (a coroutine's frame) sweep them first.
void tune_allocator() { ::mallopt(M_MXFAST, 0); }

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

}  // namespace corral::sys
