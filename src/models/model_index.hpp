// What is known of the files of a models folder from the last time they were read, kept over
// restarts: with it, a start reads only what is new or was changed.
//
// Thread rule: one thread at a time, as ModelFolder.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "models/gguf.hpp"
#include "models/model_list.hpp"

namespace corral::models {

// A model that was read whole and found good.
struct IndexedModel {
  std::vector<FileIdentity> files;  // in order
  std::shared_ptr<const GgufMetadata> metadata;
};

class ModelIndex {
 public:
  virtual ~ModelIndex() = default;
  virtual Result<std::vector<IndexedModel>> load() = 0;
  // `read` takes the place of what was known of those models; the files of `gone` (first files) are
  // forgotten.
  virtual Result<void> save(const std::vector<IndexedModel>& read,
                            const std::vector<sys::Path>& gone) = 0;
};

}  // namespace corral::models
