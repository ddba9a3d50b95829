// The rpc-servers that hold a part of a model (llama.cpp's ggml-rpc-server): are they there? The
// engine aborts at once when one is not, and does not say which.
//
// An rpc-server asks nobody who they are and does what it is told, so only the configuration names
// them. Thread rule: free functions; asking belongs to the control shard. Example:
//   CORRAL_CO_CHECK(co_await reach_rpc_servers(spec.rpc));
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "net/http_client.hpp"
#include "net/task.hpp"

namespace corral::engines {

// "host:50052". invalid_argument for anything else; the engine takes no IPv6 addresses here.
Result<net::HttpTarget> parse_rpc_server(std::string_view text);

// unavailable: the first that does not take a connection, by name. invalid_argument as above.
net::Task<Result<void>> reach_rpc_servers(
    std::vector<std::string> servers, std::chrono::milliseconds patience = std::chrono::seconds(2));

}  // namespace corral::engines
