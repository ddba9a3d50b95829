// The accelerators of this machine and its memory nodes: NVIDIA's through NVML, which is loaded
// when it is there, AMD's through sysfs.
//
// Nothing of this is needed: without a driver, or with one that answers nonsense, a device is left
// out and `problems` says so. What a library or file claims is held against what can be true.
//
// Thread rule: free functions; they block (a driver may take its time), so run them on a pool.
// Example:
//   const sys::Devices found = sys::devices();
//   for (const auto& each : found.accelerators) tell(each.name, each.memory_free);
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sys/files.hpp"

namespace corral::sys {

enum class AcceleratorKind { nvidia, amd };

struct AcceleratorFacts {
  AcceleratorKind kind = AcceleratorKind::nvidia;
  unsigned index = 0;  // among those of its kind, by place on the bus
  std::string name;    // "NVIDIA H200"
  std::string id;      // that stays the same: the UUID, or the place on the bus
  std::uint64_t memory_total = 0;
  std::uint64_t memory_free = 0;
  int busy_percent = -1;  // -1: unknown
};

struct MemoryNode {
  unsigned number = 0;
  std::uint64_t memory_total = 0;
  std::uint64_t memory_free = 0;
  unsigned cpus = 0;
};

struct Devices {
  std::vector<AcceleratorFacts> accelerators;
  std::vector<MemoryNode> nodes;
  std::vector<std::string> problems;  // for a log
};

struct DeviceSources {
  Path root = "/";  // stands for the system's root, so that tests can give a made-up machine
  std::string nvml = "libnvidia-ml.so.1";
};
Devices devices(const DeviceSources& sources = {});

}  // namespace corral::sys
