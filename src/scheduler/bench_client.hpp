// One request to an engine, measured: its times as a client sees them.
//
// Prompts are token numbers at random, so they have the very length that is asked for, and no two
// begin alike: an engine that answers out of its cache is found out, as it says how many tokens it
// computed. What is generated runs to its length.
//
// Thread rule: belongs to the calling shard.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "bindings/binding.hpp"
#include "engines/llama_server.hpp"
#include "models/core/bench.hpp"
#include "net/task.hpp"
#include "sys/clock.hpp"

namespace corral::scheduler {

struct BenchAsk {
  engines::Purpose purpose = engines::Purpose::chat;
  std::vector<std::uint32_t> prompt;
  unsigned generate = 1;
};

// `length` token numbers of a vocabulary, others for each seed. Its ends are left out, where
// tokens with a meaning of their own are.
std::vector<std::uint32_t> bench_prompt(std::uint64_t vocabulary, unsigned length,
                                        std::uint64_t seed);

// Times count from `began`. upstream: the engine failed, or did less than asked.
net::Task<Result<models::BenchSample>> ask_engine(bindings::EndpointAddress at, BenchAsk ask,
                                                  sys::Steady began,
                                                  std::chrono::milliseconds limit);

// What the engine says of its build; empty if nothing.
net::Task<std::string> engine_build(bindings::EndpointAddress at);

}  // namespace corral::scheduler
