// The picture of all models that surfaces list and the fast path looks up. Immutable once made.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/endpoint_source.hpp"
#include "models/model_list.hpp"

namespace corral::scheduler {

// `unloading` still holds memory; `unusable`: the file is broken, `error` says how.
enum class ModelState { unloaded, loading, ready, unloading, failed, unusable };
std::string_view to_string(ModelState state);

enum class ModelSource { file, endpoint };

// One model as the surfaces show it.
struct ModelStatus {
  std::string name;
  ModelSource source = ModelSource::file;
  ModelState state = ModelState::unloaded;
  std::string error;  // why it cannot be used, or failed last
  std::uint64_t size_bytes = 0;
  std::string architecture;
  std::uint64_t parameters = 0;
  std::string quantization;
  std::uint64_t context_length = 0;  // trained, tokens
  std::chrono::system_clock::time_point modified;
  std::vector<std::string> aliases;
  std::string endpoint;      // for ModelSource::endpoint: their names
  std::int64_t version = 0;  // in the catalog; 0: of the models folder
  std::string origin;        // of those in the catalog: where it came from
};

// The endpoints of one (model, purpose): one for each of its instances that serves.
class TargetSet {
 public:
  TargetSet(gateway::Target first) : first_(std::move(first)) {}
  void add(gateway::Target more) { more_.push_back(std::move(more)); }
  const std::string& model() const { return first_.backend_model; }
  std::size_t size() const { return 1 + more_.size(); }
  // The one with the smallest part of its places taken, the earlier of equals: so a model that is
  // little used stays where its prompts are cached. A closed one only if all are.
  const gateway::Target& choose() const { return more_.empty() ? first_ : least_busy(); }

 private:
  const gateway::Target& least_busy() const;

  gateway::Target first_;
  std::vector<gateway::Target> more_;
};

struct Catalog {
  std::vector<ModelStatus> models;                     // by name
  std::vector<std::string> warnings;                   // about models that are left out
  std::unordered_map<std::string, std::size_t> index;  // lower-case name or alias -> models
  // Ready endpoints by public name and alias.
  using Targets = std::unordered_map<std::string, TargetSet>;
  Targets text_targets;
  Targets embedding_targets;

  const Targets& targets(inference::Operation operation) const {
    return operation == inference::Operation::embedding ? embedding_targets : text_targets;
  }
  // By name, or else by name or alias without case and with a trailing ":latest" left off. nullptr:
  // unknown.
  const ModelStatus* find(std::string_view name) const;
  // not_found (param "model"), naming the nearest models.
  Error unknown_model(std::string_view name) const;
  // Call when `models` is complete: sorts and indexes.
  void finish();
};

ModelStatus describe_model(const models::ModelEntry& entry);

}  // namespace corral::scheduler
