#include "models/served_models.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "models/gguf.hpp"

namespace corral::models {
namespace {

void mark_damaged(std::vector<ModelEntry>& entries,
                  const std::map<std::string, std::string>& problems) {
  if (problems.empty()) return;
  for (ModelEntry& entry : entries) {
    for (const FileIdentity& file : entry.files) {
      auto found = problems.find(file.path.string());
      if (found == problems.end() || !entry.usable()) continue;
      entry.state = ModelState::unusable;
      entry.problem = fail(ErrorCode::io, found->second)
                          .hint(
                              "put a good copy of the file in its place, or check it again with "
                              "`corral verify`");
    }
  }
}

}  // namespace

Result<FileIdentity> ServedModels::check_blob(const CatalogModel& model, const StoredFile& file) {
  FileIdentity identity{.path = parts_.blobs.path_of(file.file.digest),
                        .size = file.blob.bytes,
                        .modified = file.blob.modified,
                        .inode = file.blob.inode,
                        .device = 0};
  auto now = parts_.files.stat(identity.path);
  if (!now) {
    return fail(ErrorCode::io, fmt::format("its file {} is missing", file.file.name))
        .hint(model.origin.empty() ? "pull or make it again"
                                   : fmt::format("pull it again: {}", model.origin));
  }
  identity.device = now->device;
  if (!file.problem.empty()) {
    return fail(ErrorCode::io,
                fmt::format("its file {} is damaged: {}", file.file.name, file.problem))
        .hint("pull the model again");
  }
  if (!file.blob.is_known()) {
    return fail(ErrorCode::conflict,
                fmt::format("its file {} was not checked on this machine yet", file.file.name))
        .hint(fmt::format("`corral verify {}` reads it, and takes it if it is what it should be",
                          model.name));
  }
  auto unchanged = check_unchanged(identity, *now);
  if (!unchanged) {
    Error error = std::move(unchanged).error();
    error.message = fmt::format("its file {} was changed since it was taken in", file.file.name);
    return std::unexpected(std::move(error));
  }
  return identity;
}

ModelEntry ServedModels::entry_of(const CatalogModel& model) {
  ModelEntry entry;
  entry.name = model.name;
  entry.version = model.version;
  entry.origin = model.origin;
  entry.bytes = model.bytes;
  entry.modified = model.added;
  std::vector<sys::Path> paths;
  for (const StoredFile& file : model.files) {
    const bool weights = file.file.role == FileRole::weights;
    if (!weights && file.file.role != FileRole::projector) continue;
    auto identity = check_blob(model, file);
    if (!identity) {
      if (!entry.problem) entry.problem = std::move(identity).error();
      identity = FileIdentity{.path = parts_.blobs.path_of(file.file.digest),
                              .size = file.file.bytes,
                              .modified = file.blob.modified,
                              .inode = file.blob.inode};
    }
    if (weights) {
      paths.push_back(identity->path);
      entry.files.push_back(std::move(*identity));
    } else if (!entry.projector) {
      entry.projector = std::move(*identity);
    }
  }
  if (entry.problem) return entry;
  entry.metadata = model.metadata;
  if (!entry.metadata) {
    auto metadata = read_gguf_set(parts_.files, paths);
    if (!metadata) {
      entry.problem = std::move(metadata).error();
      return entry;
    }
    entry.metadata = std::make_shared<const GgufMetadata>(std::move(*metadata));
  }
  entry.state = ModelState::usable;
  return entry;
}

Result<Snapshot> ServedModels::merge(const ModelList& folder) {
  std::vector<ModelEntry> entries = folder.entries();
  std::vector<std::string> warnings = folder.warnings();
  CORRAL_TRY(auto problems, parts_.index.problems());
  mark_damaged(entries, problems);
  std::set<std::string> taken;
  for (const ModelEntry& entry : entries) taken.insert(fold_model_name(entry.name));
  CatalogQuery query{.after = {}, .search = {}, .limit = Catalog::kLongestPage};
  for (;;) {
    CORRAL_TRY(auto page, parts_.catalog.list(query));
    for (const CatalogModel& model : page) {
      if (taken.contains(fold_model_name(model.name))) {
        warnings.push_back(
            fmt::format("the model '{0}' of the catalog is not served, because the "
                        "models folder has one of that name; `corral cp {0} NAME` "
                        "gives it another",
                        model.name));
        continue;
      }
      entries.push_back(entry_of(model));
    }
    if (page.size() < static_cast<std::size_t>(query.limit)) break;
    query.after = page.back().name;
  }
  return std::make_shared<const ModelList>(std::move(entries), folder.aliases(),
                                           std::move(warnings));
}

}  // namespace corral::models
