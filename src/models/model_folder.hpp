// Finds the GGUF models below one or more folders and reads what they say about themselves.
//
// A name is the path below the folder without its ending: "chat/Llama-3.2-1B-Q4_K_M.gguf" is
// "chat/Llama-3.2-1B-Q4_K_M". The parts of a split model are one model. A projector (mmproj) is not
// a model; it goes with the models that it is named after, or with all models of a sub-folder when
// it is named after none. Links are followed; hidden files and folders are not looked at.
//
// A scan costs one look at each folder: a file with the size, time and inode of the last scan is
// not read again. A file that cannot be read but was written to a moment ago is `incomplete`, so
// that a download in progress is not reported as damage. With an index (model_index.hpp) that holds
// over restarts too.
//
// Thread rule: one thread at a time; it blocks, so run it on a pool. Snapshots are immutable.
// Example:
//   ModelFolder folder(files, clock, {data_dir / "models"});
//   CORRAL_TRY(Snapshot models, folder.scan());
//   for (const ModelEntry& model : models->entries()) offer(model);
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "models/model_index.hpp"
#include "models/model_list.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace corral::models {

// A file younger than this may still be written.
inline constexpr std::chrono::milliseconds kSettled{2'000};

class ModelFolder {
 public:
  // Where two folders hold a model of one name, the earlier folder's keeps it.
  ModelFolder(sys::Files& files, const sys::Clock& clock, std::vector<sys::Path> folders,
              Aliases aliases = {}, ModelIndex* index = nullptr);

  // Holds from the next scan on.
  void set_aliases(Aliases aliases);

  // A folder that does not exist is a warning in the list; one that cannot be read is an error.
  Result<Snapshot> scan();

 private:
  ModelEntry read(ModelEntry found);
  void load_index(std::vector<std::string>& warnings);
  void save_index(const std::map<sys::Path, ModelEntry>& known, std::vector<std::string>& warnings);
  bool is_fresh(const ModelEntry& entry) const;

  sys::Files& files_;
  const sys::Clock& clock_;
  std::vector<sys::Path> folders_;
  Aliases aliases_;
  std::map<sys::Path, ModelEntry> known_;  // of the last scan, by first file
  ModelIndex* index_;                      // may be null
  bool index_loaded_ = false;
  std::vector<IndexedModel> unsaved_;  // read in this scan, or when saving failed
};

}  // namespace corral::models
