// All models that can be served here: those of the models folder and those of the catalog.
//
// The folder's files are what somebody put there by hand, so where both have a name, the folder's
// model keeps it and the catalog's is left out with a warning. A catalog model is usable while its
// blobs are the files that were taken in (size, time, inode) and no check has found one damaged.
//
// Thread rule: thread-safe; calls block. Lifecycle: the parts outlive it.
// Example:
//   ServedModels served({catalog, index, *files, blobs});
//   CORRAL_TRY(Snapshot all, served.merge(*folder_list));
#pragma once

#include "models/blob_files.hpp"
#include "models/catalog.hpp"
#include "models/file_index.hpp"
#include "models/model_list.hpp"
#include "sys/files.hpp"

namespace corral::models {

struct ServedParts {
  Catalog& catalog;
  FileIndex& index;
  sys::Files& files;
  BlobFiles& blobs;
};

class ServedModels {
 public:
  explicit ServedModels(ServedParts parts) : parts_(parts) {}

  Result<Snapshot> merge(const ModelList& folder);

 private:
  ModelEntry entry_of(const CatalogModel& model);
  Result<FileIdentity> check_blob(const CatalogModel& model, const StoredFile& file);

  ServedParts parts_;
};

}  // namespace corral::models
