// How the scheduler performs what the placement decides, and what it tells it.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "scheduler/scheduler_impl.hpp"
#include "scheduler/start_plan.hpp"
#include "scheduler/whole_start.hpp"
#include "sys/host.hpp"

namespace corral::scheduler {
namespace {

using Kind = PlacementAction::Kind;

// An estimate is within a tenth; what was not touched yet may still be.
constexpr double kTrusted = 0.9;
constexpr std::chrono::seconds kComeBack{5};

std::string pool_account(const std::string& pool) { return "pool:" + pool; }

}  // namespace

// --- memory --------------------------------------------------------------------------------------

std::uint64_t Scheduler::Impl::leased(const std::string& device) const {
  std::uint64_t sum = 0;
  for (const auto& lease : leases) sum += lease.device == device ? lease.bytes : 0;
  return sum;
}

// What is left of it when endpoints have taken their leases.
models::Machine Scheduler::Impl::machine() const {
  auto all = machine_of(*settings, sys::host_facts(), accelerators);
  all.numa_nodes = numa_nodes;
  all.memory = less(all.memory, leased(models::kHostDevice));
  for (auto& each : all.accelerators) each.memory = less(each.memory, leased(each.name));
  return all;
}

void Scheduler::Impl::share_out() {
  auto all = machine();
  std::vector<AccountSpec> accounts{{models::kHostDevice, all.memory, {}}};
  for (const auto& each : all.accelerators) accounts.push_back({each.name, each.memory, {}});
  const auto devices = accounts.size();
  for (const auto& [name, pool] : settings->scheduler.pools) {
    auto device = std::ranges::find(accounts, pool.device, &AccountSpec::name);
    if (device == accounts.end()) continue;
    std::uint64_t bytes = std::min(pool.memory, device->budget);
    device->budget -= bytes;
    accounts.push_back({pool_account(name), bytes, {}});
  }
  for (std::size_t i = 0; i < devices; ++i) {
    auto& account = accounts[i];
    std::vector<std::string> others;
    std::uint64_t pooled = 0;
    for (const auto& [name, pool] : settings->scheduler.pools) {
      if (pool.device == account.name) pooled += pool.memory;
    }
    if (pooled > 0) others.push_back(format_bytes(pooled) + " are kept for pools");
    if (auto bytes = leased(account.name); bytes > 0) {
      others.push_back(format_bytes(bytes) + " are taken by endpoints");
    }
    account.note = join(others, ", ");
    held.try_emplace(account.name);
    memory_gauge("budget", account.name).set(static_cast<double>(account.budget));
    memory_gauge("leased", account.name).set(static_cast<double>(leased(account.name)));
  }
  share_out_rpc(accounts);
  PlacementOptions options;
  options.turn_limit = settings->scheduler.turn_limit;
  options.max_units = settings->scheduler.max_models;
  placement.configure(options, accounts);
}

telemetry::Gauge Scheduler::Impl::memory_gauge(std::string_view what, const std::string& device) {
  if (what == "budget") {
    return parts.metrics.gauge("corral_memory_budget_bytes",
                               "What engines without a pool may hold.", {{"device", device}});
  }
  if (what == "leased") {
    return parts.metrics.gauge("corral_memory_leased_bytes",
                               "What endpoints say that they use of this machine.",
                               {{"device", device}});
  }
  return parts.metrics.gauge("corral_memory_held_bytes", "What engines without a pool hold.",
                             {{"device", device}});
}

void Scheduler::Impl::set_leases(std::vector<MemoryLease> fresh) {
  if (fresh == leases) return;
  leases = std::move(fresh);
  share_out();
  settle();
}

Result<std::vector<StartOption>> Scheduler::Impl::options_for(const models::ModelEntry& entry,
                                                              engines::Purpose purpose) const {
  return options_for(entry, purpose, choice_for(entry, purpose));
}

// The ways to start it now, with the best first.
Result<std::vector<StartOption>> Scheduler::Impl::options_for(
    const models::ModelEntry& entry, engines::Purpose purpose,
    const models::EngineChoice& choice) const {
  CORRAL_TRY(auto plan, plan_for(entry, purpose, choice));
  const std::string pool = pool_of(*settings, entry.name, purpose);
  auto found = settings->scheduler.pools.find(pool);
  const bool pooled = found != settings->scheduler.pools.end();
  auto account_of = [&](const std::string& device) {
    return pooled && found->second.device == device ? pool_account(pool) : device;
  };
  auto others =
      equal_plans(plan, *settings, parts.files, parts.limits, entry, purpose, machine(), choice);
  std::vector<StartOption> all;
  all.reserve(1 + others.size());
  auto add = [&](const models::StartPlan& way) {
    StartOption option;
    option.spec = spec_for(entry, purpose, way, choice);
    option.place.device = way.device;
    for (const auto& share : way.shares) {
      option.place.charges.push_back({account_of(share.device), share.bytes});
    }
    for (auto& charge : rpc_charges(way)) option.place.charges.push_back(std::move(charge));
    option.place.charges.push_back({account_of(models::kHostDevice), way.host_bytes});
    all.push_back(std::move(option));
  };
  add(plan);
  for (const auto& other : others) add(other);
  return all;
}

// What it took before counts more than what was thought.
UnitSpec Scheduler::Impl::unit_spec(const DeployedModel& model) const {
  UnitSpec spec;
  spec.name = model.model();
  const auto* own = settings_of(spec.name);
  spec.pinned = own != nullptr && own->pin && model.replica() < range_of(spec.name).least;
  spec.spare = model.replica() > 0;
  if (model.options().size() > 1) {
    spec.spread = true;
    spec.kin = fmt::format("{} {}", engines::to_string(model.purpose()), model.model());
  }
  for (const auto& option : model.options()) {
    spec.places.push_back(option.place);
    bool said = own != nullptr && own->memory != 0;
    std::uint64_t peak = units[model.unit()].peak;
    if (said || peak == 0 || option.place.device != models::kHostDevice) continue;
    auto& bytes = spec.places.back().charges.front().bytes;
    auto budget = placement.budget_of(spec.places.back().charges.front().account);
    auto learned =
        std::max(peak, static_cast<std::uint64_t>(static_cast<double>(bytes) * kTrusted));
    // A model that its estimate lets in is not shut out for what it took.
    bytes = bytes <= budget ? std::min(learned, budget) : learned;
  }
  return spec;
}

// Looks at what engines hold, which counts from now on.
void Scheduler::Impl::learn(DeployedModel& model) {
  auto& unit = units[model.unit()];
  if (!model.has_instance() || !model.has_served()) return;
  if (placement.device(model.unit()) != models::kHostDevice) return;
  const auto* own = settings_of(model.model());
  if (own != nullptr && own->memory != 0) return;
  auto resident = model.instance_info().resident_bytes;
  if (resident <= unit.peak) return;
  unit.peak = resident;
  auto estimated = placement.spec(model.unit()).places.front().charges.front().bytes;
  auto least = static_cast<std::uint64_t>(static_cast<double>(estimated) * kTrusted);
  placement.measured(model.unit(), std::max(resident, least));
}

// --- callers -------------------------------------------------------------------------------------

void Scheduler::Impl::admit(DeployedModel& model, const Waiter& waiter, TicketId ticket) {
  auto now = parts.clock.now();
  if (auto refusal = model.state().refusal(now)) {
    waiter->fulfil(std::unexpected(std::move(*refusal)));
    return;
  }
  callers.emplace(ticket, Caller{waiter, model.unit(), now});
  placement.want(model.unit(), ticket, now);
  settle();
  tell_newcomer(ticket);
}

void Scheduler::Impl::leave(TicketId ticket) {
  if (callers.erase(ticket) == 0) return;
  placement.leave(ticket);
  settle();
}

// Woken while the endpoint is closed, since its connections are refused: they wait for what becomes
// of it.
void Scheduler::Impl::unpark(UnitId unit) {
  for (TicketId ticket : std::exchange(units[unit].parked, {})) {
    if (callers.contains(ticket)) placement.want(unit, ticket, parts.clock.now());
  }
}

void Scheduler::Impl::wake(const PlacementAction& action) {
  auto it = callers.find(action.ticket);
  if (it == callers.end()) return;
  DeployedModel& model = *units[action.unit].model;
  auto endpoint = model.endpoint();
  bool closed = endpoint == nullptr || endpoint->closed();
  if (!action.error && closed) {
    if (auto* sibling = open_sibling(model)) endpoint = sibling->endpoint();
    closed = endpoint == nullptr || endpoint->closed();
  }
  if (!action.error && closed) {
    units[action.unit].parked.push_back(action.ticket);
    return;
  }
  Caller caller = std::move(it->second);
  callers.erase(it);
  auto waited = parts.clock.now() - caller.since;
  meters.wait.observe(std::chrono::duration<double>(waited).count());
  if (action.error) {
    caller.waiter->fulfil(std::unexpected(*action.error));
  } else {
    caller.waiter->fulfil(gateway::Target{endpoint, model.model()});
  }
}

// Nobody waits for memory for ever.
void Scheduler::Impl::expire() {
  auto now = parts.clock.now();
  auto limit = settings->gateway.queue_timeout;
  std::vector<TicketId> late;
  for (const auto& [ticket, caller] : callers) {
    auto state = placement.state(caller.unit);
    bool coming = state == UnitState::loading || state == UnitState::ready;
    if (!coming && now - caller.since >= limit) late.push_back(ticket);
  }
  for (TicketId ticket : late) {
    auto node = callers.extract(ticket);
    UnitId unit = node.mapped().unit;
    Error error = fail(ErrorCode::unavailable,
                       fmt::format("there was no place for the model '{}' within {}: {}",
                                   placement.spec(unit).name, format_duration(limit),
                                   placement.why_waiting(unit, now)))
                      .after(kComeBack);
    placement.leave(ticket);
    node.mapped().waiter->fulfil(std::unexpected(std::move(error)));
  }
}

// --- what is decided, and what becomes of it -----------------------------------------------------

Use Scheduler::Impl::use(UnitId unit) const {
  const DeployedModel& model = *units[unit].model;
  const auto& endpoint = model.endpoint();
  if (endpoint == nullptr) return {.last_used = parts.clock.now()};
  auto load = endpoint->load();
  Use use{load.in_flight, 0, load.served + load.in_flight, load.last_used};
  if (parts.waiting && !endpoint->closed()) use.queued = parts.waiting(model.model());
  return use;
}

bool Scheduler::Impl::close_if_idle(UnitId unit, std::chrono::milliseconds idle) {
  const auto& endpoint = units[unit].model->endpoint();
  return endpoint != nullptr && endpoint->close_if_idle(idle);
}

// Performing an action may report at once what became of it, and so come here again.
void Scheduler::Impl::settle() {
  unsettled = true;
  if (settling || ended) return;
  settling = true;
  while (std::exchange(unsettled, false)) {
    auto actions = placement.step(parts.clock.now(), *this);
    for (const auto& action : actions) perform(action);
    if (!actions.empty()) unsettled = true;
  }
  settling = false;
  tell_held();
  bell->wanted.store(placement.room_wanted(), std::memory_order_relaxed);
  arm_timer();
}

void Scheduler::Impl::perform(const PlacementAction& action) {
  DeployedModel& model = *units[action.unit].model;
  switch (action.kind) {
    case Kind::start: model.start(action.place); break;
    case Kind::close:
      meters.turns.add();
      parts.log.info("its turn is over: others wait for its place", {{"model", model.model()}});
      model.close_for_turn();
      break;
    case Kind::reopen: model.reopen(); break;
    case Kind::stop:
      meters.evictions.add();
      parts.log.info("unloaded to make room", {{"model", model.model()}});
      model.make_room();
      break;
    case Kind::wake: wake(action); break;
  }
}

DeploymentReports Scheduler::Impl::reports_of(UnitId unit) {
  DeploymentReports reports;
  reports.ready = [this, unit] {
    auto since = placement.loading_since(unit);
    auto now = parts.clock.now();
    if (since) meters.load.observe(std::chrono::duration<double>(now - *since).count());
    placement.ready(unit, now);
    gather(*units[unit].model);
    unpark(unit);
    settle();
  };
  reports.down = [this, unit] {
    placement.down(unit);
    unpark(unit);
    settle();
  };
  reports.failed = [this, unit](const Error& why) {
    unpark(unit);
    hand_over(*units[unit].model);
    placement.failed(unit, why);
    settle();
    told_gone(unit);
  };
  reports.leaving = [this, unit](const Error* why) {
    unpark(unit);
    placement.leaving(unit, why);
    settle();
  };
  reports.gone = [this, unit] {
    placement.gone(unit);
    settle();
    told_gone(unit);
  };
  reports.changed = [this] { publish(); };
  return reports;
}

// Those who asked for it to be unloaded are answered when it is.
void Scheduler::Impl::told_gone(UnitId unit) {
  for (auto& each : unloading) each.units.erase(unit);
  std::erase_if(unloading, [](const Unloading& each) {
    if (!each.units.empty()) return false;
    each.done->fulfil(Result<void>());
    return true;
  });
}

void Scheduler::Impl::arm_timer() {
  if (!timer) return;
  auto at = placement.wake_at();
  if (at == armed_for) return;
  armed_for = at;
  timer->cancel();
  if (at) timer->spawn(sleep_then_settle(*at));
}

net::Task<void> Scheduler::Impl::sleep_then_settle(sys::Steady at) {
  auto left = std::max(at - parts.clock.now(), sys::Steady::duration::zero());
  auto slept = co_await net::sleep_for(left);
  // Replaced by another meanwhile, though too late to be cancelled?
  if (!slept || armed_for != at) co_return;
  armed_for.reset();
  settle();
}

// At once, so that whoever was answered by a model reads that it is in memory.
void Scheduler::Impl::tell_held() {
  for (auto& [device, told] : held) {
    const auto now = placement.held_of(device);
    if (told == now) continue;
    told = now;
    memory_gauge("held", device).set(static_cast<double>(now));
  }
}

void Scheduler::Impl::measure() {
  std::size_t waiting = 0;
  for (const auto& unit : units) {
    auto count = placement.waiting(unit.model->unit());
    unit.model->measure(count);
    waiting += placement.state(unit.model->unit()) == UnitState::out ? count : 0;
  }
  meters.waiting.set(static_cast<double>(waiting));
}

}  // namespace corral::scheduler
