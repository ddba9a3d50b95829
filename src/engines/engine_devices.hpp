// The accelerators that an engine was built for and finds: what `llama-server --list-devices` says.
// Its names ("CUDA0", "ROCm0", "Vulkan1") are those that settings and plans use.
//
// Thread rule: parsing is a pure function; asking belongs to the control shard, like all child
// processes.
// Example:
//   auto found = co_await ask_engine_devices(processes, program);
//   if (found) for (const EngineDevice& each : *found) offer(each.name, each.memory_total);
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "net/task.hpp"
#include "sys/files.hpp"
#include "sys/process.hpp"

namespace corral::engines {

struct EngineDevice {
  std::string name;
  std::string description;
  std::uint64_t memory_total = 0;
  std::uint64_t memory_free = 0;
};

// Lines of another form are passed over.
std::vector<EngineDevice> parse_engine_devices(std::string_view listing);

// timeout: it did not end in time and was killed. upstream: it failed.
net::Task<Result<std::vector<EngineDevice>>> ask_engine_devices(
    sys::Processes& processes, sys::Path program,
    std::chrono::milliseconds patience = std::chrono::seconds(10));

}  // namespace corral::engines
