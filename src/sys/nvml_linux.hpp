// Inside `sys`, Linux only: NVIDIA's devices through NVML (docs.nvidia.com/deploy/nvml-api).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sys/devices.hpp"

namespace corral::sys {

// Adds what the library tells. None is no problem; one that fails is.
void add_nvidia(const std::string& library, Devices& out);

// More than nothing, and no more than there can be.
bool possible_memory(std::uint64_t bytes);

// Outside text, printable, of a length fit for a log.
std::string one_line(std::string_view text);

}  // namespace corral::sys
