// How busy the processors of this host are, with what everybody does there.
//
// Thread rule: free functions. Example:
//   auto before = cpu_times();
//   ...a second later:
//   double part = busy_part(before, cpu_times());
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace corral::sys {

// Since the host started, in ticks of all processors together.
struct CpuTimes {
  std::uint64_t busy = 0;
  std::uint64_t total = 0;
};

// proc(5), /proc/stat; waiting for disks is not busy. None: it cannot be read.
std::optional<CpuTimes> cpu_times(const std::filesystem::path& root = "/");

// 0..1; 0 when nothing is known or no time has passed.
double busy_part(const std::optional<CpuTimes>& before, const std::optional<CpuTimes>& after);

}  // namespace corral::sys
