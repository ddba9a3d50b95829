#include "scheduler/catalog.hpp"

#include <fmt/core.h>
#include <algorithm>

#include "base/text.hpp"

namespace corral::scheduler {
namespace {

std::string key_of(std::string_view name) {
  constexpr std::string_view kLatest = ":latest";
  std::string key = to_lower(name);
  if (key.ends_with(kLatest)) key.resize(key.size() - kLatest.size());
  return key;
}

}  // namespace

std::string_view to_string(ModelState state) {
  switch (state) {
    case ModelState::unloaded: return "unloaded";
    case ModelState::loading: return "loading";
    case ModelState::ready: return "ready";
    case ModelState::unloading: return "unloading";
    case ModelState::failed: return "failed";
    case ModelState::unusable: return "unusable";
  }
  return "unknown";
}

ModelTable::ModelTable(std::vector<ModelStatus> all, std::vector<std::string> left_out)
    : models(std::move(all)), warnings(std::move(left_out)) {
  std::ranges::sort(models, {}, &ModelStatus::name);
  index.reserve(models.size());
  for (std::size_t i = 0; i < models.size(); ++i) index.emplace(key_of(models[i].name), i);
  for (std::size_t i = 0; i < models.size(); ++i) {
    for (const auto& alias : models[i].aliases) index.emplace(key_of(alias), i);
  }
}

std::optional<std::size_t> ModelTable::find_exact(std::string_view name) const {
  auto exact = std::ranges::lower_bound(models, name, {}, &ModelStatus::name);
  if (exact == models.end() || exact->name != name) return std::nullopt;
  return static_cast<std::size_t>(exact - models.begin());
}

const gateway::Target& TargetSet::least_busy() const {
  // Compared as fractions: taken / capacity.
  auto busier = [](const gateway::Endpoint& a, const gateway::Endpoint& b) {
    auto left = std::uint64_t{a.in_flight()} * b.capacity();
    auto right = std::uint64_t{b.in_flight()} * a.capacity();
    return left > right;
  };
  const gateway::Target* best = &first_;
  for (const auto& each : more_) {
    if (each.endpoint->closed()) continue;
    if (best->endpoint->closed() || busier(*best->endpoint, *each.endpoint)) best = &each;
  }
  return *best;
}

const ModelStatus* Catalog::find(std::string_view name) const {
  // Names that differ in case alone are told apart when they are spelled right.
  const auto& table = models.table();
  if (auto exact = table.find_exact(name)) return &models[*exact];
  auto it = table.index.find(key_of(name));
  return it == table.index.end() ? nullptr : &models[it->second];
}

Error Catalog::unknown_model(std::string_view name) const {
  std::vector<std::string> names;
  for (const auto& model : models) {
    if (model.state == ModelState::unusable) continue;
    names.push_back(model.name);
    names.insert(names.end(), model.aliases.begin(), model.aliases.end());
  }
  constexpr std::size_t kShown = 200;
  Error error =
      fail(ErrorCode::not_found, fmt::format("there is no model '{}'", name.substr(0, kShown)));
  auto close = nearest(name, names);
  if (!close.empty()) {
    error.hint_text = "did you mean " + join(close, " or ") + "?";
  } else if (names.empty()) {
    error.hint_text = "there are no models here yet: put a GGUF file into the models folder";
  } else {
    std::ranges::sort(names);
    if (names.size() > 5) names.resize(5);
    error.hint_text = "there are: " + join(names, ", ");
  }
  error.param = "model";
  return error;
}

ModelStatus describe_model(const models::ModelEntry& entry) {
  ModelStatus status;
  status.name = entry.name;
  status.size_bytes = entry.bytes;
  status.modified = entry.modified;
  status.version = entry.version;
  status.origin = entry.origin;
  if (!entry.usable()) {
    status.state = ModelState::unusable;
    if (entry.problem) status.error = entry.problem->describe();
  }
  if (entry.metadata) {
    status.architecture = entry.metadata->architecture;
    status.parameters = entry.metadata->parameters;
    status.quantization = entry.metadata->quantization;
    status.context_length = entry.metadata->context_length;
    status.embeds = !entry.metadata->pooling.empty();
    status.chats = !status.embeds;
    status.sees = status.chats && entry.projector.has_value();
  }
  return status;
}

inference::Operation main_operation(const ModelStatus& model) {
  return model.embeds ? inference::Operation::embedding : inference::Operation::chat;
}

std::vector<std::string_view> capabilities_of(const ModelStatus& model) {
  std::vector<std::string_view> names;
  if (model.chats) names.emplace_back("chat");
  if (model.embeds) names.emplace_back("embedding");
  if (model.sees) names.emplace_back("vision");
  return names;
}

}  // namespace corral::scheduler
