#include "models/core/sync_plan.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "models/catalog_types.hpp"

namespace corral::models {
namespace {

// What makes two models one: the files in their roles. Empty: not all checksums are known.
std::string content_of(const std::vector<RemoteFile>& files) {
  std::string content;
  for (const auto& file : files) {
    if (file.digest.empty()) return {};
    content.append(to_string(file.role)).append(" ").append(file.digest).append("\n");
  }
  return content;
}

std::string content_of(const std::vector<HereFile>& files) {
  std::multimap<FileRole, std::string_view> sorted;  // parts stay in their order
  for (const auto& file : files) sorted.emplace(file.role, file.digest);
  std::string content;
  for (const auto& [role, digest] : sorted) {
    content.append(to_string(role)).append(" ").append(digest).append("\n");
  }
  return content;
}

bool is_sound(const HereModel& model) {
  return std::ranges::all_of(model.files, [](const auto& file) { return file.sound; });
}

// Where checksums are missing: another revision, or other sizes, are other bytes.
bool looks_same(const RemoteModel& there, const HereModel& here) {
  if (!there.revision.empty() && there.revision != here.revision) return false;
  if (there.files.size() != here.files.size()) return false;
  std::multiset<std::uint64_t> sizes;
  for (const auto& file : here.files) sizes.insert(file.bytes);
  for (const auto& file : there.files) {
    if (!file.bytes) continue;
    auto found = sizes.find(*file.bytes);
    if (found == sizes.end()) return false;
    sizes.erase(found);
  }
  return true;
}

class SyncPlanner {
 public:
  SyncPlanner(const std::vector<HereModel>& here, const SyncWish& wish) : here_(here), wish_(wish) {
    for (const auto& model : here_) {
      if (is_sound(model)) by_content_.emplace(content_of(model.files), &model);
      for (const auto& file : model.files) {
        if (file.sound) blobs_.insert(file.digest);
      }
    }
  }

  bool wanted(std::string_view name) const {
    if (wish_.patterns.empty()) return true;
    name.remove_prefix(std::min(name.size(), wish_.source.size() + 1));
    return std::ranges::any_of(wish_.patterns,
                               [&](const auto& each) { return wildcard_match(each, name); });
  }

  SyncItem judge(const RemoteModel& there) const {
    SyncItem item;
    item.name = there.name;
    item.reference = there.origin;
    item.bytes = 0;
    for (const auto& file : there.files) {
      if (!file.bytes) item.bytes.reset();
      if (item.bytes) *item.bytes += *file.bytes;
    }
    const auto* own = find(there);
    const std::string content = content_of(there.files);
    if (own != nullptr) {
      const bool same =
          content.empty() ? looks_same(there, *own) : content == content_of(own->files);
      item.state = same ? SyncState::same : SyncState::newer;
      if (same && !is_sound(*own)) item.state = SyncState::damaged;
      if (own->name != there.name) item.here_as = own->name;
    } else if (auto same = by_content_.find(content);
               !content.empty() && same != by_content_.end()) {
      item.state = SyncState::same;
      item.here_as = same->second->name;
    }
    if (!item.fetched()) return item;
    for (const auto& file : there.files) item.to_fetch += missing(file);
    return item;
  }

  // Of a file that is not here; 0 when it is.
  std::uint64_t missing(const RemoteFile& file) const {
    return blobs_.contains(file.digest) ? 0 : file.bytes.value_or(0);
  }

 private:
  const HereModel* find(const RemoteModel& there) const {
    const HereModel* other = nullptr;
    for (const auto& model : here_) {
      if (model.name == there.name) return &model;
      if (model.origin == there.origin && other == nullptr) other = &model;
    }
    return other;
  }

  const std::vector<HereModel>& here_;
  const SyncWish& wish_;
  std::map<std::string, const HereModel*> by_content_;
  std::set<std::string> blobs_;  // that are here and sound
};

}  // namespace

std::string_view to_string(SyncState state) {
  switch (state) {
    case SyncState::fresh: return "new";
    case SyncState::newer: return "newer";
    case SyncState::damaged: return "damaged";
    case SyncState::same: return "same";
    case SyncState::gone: return "gone";
  }
  return "unknown";
}

SyncPlan plan_sync(const std::vector<RemoteModel>& there, const std::vector<HereModel>& here,
                   const SyncWish& wish, const std::vector<std::string>& refused) {
  SyncPlanner planner(here, wish);
  SyncPlan plan;
  std::set<std::string> names;
  std::set<std::string> counted;
  for (const auto& name : refused) names.insert(wish.source + "/" + name);
  for (const auto& model : there) {
    // The first of two that have one name is the one that `pull` finds.
    if (!names.insert(model.origin).second || !planner.wanted(model.origin)) continue;
    plan.items.push_back(planner.judge(model));
    if (!plan.items.back().fetched()) continue;
    for (const auto& file : model.files) {
      if (file.digest.empty() || counted.insert(file.digest).second) {
        plan.to_fetch += planner.missing(file);
      }
    }
  }
  for (const auto& model : here) {
    if (!model.origin.starts_with(wish.source + "/") || names.contains(model.origin)) continue;
    if (!planner.wanted(model.origin)) continue;
    SyncItem item;
    item.name = model.name;
    item.reference = model.origin;
    item.state = SyncState::gone;
    item.bytes = 0;
    for (const auto& file : model.files) *item.bytes += file.bytes;
    plan.items.push_back(std::move(item));
  }
  std::ranges::sort(plan.items, {}, &SyncItem::name);
  return plan;
}

}  // namespace corral::models
