// What the scheduler tells of itself, and loading ahead of requests.
#include <algorithm>

#include "scheduler/scheduler_impl.hpp"
#include "scheduler/tuned_start.hpp"
#include "sys/host.hpp"

namespace corral::scheduler {

net::Task<Outlook> Scheduler::outlook() {
  std::function<Outlook()> work = [impl = impl_] { return impl->outlook(); };
  return net::call_on(impl_->parts.shards.control(), std::move(work));
}

net::Task<Result<Warmed>> Scheduler::warm(std::string model) {
  std::function<Result<Warmed>()> work = [impl = impl_, model = std::move(model)] {
    return impl->warm(model);
  };
  return net::call_on(impl_->parts.shards.control(), std::move(work));
}

void Scheduler::keep_warm(std::set<std::string> models) {
  impl_->parts.shards.control().post(
      [impl = impl_, models = std::move(models)] { impl->keep_warm(models); });
}

Outlook Scheduler::Impl::outlook() const {
  Outlook result;
  result.machine = machine();
  result.wishes.context = settings->llama_server.context;
  result.wishes.slots = settings->llama_server.slots;
  result.wishes.batch = settings->llama_server.batch;
  result.wishes.threads = settings->llama_server.threads;
  result.models = list;
  result.catalog = current;
  result.put_away = put_away;
  result.busy = !callers.empty();
  for (const auto& [key, model] : deployed) {
    auto state = placement.state(model->unit());
    if (state != UnitState::out || placement.waiting(model->unit()) > 0) {
      result.loaded.insert(model->model());
    }
    bool moving = state != UnitState::out && state != UnitState::ready;
    const auto& endpoint = model->endpoint();
    const auto load = endpoint != nullptr ? endpoint->load() : gateway::EndpointLoad();
    result.served += load.served;
    bool asked = load.in_flight > 0;
    if (parts.waiting && parts.waiting(model->model()) > 0) asked = true;
    result.busy = result.busy || moving || asked;
  }
  return result;
}

// Room is looked for and taken in one step, so that nothing has to go for it.
Result<Warmed> Scheduler::Impl::warm(const std::string& name) {
  if (stopping) return fail(ErrorCode::unavailable, "the server is shutting down");
  const ModelStatus* status = current->find(name);
  if (status == nullptr) return current->unknown_model(name);
  const auto* entry = list ? list->find(status->name) : nullptr;
  if (entry == nullptr || !entry->usable()) {
    return fail(ErrorCode::unavailable, "the model cannot be used here").field("model");
  }
  CORRAL_TRY(auto* model, deployment(*entry, main_purpose(*entry)));
  if (placement.state(model->unit()) != UnitState::out) return Warmed::loaded;
  if (auto refusal = model->state().refusal(parts.clock.now())) return std::unexpected(*refusal);
  const auto running = static_cast<unsigned>(std::ranges::count_if(deployed, [&](const auto& each) {
    return placement.state(each.second->unit()) != UnitState::out;
  }));
  if (settings->scheduler.max_models != 0 && running >= settings->scheduler.max_models) {
    return Warmed::no_room;
  }
  for (const auto& charge : unit_spec(*model).places.front().charges) {
    if (placement.held_of(charge.account) + charge.bytes > placement.budget_of(charge.account)) {
      return Warmed::no_room;
    }
  }
  admit(*model, Waiter::element_type::create(), ++last_ticket);
  return Warmed::begun;
}

void Scheduler::Impl::keep_warm(const std::set<std::string>& models) {
  if (models == kept_warm) return;
  kept_warm = models;
  for (auto& [key, model] : deployed) {
    model->update(model->options(), idle_timeout_of(model->model()));
  }
}

}  // namespace corral::scheduler
