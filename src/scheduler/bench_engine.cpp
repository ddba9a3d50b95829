#include "scheduler/bench_engine.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "scheduler/scheduler_impl.hpp"
#include "sys/host.hpp"

namespace corral::scheduler {
namespace {

constexpr unsigned kCrashes = 1;  // settings that do not work are not tried for minutes

std::string name_of(const std::string& model) { return model + " (benchmark)"; }

}  // namespace

models::BenchMachine Scheduler::Impl::bench_machine() const {
  const auto host = sys::host_facts();
  models::BenchMachine out{host.hostname,     host.os,           host.physical_cores,
                           host.logical_cpus, host.memory_total, {}};
  out.accelerators.reserve(accelerators.size());
  for (const auto& each : accelerators) out.accelerators.push_back(each.name);
  return out;
}

// The settings that a search found for these very files, if they are for this purpose.
const models::TunedSettings* Scheduler::Impl::tuned_for(const models::ModelEntry& entry,
                                                        engines::Purpose purpose) const {
  const auto found = tuned.find(entry.name);
  if (found == tuned.end() || purpose != main_purpose(entry)) return nullptr;
  const auto& known = found->second;
  const bool same =
      known.file == models::file_mark(entry) && known.machine == bench_machine().mark();
  return same ? &known : nullptr;
}

models::EngineChoice Scheduler::Impl::choice_for(const models::ModelEntry& entry,
                                                 engines::Purpose purpose) const {
  const auto* found = tuned_for(entry, purpose);
  if (found == nullptr) return {};
  return left_open(config_says(*settings, entry.name), found->choice);
}

Result<const models::ModelEntry*> Scheduler::Impl::bench_entry(const std::string& name) const {
  const ModelStatus* status = current->find(name);
  if (status == nullptr) return current->unknown_model(name);
  const auto* entry = list ? list->find(status->name) : nullptr;
  if (entry == nullptr) {
    return fail(ErrorCode::conflict, fmt::format("'{}' runs at the endpoint '{}', not here",
                                                 status->name, status->endpoint))
        .field("model")
        .hint("only engines of this server are measured");
  }
  if (!entry->usable()) {
    return fail(ErrorCode::unavailable,
                fmt::format("the model '{}' cannot be used here{}{}", name,
                            status->error.empty() ? "" : ": ", status->error))
        .field("model");
  }
  return entry;
}

Result<BenchPlan> Scheduler::Impl::plan_bench(const BenchWish& wish) const {
  CORRAL_TRY(const auto* entry, bench_entry(wish.model));
  BenchPlan out;
  out.model = entry->name;
  out.purpose = wish.purpose.value_or(main_purpose(*entry));
  out.main_purpose = out.purpose == main_purpose(*entry);
  out.choice = wish.choice.value_or(choice_for(*entry, out.purpose));
  out.says = config_says(*settings, entry->name);
  out.file = models::file_mark(*entry);
  CORRAL_TRY(out.plan, plan_for(*entry, out.purpose, out.choice));
  if (entry->metadata) {
    out.vocabulary = entry->metadata->vocabulary;
    out.can_repack = entry->metadata->repacked_bytes > 0 && out.plan.repack;
  }
  return out;
}

// Its unit is made once; the engine in it is another each time.
Result<void> Scheduler::Impl::make_bench(const BenchWish& wish) {
  CORRAL_TRY(const auto* entry, bench_entry(wish.model));
  const auto purpose = wish.purpose.value_or(main_purpose(*entry));
  const auto choice = wish.choice.value_or(choice_for(*entry, purpose));
  CORRAL_TRY(auto options, options_for(*entry, purpose, choice));
  options.erase(options.begin() + 1, options.end());  // what was planned is what is measured
  for (auto& option : options) option.spec.settings.restart_limit = kCrashes;
  if (!bench) {
    bench = std::make_unique<BenchUnit>();
    bench->unit = placement.add({});
    units.emplace_back();
  }
  const UnitId unit = bench->unit;
  auto reports = reports_of(unit);
  reports.ready = [this, unit, ready = std::move(reports.ready)] {
    if (auto since = placement.loading_since(unit)) bench->load_time = parts.clock.now() - *since;
    ready();
  };
  units[unit] = {};
  bench->load_time.reset();
  bench->model = std::make_unique<DeployedModel>(deployment_parts(), std::move(reports), unit,
                                                 name_of(entry->name), purpose, std::move(options),
                                                 std::chrono::milliseconds(0));
  units[unit].model = bench->model.get();
  placement.update(unit, unit_spec(*bench->model));
  return {};
}

net::Task<void> Scheduler::Impl::end_bench() {
  if (!bench || !bench->model) co_return;
  const UnitId unit = bench->unit;
  Error why = fail(ErrorCode::cancelled, "the benchmark has ended");
  bench->model->unload(&why);
  if (placement.state(unit) != UnitState::out) {
    auto done = net::OneShot<Result<void>>::create();
    unloading.push_back({{unit}, done});
    co_await done->wait_uncancellable();
  }
  co_await bench->model->stop();
}

// As an instance among the others; none while it is out of memory.
std::optional<InstanceStatus> Scheduler::Impl::bench_instance() const {
  if (!bench || !bench->model || placement.state(bench->unit) == UnitState::out) return {};
  InstanceStatus out;
  out.model = bench->model->model();
  out.purpose = "benchmark";
  out.device = placement.device(bench->unit);
  out.reserved_bytes = placement.held(bench->unit);
  out.waiting = placement.waiting(bench->unit);
  out.state = "starting";
  out.since = parts.clock.wall();
  if (!bench->model->has_instance()) return out;
  const auto info = bench->model->instance_info();
  out.state = engines::to_string(info.state);
  out.pid = info.pid;
  if (info.port != 0) out.address = fmt::format("127.0.0.1:{}", info.port);
  out.since = info.since;
  out.resident_bytes = info.resident_bytes;
  out.cpu_seconds = std::chrono::duration<double>(info.cpu_time).count();
  out.restarts = info.restarts;
  if (const auto& endpoint = bench->model->endpoint()) {
    const auto load = endpoint->load();
    out.in_flight = load.in_flight;
    out.requests_total = load.served;
  }
  return out;
}

BenchState Scheduler::Impl::bench_state() const {
  BenchState out;
  if (!bench || !bench->model) return out;
  if (bench->model->has_instance()) {
    out.resident_bytes = bench->model->instance_info().resident_bytes;
  }
  out.load_time = bench->load_time;
  for (const auto& unit : units) {
    if (unit.model == bench->model.get() || unit.model->endpoint() == nullptr) continue;
    out.others_busy = out.others_busy || unit.model->endpoint()->in_flight() > 0;
  }
  return out;
}

Result<BenchPlan> Scheduler::plan_bench(const BenchWish& wish) const {
  return impl_->plan_bench(wish);
}

net::Task<Result<void>> Scheduler::start_bench(BenchWish wish) {
  co_await impl_->end_bench();
  if (impl_->stopping) co_return fail(ErrorCode::unavailable, "the server is shutting down");
  co_return impl_->make_bench(wish);
}

net::Task<Result<std::shared_ptr<gateway::Endpoint>>> Scheduler::ensure_bench() {
  auto impl = impl_;
  if (!impl->bench || !impl->bench->model || impl->stopping) {
    co_return fail(ErrorCode::unavailable, "there is no benchmark");
  }
  auto waiter = ModelWaiter::create();
  const TicketId ticket = ++impl->last_ticket;
  impl->admit(*impl->bench->model, waiter, ticket);
  auto news = co_await waiter->next();  // the outcome alone, since nothing else was asked for
  if (!news) {
    impl->leave(ticket);
    co_return fail(ErrorCode::cancelled, "the benchmark was cancelled");
  }
  auto& result = std::get<ModelWaiter::Outcome>(*news);
  if (!result) co_return std::unexpected(std::move(result).error());
  const auto& endpoint = impl->bench->model->endpoint();
  if (endpoint == nullptr) co_return fail(ErrorCode::unavailable, "the engine has just ended");
  co_return endpoint;
}

net::Task<void> Scheduler::end_bench() {
  auto impl = impl_;
  co_await impl->end_bench();
}

models::BenchMachine Scheduler::bench_machine() const { return impl_->bench_machine(); }

BenchState Scheduler::bench_state() const { return impl_->bench_state(); }

void Scheduler::set_tuned(std::vector<models::TunedSettings> tuned) {
  impl_->tuned.clear();
  for (auto& each : tuned) {
    std::string name = each.model;
    impl_->tuned.insert_or_assign(std::move(name), std::move(each));
  }
  // The next starts use them.
  if (impl_->list) impl_->models_changed(impl_->list);
}

}  // namespace corral::scheduler
