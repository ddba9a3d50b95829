#include "models/model_list.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/text.hpp"

namespace corral::models {
namespace {

bool same(const ModelEntry& a, const ModelEntry& b) {
  return a.files == b.files && a.projector == b.projector && a.state == b.state;
}

}  // namespace

Result<void> check_unchanged(const FileIdentity& then, const sys::FileInfo& now) {
  const bool same =
      now.size == then.size && now.modified == then.modified && now.inode == then.inode;
  if (same) return {};
  return fail(ErrorCode::conflict, fmt::format("the file {} was changed since it was taken in",
                                               then.path.filename().string()))
      .hint(
          "`corral verify` tells whether its bytes are still the right ones; pull the model "
          "again if not");
}

ModelList::ModelList(std::vector<ModelEntry> entries, Aliases aliases,
                     std::vector<std::string> warnings)
    : entries_(std::move(entries)), aliases_(std::move(aliases)), warnings_(std::move(warnings)) {
  std::ranges::sort(entries_, {}, &ModelEntry::name);
}

const ModelEntry* ModelList::find_exact(std::string_view name) const {
  const auto at = std::ranges::lower_bound(entries_, name, {}, &ModelEntry::name);
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

const ModelEntry* ModelList::find_any_case(std::string_view name) const {
  for (const ModelEntry& entry : entries_) {
    if (iequals(entry.name, name)) return &entry;
  }
  for (const auto& [alias, model] : aliases_) {
    if (!iequals(alias, name)) continue;
    if (const ModelEntry* entry = find_exact(model)) return entry;
  }
  return nullptr;
}

const ModelEntry* ModelList::find(std::string_view name) const {
  if (const ModelEntry* entry = find_exact(name)) return entry;
  const auto alias = aliases_.find(std::string(name));
  if (alias != aliases_.end()) {
    if (const ModelEntry* entry = find_exact(alias->second)) return entry;
  }
  if (const ModelEntry* entry = find_any_case(name)) return entry;
  if (!name.ends_with(kLatest)) return nullptr;
  return find(name.substr(0, name.size() - kLatest.size()));
}

std::vector<std::string> ModelList::nearest_names(std::string_view wanted, std::size_t most) const {
  if (wanted.ends_with(kLatest)) wanted.remove_suffix(kLatest.size());
  std::vector<std::string> names;
  names.reserve(entries_.size() + aliases_.size());
  for (const ModelEntry& entry : entries_) names.push_back(entry.name);
  for (const auto& [alias, model] : aliases_) {
    if (find_exact(model) != nullptr && find_exact(alias) == nullptr) names.push_back(alias);
  }
  return nearest(wanted, names, most);
}

bool ModelList::has_incomplete() const {
  return std::ranges::any_of(
      entries_, [](const ModelEntry& entry) { return entry.state == ModelState::incomplete; });
}

ModelChanges changes_between(const ModelList& before, const ModelList& after) {
  ModelChanges out;
  auto old_entry = before.entries().begin();
  auto new_entry = after.entries().begin();
  // Both are sorted by name: walk them side by side.
  while (old_entry != before.entries().end() || new_entry != after.entries().end()) {
    const bool old_left = old_entry != before.entries().end();
    const bool new_left = new_entry != after.entries().end();
    if (!new_left || (old_left && old_entry->name < new_entry->name)) {
      out.removed.push_back((old_entry++)->name);
    } else if (!old_left || new_entry->name < old_entry->name) {
      out.added.push_back((new_entry++)->name);
    } else {
      if (!same(*old_entry, *new_entry)) out.changed.push_back(new_entry->name);
      ++old_entry;
      ++new_entry;
    }
  }
  return out;
}

}  // namespace corral::models
