// Inside `sys`, Linux only: host facts read below a folder that stands for `/`, so that tests can
// give a made-up machine.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "sys/files.hpp"
#include "sys/host.hpp"

namespace corral::sys {

// The limits that control groups put on this process; the lowest on the way up counts.
struct CgroupLimits {
  std::optional<double> cpus;                    // quota / period
  std::optional<std::uint64_t> memory_limit;     // bytes
  std::optional<std::uint64_t> memory_headroom;  // limit - use, page cache that can go not counted
};

// One hierarchy of control groups: where it is mounted, and where in it we are.
struct Hierarchy {
  Path mount;
  Path group;  // relative to `mount`
};
// That of a controller of version 1 ("memory"), or, with an empty name, that of version 2.
std::optional<Hierarchy> find_hierarchy(const Path& root, std::string_view controller);

// Versions 1 and 2 (kernel documentation, admin-guide/cgroup-v1 and cgroup-v2.rst).
CgroupLimits cgroup_limits(const Path& root);

// Cores of the given logical CPUs, by /sys/devices/system/cpu/cpuN/topology; 0 when it says
// nothing.
unsigned count_cores(const Path& root, const std::vector<unsigned>& cpus);

// The parts of HostFacts that come from files.
HostFacts host_facts_below(const Path& root, const std::vector<unsigned>& usable_cpus);

}  // namespace corral::sys
