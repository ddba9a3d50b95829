// How much an engine may take before it is stopped, and what is said then. No I/O.
//
// The limit of memory is what was counted for it and a margin: an estimate is within a tenth, an
// answer takes a little while it is made, and a healthy engine must never meet its limit. Page
// cache of mapped weights counts where a control group keeps the limit, but the kernel drops that
// first.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "engines/llama_server.hpp"
#include "sys/resource_limits.hpp"

namespace corral::engines {

// Bytes of the host's memory that an engine may take; 0: no limit. An engine on an accelerator has
// the driver's libraries and buffers in the host's memory too, which nobody can count before.
std::uint64_t memory_limit(const InstanceSpec& spec);

sys::LimitWishes limits_of(const InstanceSpec& spec);

// The threads it may compute with when it has so many processors at most (0: all).
unsigned threads_within(unsigned threads, double processors);

// Its place with the disk, from 0 (first) to 7, where the usual weight of 100 is 4: for systems
// that know no weights.
unsigned io_level(unsigned weight);

// What is said of an engine that passed its limit.
Error passed_memory_limit(const InstanceSpec& spec);

}  // namespace corral::engines
