// What the scheduler shows of its models: to the admin API, to routes, to whoever lists them.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "scheduler/scheduler_impl.hpp"

namespace corral::scheduler {
namespace {

ModelState model_state(DeploymentState state) {
  switch (state) {
    case DeploymentState::unloaded: return ModelState::unloaded;
    case DeploymentState::loading: return ModelState::loading;
    case DeploymentState::ready: return ModelState::ready;
    case DeploymentState::unloading: return ModelState::unloading;
    case DeploymentState::failed: return ModelState::failed;
  }
  return ModelState::unloaded;
}

// What it died of, with the end of what it wrote.
std::string with_last_words(const Error& error) {
  constexpr std::size_t kLines = 3;
  std::string text = error.describe();
  auto lines = split(trim(error.cause), '\n');
  if (lines.empty() || lines.front().empty()) return text;
  if (lines.size() > kLines) lines.erase(lines.begin(), lines.end() - kLines);
  text += "; its last lines:";
  for (std::string_view line : lines) text.append(" | ").append(line);
  return text;
}

}  // namespace

Result<ModelDetails> Scheduler::Impl::details(const std::string& name) {
  const ModelStatus* status = current->find(name);
  if (status == nullptr) return current->unknown_model(name);
  ModelDetails result;
  result.status = *status;
  const auto* entry = status->source == ModelSource::file ? list->find(status->name) : nullptr;
  if (entry == nullptr) return result;
  for (const auto& file : entry->files) result.files.push_back({file.path.string(), file.size});
  if (!entry->metadata) return result;
  const auto& metadata = *entry->metadata;
  result.chat_template = metadata.chat_template;
  auto add = [&](std::string key, std::string value) {
    if (!value.empty() && value != "0")
      result.metadata.emplace_back(std::move(key), std::move(value));
  };
  add("name", metadata.name);
  add("size_label", metadata.size_label);
  add("license", metadata.license);
  add("tokenizer", metadata.tokenizer);
  add("vocabulary", fmt::format("{}", metadata.vocabulary));
  add("embedding_length", fmt::format("{}", metadata.embedding_length));
  add("blocks", fmt::format("{}", metadata.blocks));
  add("heads", fmt::format("{}", metadata.heads));
  add("experts", fmt::format("{}", metadata.experts));
  add("sliding_window", fmt::format("{}", metadata.sliding_window));
  add("tensors", fmt::format("{}", metadata.tensor_count));
  add("tensor_bytes", fmt::format("{}", metadata.tensor_bytes));
  result.idle_timeout = idle_timeout_of(entry->name);
  const auto purpose = main_purpose(*entry);
  const auto choice = choice_for(*entry, purpose);
  auto plan = plan_for(*entry, purpose, choice);
  const auto* known = tuned_for(*entry, purpose);
  if (plan && known != nullptr) explain_tuned(choice, *known, *plan);
  result.context = settings->llama_server.context;
  result.slots = settings->llama_server.slots;
  if (plan) {
    auto spec = spec_for(*entry, purpose, *plan, choice);
    result.context = spec.context;
    result.slots = spec.slots;
    result.memory_estimate_bytes = plan->host_bytes + plan->device_bytes;
  }
  result.plan = std::move(plan);
  return result;
}

InstanceStatus Scheduler::Impl::instance_status(const DeployedModel& model) {
  UnitId unit = model.unit();
  InstanceStatus status;
  status.model = model.model();
  status.purpose = engines::to_string(model.purpose());
  status.replica = model.replica() + 1;
  status.device = placement.device(unit);
  status.reserved_bytes = placement.held(unit);
  status.waiting = placement.waiting(unit);
  status.waits_because = placement.why_waiting(unit, parts.clock.now());
  status.load = load_status(unit);
  // The queue is that of all instances: it is shown with the first.
  if (parts.waiting && &model == members_of(Key{model.model(), model.purpose()}).front()) {
    status.waiting += parts.waiting(model.model());
  }
  if (!model.has_instance() || model.state().state() == DeploymentState::unloaded) {
    status.state = "waiting";
    status.since = parts.clock.wall();
    return status;
  }
  engines::InstanceInfo info = model.instance_info();
  status.state = engines::to_string(info.state);
  status.pid = info.pid;
  if (info.port != 0) status.address = fmt::format("127.0.0.1:{}", info.port);
  status.since = info.since;
  status.resident_bytes = info.resident_bytes;
  status.cpu_seconds = std::chrono::duration<double>(info.cpu_time).count();
  status.restarts = info.restarts;
  status.memory_limit_bytes = info.memory_limit;
  status.limited_by = info.limited_by;
  if (const auto& endpoint = model.endpoint()) {
    auto load = endpoint->load();
    status.in_flight = load.in_flight;
    status.requests_total = load.served;
    if (model.idle_timeout().count() > 0 && load.in_flight == 0) {
      auto left = load.last_used + model.idle_timeout() - parts.clock.now();
      status.idle_unload_at =
          parts.clock.wall() + std::chrono::duration_cast<sys::Wall::duration>(left);
    }
  }
  return status;
}

// Those in memory, failed ones, and those for which somebody waits.
std::vector<InstanceStatus> Scheduler::Impl::instances() {
  std::vector<InstanceStatus> result;
  for (const auto& [key, model] : deployed) {
    bool runs = model->has_instance() && model->state().state() != DeploymentState::unloaded;
    if (runs || placement.waiting(model->unit()) > 0) result.push_back(instance_status(*model));
  }
  if (auto measured = bench_instance()) result.push_back(std::move(*measured));
  return result;
}

// As the files and the settings have it.
ModelStatus Scheduler::Impl::describe(const models::ModelEntry& entry) const {
  ModelStatus status = describe_model(entry);
  status.aliases = aliases_of(entry.name);
  const auto own = settings->models.settings.find(entry.name);
  if (own != settings->models.settings.end() && !own->second.projector.empty()) {
    status.sees = status.chats;
  }
  return status;
}

ModelStatus Scheduler::Impl::status_of(const models::ModelEntry& entry) const {
  ModelStatus status = describe(entry);
  if (status.state == ModelState::unusable) return status;
  auto find = [&](engines::Purpose purpose) -> const DeployedModel* {
    Key first{entry.name, purpose};
    return deployed.contains(first) ? &best_of(first) : nullptr;
  };
  const auto* best = find(engines::Purpose::chat);
  if (best == nullptr || best->state().state() == DeploymentState::unloaded) {
    if (const auto* embedding = find(engines::Purpose::embedding)) best = embedding;
  }
  if (best != nullptr) {
    status.state = model_state(best->state().state());
    if (const auto& error = best->state().error()) status.error = with_last_words(*error);
  }
  return status;
}

// Which models there are, with none loaded.
std::shared_ptr<const ModelTable> Scheduler::Impl::make_table() const {
  std::vector<ModelStatus> models = routed;
  std::set<std::string_view> hidden;  // models of our own behind a route of the same name
  for (const auto& model : routed) hidden.insert(model.name);
  if (!list) return std::make_shared<ModelTable>(std::move(models), std::vector<std::string>{});
  models.reserve(models.size() + list->entries().size());
  for (const auto& entry : list->entries()) {
    if (entry.state == models::ModelState::incomplete || hidden.contains(entry.name)) continue;
    models.push_back(describe(entry));
  }
  return std::make_shared<ModelTable>(std::move(models), list->warnings());
}

// What is deployed lies over the table: only this is made anew when one of them changes.
std::shared_ptr<Catalog> Scheduler::Impl::make_catalog() const {
  auto fresh = std::make_shared<Catalog>(table);
  auto add_target = [&](const std::string& name, const gateway::Target& target, bool embedding) {
    auto& targets = embedding ? fresh->embedding_targets : fresh->text_targets;
    std::vector<std::string> names = aliases_of(name);
    names.push_back(name);
    for (const auto& each : names) {
      auto [it, first] = targets.try_emplace(each, target);
      if (!first && it->second.model() == name) it->second.add(target);
    }
  };
  for (const auto& [key, model] : deployed) {
    auto at = table->find_exact(key.model);
    const auto* entry = list ? list->find_exact(key.model) : nullptr;
    if (at && entry != nullptr && table->models[*at].source == ModelSource::file) {
      fresh->models.change(*at, status_of(*entry));
    }
    if (model->endpoint() == nullptr) continue;
    add_target(key.model, {model->endpoint(), key.model},
               key.purpose == engines::Purpose::embedding);
  }
  return fresh;
}

void Scheduler::Impl::publish() {
  if (!table) table = make_table();
  current = make_catalog();
  catalog.publish(current);
}

// Models, their aliases, or the names that routes answer are others now.
void Scheduler::Impl::publish_all() {
  table.reset();
  publish();
}

}  // namespace corral::scheduler
