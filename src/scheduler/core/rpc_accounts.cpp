#include "scheduler/core/rpc_accounts.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace corral::scheduler {

std::vector<RpcAccount> rpc_accounts(const std::vector<std::string>& servers,
                                     const std::map<std::string, RpcSaid>& said) {
  std::vector<RpcAccount> accounts;
  std::map<std::pair<std::string_view, std::uint64_t>, std::size_t> known;  // by host and total
  for (const auto& server : servers) {
    const auto found = said.find(server);
    if (found == said.end()) {
      accounts.push_back({server, {server}, std::nullopt});
      continue;
    }
    const auto colon = server.rfind(':');
    const auto host = std::string_view(server).substr(0, colon);
    const auto [at, first] = known.try_emplace({host, found->second.total}, accounts.size());
    if (first) {
      accounts.push_back({server, {server}, found->second.free});
      continue;
    }
    RpcAccount& shared = accounts[at->second];
    shared.name += ',' + server.substr(colon + 1);
    shared.servers.push_back(server);
    shared.free = std::min(*shared.free, found->second.free);
  }
  return accounts;
}

}  // namespace corral::scheduler
