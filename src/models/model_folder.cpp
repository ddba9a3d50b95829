#include "models/model_folder.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "models/folder_walk.hpp"
#include "models/gguf.hpp"

namespace corral::models {

ModelFolder::ModelFolder(sys::Files& files, const sys::Clock& clock, std::vector<sys::Path> folders,
                         Aliases aliases, ModelIndex* index)
    : files_(files),
      clock_(clock),
      folders_(std::move(folders)),
      aliases_(std::move(aliases)),
      index_(index) {}

void ModelFolder::set_aliases(Aliases aliases) { aliases_ = std::move(aliases); }

bool ModelFolder::is_fresh(const ModelEntry& entry) const {
  // A clock that was set back makes files of the future; they are as settled as old ones.
  const auto age = clock_.wall() - entry.modified;
  return age < kSettled && age > -kSettled;
}

ModelEntry ModelFolder::read(ModelEntry found) {
  const auto known = known_.find(found.files.front().path);
  // What was incomplete is read again: by now it may be whole, or old enough to be called damaged.
  if (known != known_.end() && known->second.files == found.files &&
      known->second.state != ModelState::incomplete) {
    found.metadata = known->second.metadata;
    found.problem = known->second.problem;
    found.state = known->second.state;
    return found;
  }
  if (!found.problem) {
    std::vector<sys::Path> paths;
    paths.reserve(found.files.size());
    for (const FileIdentity& file : found.files) paths.push_back(file.path);
    auto metadata = read_gguf_set(files_, paths);
    if (metadata) {
      found.metadata = std::make_shared<const GgufMetadata>(std::move(*metadata));
    } else {
      found.problem = std::move(metadata).error();
    }
  }
  if (!found.problem) {
    found.state = ModelState::usable;
    if (index_ != nullptr) unsaved_.push_back({found.files, found.metadata});
  } else {
    found.state = is_fresh(found) ? ModelState::incomplete : ModelState::unusable;
  }
  return found;
}

// What was known when the program ended. An index that cannot be read costs time, no more.
void ModelFolder::load_index(std::vector<std::string>& warnings) {
  if (index_ == nullptr || index_loaded_) return;
  auto known = index_->load();
  if (!known) {
    warnings.push_back("the index of the models folder cannot be read, so all files are: " +
                       known.error().describe());
    return;
  }
  index_loaded_ = true;
  for (IndexedModel& model : *known) {
    ModelEntry entry;
    entry.files = std::move(model.files);
    entry.metadata = std::move(model.metadata);
    entry.state = ModelState::usable;
    sys::Path first = entry.files.front().path;
    known_.try_emplace(std::move(first), std::move(entry));
  }
}

void ModelFolder::save_index(const std::map<sys::Path, ModelEntry>& known,
                             std::vector<std::string>& warnings) {
  if (index_ == nullptr) return;
  std::vector<sys::Path> gone;
  for (const auto& [path, entry] : known_) {
    if (!known.contains(path)) gone.push_back(path);
  }
  if (unsaved_.empty() && gone.empty()) return;
  auto saved = index_->save(unsaved_, gone);
  if (saved) {
    unsaved_.clear();
  } else {
    warnings.push_back("the index of the models folder cannot be written: " +
                       saved.error().describe());
  }
}

Result<Snapshot> ModelFolder::scan() {
  std::vector<std::string> warnings;
  load_index(warnings);
  std::vector<ModelEntry> entries;
  for (const sys::Path& folder : folders_) {
    auto found = walk_models(files_, folder, warnings);
    if (!found && found.error().code == ErrorCode::not_found) {
      warnings.push_back(fmt::format("the model folder {} does not exist", folder.string()));
      continue;
    }
    CORRAL_TRY(const auto files, std::move(found));
    auto grouped = group_models(files);
    attach_projectors(files, grouped, warnings);
    std::ranges::move(grouped, std::back_inserter(entries));
  }
  make_names_unique(entries, warnings);

  std::map<sys::Path, ModelEntry> known;
  std::vector<ModelEntry> models;
  for (ModelEntry& entry : entries) {
    ModelEntry model = read(std::move(entry));
    known.insert_or_assign(model.files.front().path, model);
    // A projector or an adapter by another name is nothing that answers by itself.
    const bool stands_alone =
        !model.metadata || (model.metadata->architecture != "clip" &&
                            model.metadata->type != "mmproj" && model.metadata->type != "adapter");
    if (stands_alone) models.push_back(std::move(model));
  }
  save_index(known, warnings);
  known_ = std::move(known);
  for (const auto& [alias, name] : aliases_) {
    const bool taken = std::ranges::find(models, alias, &ModelEntry::name) != models.end();
    if (taken && alias != name) {
      warnings.push_back(
          fmt::format("the alias '{}' of '{}' is not used: a model has that name", alias, name));
    }
  }
  return std::make_shared<const ModelList>(std::move(models), aliases_, std::move(warnings));
}

}  // namespace corral::models
