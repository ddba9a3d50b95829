// Which rpc-servers have one memory between them.
//
// Several on one machine each say that all of its memory is free. Nothing in what they say tells
// whose memory it is; so those of one host that say the same total are taken to have one, and count
// once, with the least that any of them has free. That is too little where a machine has two equal
// accelerators with an rpc-server each, and never too much: whoever knows better names the machine
// in two ways (a name and its address), since only hosts that are written alike are compared.
//
// Thread rule: pure function. Example:
//   auto accounts = rpc_accounts({"a:1", "a:2", "b:1"}, {{"a:1", {5, 8}}, {"a:2", {4, 8}}});
//   // "a:1,2" with 4 free, and "b:1", of which nothing is known
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace corral::scheduler {

struct RpcSaid {
  std::uint64_t free = 0;
  std::uint64_t total = 0;
  bool operator==(const RpcSaid&) const = default;
};

struct RpcAccount {
  std::string name;                   // the server's address, or "host:port,port" of several
  std::vector<std::string> servers;   // in their order
  std::optional<std::uint64_t> free;  // none: it said nothing yet
  bool operator==(const RpcAccount&) const = default;
};

// `servers` are "host:port", each once.
std::vector<RpcAccount> rpc_accounts(const std::vector<std::string>& servers,
                                     const std::map<std::string, RpcSaid>& said);

}  // namespace corral::scheduler
