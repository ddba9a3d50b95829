// Facts about this host and this process.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hpp"

namespace corral::sys {

struct HostFacts {
  unsigned logical_cpus = 1;  // usable by us (affinity and cgroup quota counted)
  unsigned physical_cores = 1;
  std::uint64_t memory_total = 0;  // bytes; a lower cgroup limit counts
  std::uint64_t memory_available = 0;
  std::string hostname;
  std::string os;  // "Linux 6.1 x86_64"
};
HostFacts host_facts();

struct SelfUsage {
  std::uint64_t resident_bytes = 0;
  double cpu_seconds = 0;  // user + system
  unsigned threads = 0;
  unsigned open_files = 0;
};
SelfUsage self_usage();

// Raises the soft limit of open files to the hard one; returns the limit in force.
std::uint64_t raise_open_file_limit();

// Makes room for this many open files (as many as the soft limit allows) before there are threads.
// Later the kernel stops whoever opens the file that does not fit, for 10 to 20 ms on Linux: while
// connections come in, every doubling of their number would be felt.
void reserve_open_files(std::uint64_t count);

// Sets the allocator up for a server: many short-lived blocks of one to a few KiB. Once, at start.
void tune_allocator();

// Is `fd` a terminal?
bool is_terminal(int fd);

}  // namespace corral::sys
