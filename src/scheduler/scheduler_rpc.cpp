// The memory of the rpc-servers that the settings name. Each has an account of its own, with what
// it said that was free while none of our engines held anything there; as long as it said nothing,
// as much as anybody wants.
#include <algorithm>
#include <limits>
#include <set>

#include "engines/rpc_memory.hpp"
#include "engines/rpc_servers.hpp"
#include "scheduler/scheduler_impl.hpp"

namespace corral::scheduler {
namespace {

constexpr std::chrono::seconds kBetweenRpcLooks{10};
constexpr std::uint64_t kAnyMemory = std::numeric_limits<std::int64_t>::max();

}  // namespace

std::vector<std::string> Scheduler::Impl::rpc_servers() const {
  std::set<std::string> names;
  for (const auto& [model, own] : settings->models.settings) {
    for (const auto& server : own.rpc) {
      if (engines::parse_rpc_server(server)) names.insert(server);
    }
  }
  return {names.begin(), names.end()};
}

std::uint64_t Scheduler::Impl::rpc_budget(const std::string& server) const {
  const auto found = rpc_memory.find(server);
  return found == rpc_memory.end() ? kAnyMemory : found->second;
}

// The engine splits its layers by what each has free.
std::vector<Charge> Scheduler::Impl::rpc_charges(const models::StartPlan& plan) const {
  std::vector<Charge> charges;
  charges.reserve(plan.rpc.size());
  double all = 0;
  const bool known = std::ranges::all_of(
      plan.rpc, [&](const auto& server) { return rpc_memory.contains(server); });
  for (const auto& server : plan.rpc) {
    all += known ? static_cast<double>(rpc_budget(server)) : 1.0;
  }
  for (const auto& server : plan.rpc) {
    const double part = known ? static_cast<double>(rpc_budget(server)) : 1.0;
    const double bytes = all > 0 ? static_cast<double>(plan.device_bytes) * part / all
                                 : static_cast<double>(plan.device_bytes);
    charges.push_back({server, static_cast<std::uint64_t>(bytes)});
  }
  return charges;
}

void Scheduler::Impl::look_at_rpc() {
  const auto now = parts.clock.now();
  if (stopping || (rpc_looked && now - *rpc_looked < kBetweenRpcLooks)) return;
  rpc_looked = now;
  auto servers = rpc_servers();
  // What one of our engines holds there is not free, and some serve one engine at a time.
  std::erase_if(servers, [&](const auto& server) { return placement.held_of(server) > 0; });
  if (servers.empty() || (rpc_asks && rpc_asks->running() > 0)) return;
  if (!rpc_asks) rpc_asks = std::make_unique<net::TaskGroup>(parts.shards.control());
  rpc_asks->spawn(ask_rpc(std::move(servers)));
}

net::Task<void> Scheduler::Impl::ask_rpc(std::vector<std::string> servers) {
  bool changed = false;
  for (const auto& server : servers) {
    auto memory = co_await engines::ask_rpc_memory(server);
    if (!memory && memory.error().code == ErrorCode::cancelled) co_return;
    if (!memory || placement.held_of(server) > 0) continue;
    auto [known, fresh] = rpc_memory.try_emplace(server, memory->free);
    changed = changed || fresh || known->second != memory->free;
    known->second = memory->free;
  }
  if (!changed || stopping) co_return;
  share_out();
  settle();
}

}  // namespace corral::scheduler
