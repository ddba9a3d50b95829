// The memory of the rpc-servers that the settings name. Each has an account of its own (those that
// have one memory have one account), with what it said that was free while none of our engines held
// anything there; as long as it said nothing, as much as anybody wants.
#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <set>

#include "base/text.hpp"
#include "engines/rpc_memory.hpp"
#include "engines/rpc_servers.hpp"
#include "scheduler/scheduler_impl.hpp"

namespace corral::scheduler {
namespace {

bool holds(const std::vector<std::string>& all, const std::string& one) {
  return std::ranges::find(all, one) != all.end();
}

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

const RpcAccount* Scheduler::Impl::rpc_account_of(const std::string& server) const {
  auto has = [&](const RpcAccount& each) { return holds(each.servers, server); };
  const auto found = std::ranges::find_if(rpc_shared, has);
  return found == rpc_shared.end() ? nullptr : &*found;
}

// Also what is held by its own name, from before it was known to share.
std::uint64_t Scheduler::Impl::rpc_held(const std::string& server) const {
  const auto* account = rpc_account_of(server);
  const auto own = placement.held_of(server);
  return account == nullptr ? own : std::max(own, placement.held_of(account->name));
}

// The engine splits its layers by what each says that it has free.
std::vector<Charge> Scheduler::Impl::rpc_charges(const models::StartPlan& plan) const {
  double all = 0;
  const bool known =
      std::ranges::all_of(plan.rpc, [&](const auto& server) { return rpc_said.contains(server); });
  const auto part_of = [&](const std::string& server) {
    return known ? static_cast<double>(rpc_said.at(server).free) : 1.0;
  };
  for (const auto& server : plan.rpc) all += part_of(server);
  std::vector<Charge> charges;
  charges.reserve(plan.rpc.size());
  for (const auto& server : plan.rpc) {
    const double whole = static_cast<double>(plan.device_bytes);
    const auto bytes = static_cast<std::uint64_t>(all > 0 ? whole * part_of(server) / all : whole);
    const auto* account = rpc_account_of(server);
    const auto& name = account == nullptr ? server : account->name;
    const auto charged = std::ranges::find(charges, name, &Charge::account);
    if (charged == charges.end()) {
      charges.push_back({name, bytes});
    } else {
      charged->bytes += bytes;
    }
  }
  return charges;
}

// Says of the plan which of its rpc-servers are counted once.
void Scheduler::Impl::explain_rpc(models::StartPlan& plan) const {
  std::vector<std::string> shared;
  for (const auto& account : rpc_shared) {
    const bool used = std::ranges::any_of(
        account.servers, [&](const auto& server) { return holds(plan.rpc, server); });
    if (account.servers.size() > 1 && used) shared.push_back(account.name);
  }
  const auto choice = std::ranges::find(plan.choices, "memory elsewhere", &models::Choice::what);
  if (shared.empty() || choice == plan.choices.end()) return;
  choice->why += fmt::format("; {} say the same memory, which counts once", join(shared, " and "));
}

void Scheduler::Impl::share_out_rpc(std::vector<AccountSpec>& accounts) {
  const auto before = std::exchange(rpc_shared, rpc_accounts(rpc_servers(), rpc_said));
  for (const auto& account : before) {
    const auto same = std::ranges::find(rpc_shared, account.name, &RpcAccount::name);
    if (account.free && same == rpc_shared.end()) memory_gauge("budget", account.name).set(0);
  }
  for (const auto& account : rpc_shared) {
    const auto* whose = account.servers.size() > 1 ? "that is what the rpc-servers of one machine "
                                                     "have free between them"
                                                   : "that is what the rpc-server has free";
    accounts.push_back({account.name, account.free.value_or(kAnyMemory), whose});
    held.try_emplace(account.name);
    if (account.free) {
      memory_gauge("budget", account.name).set(static_cast<double>(*account.free));
    }
  }
}

void Scheduler::Impl::look_at_rpc() {
  const auto now = parts.clock.now();
  if (stopping || (rpc_looked && now - *rpc_looked < kBetweenRpcLooks)) return;
  rpc_looked = now;
  auto servers = rpc_servers();
  // What one of our engines holds there is not free, and some serve one engine at a time.
  std::erase_if(servers, [&](const auto& server) { return rpc_held(server) > 0; });
  if (servers.empty() || (rpc_asks && rpc_asks->running() > 0)) return;
  if (!rpc_asks) rpc_asks = std::make_unique<net::TaskGroup>(parts.shards.control());
  rpc_asks->spawn(ask_rpc(std::move(servers)));
}

net::Task<void> Scheduler::Impl::ask_rpc(std::vector<std::string> servers) {
  bool changed = false;
  for (const auto& server : servers) {
    auto memory = co_await engines::ask_rpc_memory(server);
    if (!memory && memory.error().code == ErrorCode::cancelled) co_return;
    if (!memory || rpc_held(server) > 0) continue;
    const RpcSaid fresh{memory->free, memory->total};
    const auto [said, first] = rpc_said.try_emplace(server, fresh);
    changed = changed || first || said->second != fresh;
    said->second = fresh;
  }
  if (!changed || stopping) co_return;
  const auto before = rpc_shared;
  share_out();
  // What they take is counted elsewhere now? Those that wait for room would wait in vain.
  const bool same =
      std::ranges::equal(before, rpc_shared, {}, &RpcAccount::name, &RpcAccount::name);
  for (auto& [key, model] : deployed) {
    const auto* entry = list && !same ? list->find(key.model) : nullptr;
    if (entry != nullptr && entry->usable()) plan_anew(*model, *entry);
  }
  settle();
}

}  // namespace corral::scheduler
