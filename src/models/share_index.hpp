// The index of what this server gives out, in the form that folders on any HTTP server have (see
// sources/http_folder.hpp).
//
// Thread rule: pure functions.
// Example:
//   std::vector<SharedModel> shared;
//   for (const auto& model : page) if (auto one = shared_model(model)) shared.push_back(*one);
//   reply.body = share_index(shared);
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/catalog.hpp"
#include "models/model_list.hpp"

namespace corral::models {

struct SharedFile {
  FileRole role = FileRole::weights;
  std::string name;
  std::string digest;
  std::uint64_t bytes = 0;
};

struct SharedModel {
  std::string name;
  std::string revision;
  std::string license;
  sys::Wall updated;
  std::shared_ptr<const GgufMetadata> metadata;  // may be null
  std::vector<SharedFile> files;
};

// Nothing where a file is damaged.
std::optional<SharedModel> shared_model(const CatalogModel& model);

// Of the models folder; `digests` by path. Nothing where the digest of a file is not known.
std::optional<SharedModel> shared_model(const ModelEntry& entry,
                                        const std::map<std::string, std::string>& digests);

std::string share_index(const std::vector<SharedModel>& models);

// Where a file lies below the folder of the index: "blobs/sha256-<hex>/NAME".
std::string share_path(const SharedFile& file);

}  // namespace corral::models
