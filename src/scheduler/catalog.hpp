// The picture of all models that surfaces list and the fast path looks up. Immutable once made.
//
// What changes rarely (which models there are, ModelTable) is shared by all pictures until it does;
// what changes with every load and unload lies over it. So a change of one model costs as little
// among ten thousand as among ten.
#pragma once

#include <compare>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/endpoint_source.hpp"
#include "inference/request.hpp"
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
  bool chats = false;                // what its files say it can do; nothing is known of endpoints
  bool embeds = false;
  bool sees = false;  // it has a projector
  std::chrono::system_clock::time_point modified;
  std::vector<std::string> aliases;
  std::string endpoint;      // for ModelSource::endpoint: their names
  std::int64_t version = 0;  // in the catalog; 0: of the models folder
  std::string origin;        // of those in the catalog: where it came from
};

// What to load it for when nobody says.
inference::Operation main_operation(const ModelStatus& model);

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

// Which models there are, as long as none of them is loaded.
struct ModelTable {
  ModelTable() = default;
  ModelTable(std::vector<ModelStatus> all, std::vector<std::string> left_out);

  std::vector<ModelStatus> models;                     // by name
  std::vector<std::string> warnings;                   // about models that are left out
  std::unordered_map<std::string, std::size_t> index;  // lower-case name or alias -> models

  // By its very name; nullopt: there is none.
  std::optional<std::size_t> find_exact(std::string_view name) const;
};

// The models of a table as they are now; a random-access range, by name.
class ModelStatuses {
 public:
  class Iterator {
   public:
    using iterator_concept = std::random_access_iterator_tag;
    using iterator_category = std::random_access_iterator_tag;
    using value_type = ModelStatus;
    using difference_type = std::ptrdiff_t;
    using pointer = const ModelStatus*;
    using reference = const ModelStatus&;

    Iterator() = default;
    Iterator(const ModelStatuses& of, std::size_t at)
        : of_(&of), at_(static_cast<difference_type>(at)) {}
    reference operator*() const { return (*of_)[static_cast<std::size_t>(at_)]; }
    pointer operator->() const { return &**this; }
    reference operator[](difference_type by) const { return *(*this + by); }
    Iterator& operator++() { return *this += 1; }
    Iterator& operator--() { return *this -= 1; }
    Iterator operator++(int) { return std::exchange(*this, *this + 1); }
    Iterator operator--(int) { return std::exchange(*this, *this - 1); }
    Iterator& operator+=(difference_type by) {
      at_ += by;
      return *this;
    }
    Iterator& operator-=(difference_type by) { return *this += -by; }
    friend Iterator operator+(Iterator it, difference_type by) { return it += by; }
    friend Iterator operator+(difference_type by, Iterator it) { return it += by; }
    friend Iterator operator-(Iterator it, difference_type by) { return it -= by; }
    friend difference_type operator-(const Iterator& a, const Iterator& b) { return a.at_ - b.at_; }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.at_ == b.at_; }
    friend auto operator<=>(const Iterator& a, const Iterator& b) { return a.at_ <=> b.at_; }

   private:
    const ModelStatuses* of_ = nullptr;
    difference_type at_ = 0;
  };

  explicit ModelStatuses(std::shared_ptr<const ModelTable> table) : table_(std::move(table)) {}

  const ModelTable& table() const { return *table_; }
  std::size_t size() const { return table_->models.size(); }
  bool empty() const { return table_->models.empty(); }
  const ModelStatus& operator[](std::size_t at) const {
    auto it = changed_.find(at);
    return it == changed_.end() ? table_->models[at] : it->second;
  }
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }
  // It is otherwise than in the table, though of the same name.
  void change(std::size_t at, ModelStatus status) { changed_[at] = std::move(status); }

 private:
  std::shared_ptr<const ModelTable> table_;
  std::map<std::size_t, ModelStatus> changed_;
};

struct Catalog {
  Catalog() : Catalog(std::make_shared<const ModelTable>()) {}
  explicit Catalog(std::shared_ptr<const ModelTable> table) : models(std::move(table)) {}

  ModelStatuses models;
  // Ready endpoints by public name and alias.
  using Targets = std::unordered_map<std::string, TargetSet>;
  Targets text_targets;
  Targets embedding_targets;

  const std::vector<std::string>& warnings() const { return models.table().warnings; }
  const Targets& targets(inference::Operation operation) const {
    return operation == inference::Operation::embedding ? embedding_targets : text_targets;
  }
  // By name, or else by name or alias without case and with a trailing ":latest" left off. nullptr:
  // unknown.
  const ModelStatus* find(std::string_view name) const;
  // not_found (param "model"), naming the nearest models.
  Error unknown_model(std::string_view name) const;
};

ModelStatus describe_model(const models::ModelEntry& entry);

// "chat", "embedding", "vision"; none where nothing is known.
std::vector<std::string_view> capabilities_of(const ModelStatus& model);

}  // namespace corral::scheduler
