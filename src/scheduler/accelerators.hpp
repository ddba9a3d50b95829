// The accelerators of this machine that the engine can use, as plans need them.
//
// A machine without a driver for any is told apart without starting an engine; where there is one,
// the engine says which devices it was built for, what it calls them and how much is free there.
//
// Thread rule: control shard. Example:
//   auto found = co_await find_devices(search);
#pragma once

#include <vector>

#include "config/settings.hpp"
#include "engines/engine_devices.hpp"
#include "models/core/plan.hpp"
#include "net/shard.hpp"
#include "net/task.hpp"
#include "sys/devices.hpp"
#include "sys/files.hpp"
#include "sys/process.hpp"
#include "telemetry/log.hpp"

namespace corral::scheduler {

struct AcceleratorSearch {
  net::BlockingPool& pool;
  sys::Files& files;
  sys::Processes& processes;
  telemetry::Logger log;
  config::LlamaServerSettings settings;
  sys::Path cache_folder;
  sys::DeviceSources sources;
};

struct FoundDevices {
  std::vector<models::Accelerator> accelerators;
  unsigned numa_nodes = 1;
};

// What goes wrong is logged, and the CPU is used.
net::Task<FoundDevices> find_devices(AcceleratorSearch search);

}  // namespace corral::scheduler
