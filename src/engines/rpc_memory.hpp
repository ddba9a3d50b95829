// What an rpc-server says of its memory: how much there is, and how much is free now.
//
// It is asked as the engine does it (llama.cpp, ggml-rpc.cpp: a hello with the client's abilities,
// then the memory of its first device; numbers are little-endian). One that speaks another version
// ends the connection, and one that serves somebody else at the moment does not answer.
//
// Thread rule: asking belongs to a shard; the rest are pure functions. Example:
//   CORRAL_CO_TRY(auto memory, co_await ask_rpc_memory("192.168.1.20:50052"));
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "net/task.hpp"

namespace corral::engines {

struct RpcMemory {
  std::uint64_t free = 0;
  std::uint64_t total = 0;
  bool operator==(const RpcMemory&) const = default;
};

// What is sent.
std::string rpc_memory_question();
// None: more is to come. upstream: no answer of an rpc-server that we know.
Result<std::optional<RpcMemory>> parse_rpc_memory(std::string_view answer);

// unavailable, timeout, upstream, cancelled; invalid_argument for an address that is none.
net::Task<Result<RpcMemory>> ask_rpc_memory(
    std::string server, std::chrono::milliseconds patience = std::chrono::seconds(2));

}  // namespace corral::engines
