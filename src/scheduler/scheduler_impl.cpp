#include "scheduler/scheduler_impl.hpp"

#include <fmt/core.h>
#include <algorithm>

#include "scheduler/start_plan.hpp"
#include "scheduler/whole_start.hpp"
#include "sys/host.hpp"

namespace corral::scheduler {
namespace {

engines::Purpose purpose_of(inference::Operation operation) {
  return operation == inference::Operation::embedding ? engines::Purpose::embedding
                                                      : engines::Purpose::chat;
}

std::vector<double> seconds_buckets() {
  return {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
}

std::vector<MemoryLease> leases_of(const config::Settings& settings) {
  std::vector<MemoryLease> leases;
  for (const auto& endpoint : settings.endpoints) {
    if (!endpoint.device.empty() && endpoint.memory > 0) {
      leases.push_back({endpoint.device, endpoint.memory});
    }
  }
  return leases;
}

}  // namespace

Scheduler::Impl::Impl(SchedulerParts p, std::shared_ptr<const config::Settings> s)
    : parts(std::move(p)),
      settings(std::move(s)),
      current(std::make_shared<const Catalog>()),
      catalog(parts.shards, current),
      scaling(parts.metrics, parts.log, parts.clock),
      leases(leases_of(*settings)),
      meters{
          parts.metrics.counter("corral_evictions_total", "Models unloaded to make room."),
          parts.metrics.counter("corral_turns_ended_total",
                                "Models in use closed because another had waited long enough."),
          parts.metrics.gauge("corral_waiting_for_room", "Callers whose model has no place yet."),
          parts.metrics.histogram("corral_model_load_seconds",
                                  "From the start of an engine until it serves.", {},
                                  seconds_buckets()),
          parts.metrics.histogram("corral_model_wait_seconds",
                                  "What callers waited for a model to be loaded.", {},
                                  seconds_buckets())} {}

net::Task<Result<void>> Scheduler::Impl::watch_models() {
  timer = std::make_unique<net::TaskGroup>(parts.shards.control());
  share_out();
  const sys::Path folder = models_folder(*settings);
  if (settings->models.directory.empty()) {
    CORRAL_CO_CHECK(parts.files.make_directories(folder, 0755));
  }
  auto reader = std::make_unique<models::ModelFolder>(parts.files, parts.clock,
                                                      std::vector<sys::Path>{folder},
                                                      models::Aliases{}, parts.model_index);
  watch = std::make_unique<ModelWatch>(
      parts.shards.control(), parts.pool, parts.log, std::move(reader),
      std::vector<sys::Path>{folder}, parts.served_models,
      [this](models::Snapshot fresh) { models_changed(std::move(fresh)); });
  co_return co_await watch->start();
}

void Scheduler::Impl::models_changed(models::Snapshot fresh) {
  list = std::move(fresh);
  for (auto& [key, model] : deployed) {
    const auto* entry = list->find(key.model);
    if (entry != nullptr && entry->usable()) {
      model->set_several(range_of(key.model).most > 1);
      plan_anew(*model, *entry);
    } else if (entry == nullptr || entry->state == models::ModelState::unusable) {
      Error gone = fail(ErrorCode::not_found, "the model's file is gone").field("model");
      model->unload(&gone);
    }
  }
  table.reset();
  tell_models();
  if (!table) publish();  // or did those who were told publish it with their routes?
}

// What does not fit any more is refused when it is wanted.
void Scheduler::Impl::plan_anew(DeployedModel& model, const models::ModelEntry& entry) {
  auto options = options_for(entry, model.purpose());
  if (!options) return;
  model.update(std::move(*options), idle_timeout_of(model.model()));
  placement.update(model.unit(), unit_spec(model));
}

void Scheduler::Impl::preload() {
  for (const auto& [name, wanted] : settings->models.settings) {
    if (!wanted.preload) continue;
    const ModelStatus* status = current->find(name);
    if (status == nullptr) {
      parts.log.warn("a model to preload is not there", {{"model", name}});
      continue;
    }
    want(name, main_operation(*status), ModelWaiter::create(), ++last_ticket);
  }
}

void Scheduler::Impl::reload(std::shared_ptr<const config::Settings> s) {
  settings = std::move(s);
  rpc_looked.reset();
  share_out();
  if (list)
    models_changed(list);
  else
    publish_all();
  settle();
}

void Scheduler::Impl::sweep() {
  for (auto& [key, model] : deployed) {
    replace_failing(*model);
    model->sweep(when_idle(*model));
    learn(*model);
  }
  scale();
  look_at_rpc();
  keep_replicas();
  if (bench && bench->model) learn(*bench->model);
  expire();
  settle();
  tell_waiting();
  measure();
}

void Scheduler::Impl::set_routed(std::vector<ModelStatus> models) {
  routed = std::move(models);
  publish_all();
}

void Scheduler::Impl::restart(const std::string& name) {
  std::vector<DeployedModel*> bad;
  for (auto& [key, model] : deployed) {
    if (key.model != name || model->state().state() != DeploymentState::ready) continue;
    // Of several some may be well.
    if (other_serves(*model) && model->endpoint()->failures() == 0) continue;
    bad.push_back(model.get());
  }
  for (auto* model : bad) {
    parts.log.warn("the engine answers nothing but failures and is started anew",
                   {{"model", name}});
    model->unload(nullptr);
    admit(*model, ModelWaiter::create(), ++last_ticket);
  }
}

// Which models there are decides about routes.
void Scheduler::Impl::tell_models() {
  if (!parts.local_models || !list) return;
  std::vector<gateway::LocalModel> models;
  for (const auto& entry : list->entries()) {
    if (entry.usable()) models.push_back({entry.name, aliases_of(entry.name)});
  }
  parts.local_models(std::move(models));
}

net::Task<void> Scheduler::Impl::stop() {
  stopping = true;
  if (watch) co_await watch->stop();
  // All are told first, so that they stop side by side.
  Error why = fail(ErrorCode::unavailable, "the server is shutting down");
  for (auto& [key, model] : deployed) model->unload(&why);
  for (auto& [key, model] : deployed) co_await model->stop();
  co_await end_bench();
  ended = true;
  for (auto& each : std::exchange(unloading, {})) each.done->fulfil(std::unexpected(why));
  if (timer) co_await timer->close();
  if (rpc_asks) co_await rpc_asks->close();
  units.clear();
  deployed.clear();
}

const config::ModelSettings* Scheduler::Impl::settings_of(const std::string& model) const {
  auto it = settings->models.settings.find(model);
  return it == settings->models.settings.end() ? nullptr : &it->second;
}

std::vector<std::string> Scheduler::Impl::aliases_of(const std::string& model) const {
  const auto* own = settings_of(model);
  return own == nullptr ? std::vector<std::string>{} : own->aliases;
}

std::chrono::milliseconds Scheduler::Impl::idle_timeout_of(const std::string& model) const {
  const auto* own = settings_of(model);
  if (own != nullptr && own->idle_timeout.count() >= 0) return own->idle_timeout;
  return kept_warm.contains(model) ? std::chrono::milliseconds(0) : settings->models.idle_timeout;
}

Result<models::StartPlan> Scheduler::Impl::plan_for(const models::ModelEntry& entry,
                                                    engines::Purpose purpose,
                                                    const models::EngineChoice& choice) const {
  CORRAL_TRY(auto plan, plan_whole_start(*settings, parts.files, parts.limits, entry, purpose,
                                         machine(), choice));
  explain_rpc(plan);
  return plan;
}

engines::InstanceSpec Scheduler::Impl::spec_for(const models::ModelEntry& entry,
                                                engines::Purpose purpose,
                                                const models::StartPlan& plan,
                                                const models::EngineChoice& choice) const {
  engines::InstanceSpec spec;
  spec.name = entry.name;
  spec.model_file = entry.files.front().path;
  spec.files = entry.files;
  spec.purpose = purpose;
  spec.settings = settings->llama_server;
  apply(plan, spec);
  apply(choice, spec);
  spec.own_pooling = entry.metadata && !entry.metadata->pooling.empty();
  return spec;
}

// A model that is out of memory is planned anew: the settings, the machine and what is known of it
// may have changed.
Result<DeployedModel*> Scheduler::Impl::deployment(const models::ModelEntry& entry,
                                                   engines::Purpose purpose, unsigned replica) {
  const Key key{entry.name, purpose, replica};
  const Range range = range_of(entry.name);
  if (range.most > 1) groups.try_emplace(key.first(), range.least);
  auto it = deployed.find(key);
  if (it != deployed.end() && placement.state(it->second->unit()) != UnitState::out) {
    return it->second.get();
  }
  CORRAL_TRY(auto options, options_for(entry, purpose));
  if (it != deployed.end()) {
    it->second->update(std::move(options), idle_timeout_of(entry.name));
    placement.update(it->second->unit(), unit_spec(*it->second));
    return it->second.get();
  }
  auto unit = placement.add({});
  units.emplace_back();
  auto made = std::make_unique<DeployedModel>(
      deployment_parts(), reports_of(unit), unit, entry.name, purpose, std::move(options),
      idle_timeout_of(entry.name), Replica{replica, range.most > 1});
  units[unit].model = made.get();
  placement.update(unit, unit_spec(*made));
  return deployed.emplace(key, std::move(made)).first->second.get();
}

// What all its models share. A request that leaves an engine may be what somebody waits for.
DeploymentParts Scheduler::Impl::deployment_parts() {
  auto freed = [told = parts.place_freed, bell = bell, weak = weak_from_this()] {
    if (told) told();
    if (!bell->wanted.load(std::memory_order_relaxed) || bell->rung.exchange(true)) return;
    auto impl = weak.lock();
    if (!impl) return;
    impl->parts.shards.control().post([bell, weak] {
      bell->rung = false;
      if (auto impl = weak.lock()) impl->settle();
    });
  };
  return {
      {parts.shards.control(), parts.processes, parts.files, parts.clock, parts.log.named("engine"),
       parts.cache_folder, sys::host_facts().physical_cores, parts.limits, &parts.shards},
      parts.metrics,
      *parts.bindings.find("llamacpp"),
      std::move(freed)};
}

void Scheduler::Impl::want(const std::string& name, inference::Operation operation,
                           const Waiter& waiter, TicketId ticket) {
  if (stopping) {
    waiter->fulfil(std::unexpected(fail(ErrorCode::unavailable, "the server is shutting down")
                                       .after(std::chrono::seconds(5))));
    return;
  }
  const ModelStatus* status = current->find(name);
  if (status == nullptr) {
    waiter->fulfil(std::unexpected(current->unknown_model(name)));
    return;
  }
  put_away.erase(status->name);
  // A route may stand before a model of the same name and lead to it.
  const auto* entry = list ? list->find(status->name) : nullptr;
  if (entry == nullptr || !entry->usable()) {
    waiter->fulfil(std::unexpected(
        fail(ErrorCode::unavailable, fmt::format("the model '{}' cannot be used here{}{}", name,
                                                 status->error.empty() ? "" : ": ", status->error))
            .field("model")));
    return;
  }
  auto model = deployment(*entry, purpose_of(operation));
  if (!model) {
    waiter->fulfil(std::unexpected(std::move(model).error()));
    return;
  }
  admit(best_of(Key{entry->name, (*model)->purpose()}), waiter, ticket);
  keep_replicas();
}

void Scheduler::Impl::unload(const std::string& name,
                             const std::shared_ptr<net::OneShot<Result<void>>>& done) {
  const ModelStatus* status = current->find(name);
  if (status == nullptr) {
    done->fulfil(std::unexpected(current->unknown_model(name)));
    return;
  }
  // A model that routes answer may still be one of ours behind them.
  bool ours = std::ranges::any_of(
      deployed, [&](const auto& each) { return each.first.model == status->name; });
  if (status->source == ModelSource::endpoint && !ours) {
    done->fulfil(std::unexpected(fail(
        ErrorCode::conflict,
        fmt::format("'{}' runs at the endpoint '{}', not here", status->name, status->endpoint))));
    return;
  }
  std::string model = status->name;
  put_away.insert(model);
  Unloading wanted{{}, done};
  Error why = fail(ErrorCode::unavailable, "the model was unloaded on request");
  for (auto& [key, deployment] : deployed) {
    if (key.model != model) continue;
    deployment->unload(&why);
    if (placement.state(deployment->unit()) != UnitState::out) {
      wanted.units.insert(deployment->unit());
    }
  }
  if (wanted.units.empty()) {
    done->fulfil(Result<void>());
  } else {
    unloading.push_back(std::move(wanted));
  }
}

}  // namespace corral::scheduler
