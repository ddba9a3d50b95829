// The models found on disk at one moment: an immutable list, shared by everybody who routes.
//
// Thread rule: immutable once made; share it as `Snapshot`.
// Example:
//   if (const ModelEntry* model = snapshot->find("llama-3.2-1b-q4_k_m:latest")) start(*model);
//   else say_unknown(name, snapshot->nearest_names(name));
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "models/gguf.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace corral::models {

// A name without a tag means the one with this; "llama3" and "llama3:latest" are one model.
inline constexpr std::string_view kLatest = ":latest";

// Tells whether a file is still the one that was read.
struct FileIdentity {
  sys::Path path;
  std::uint64_t size = 0;
  sys::Wall modified;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;

  bool operator==(const FileIdentity&) const = default;
};

// Is `now` still the file that `then` was? The device is not looked at: its number may change when
// the machine restarts. conflict when not, saying what happened.
Result<void> check_unchanged(const FileIdentity& then, const sys::FileInfo& now);

enum class ModelState {
  usable,
  incomplete,  // not readable, but written to a moment ago: look again soon
  unusable,    // `problem` says why
};

struct ModelEntry {
  std::string name;                       // "Llama-3.2-1B-Q4_K_M", "folder/name"
  std::vector<FileIdentity> files;        // the parts in order; an engine is given the first
  std::optional<FileIdentity> projector;  // what lets it see or hear (mmproj)
  std::uint64_t bytes = 0;                // of all files
  sys::Wall modified;                     // of the newest file
  ModelState state = ModelState::unusable;
  std::shared_ptr<const GgufMetadata> metadata;  // set when usable
  std::optional<Error> problem;                  // set when not
  std::int64_t version = 0;                      // in the catalog; 0: of the models folder
  std::string origin;                            // of those in the catalog: where it came from

  bool usable() const { return state == ModelState::usable; }
};

// Other names for models: alias -> model name.
using Aliases = std::map<std::string, std::string>;

class ModelList {
 public:
  ModelList() = default;
  ModelList(std::vector<ModelEntry> entries, Aliases aliases, std::vector<std::string> warnings);

  const std::vector<ModelEntry>& entries() const { return entries_; }  // sorted by name
  const Aliases& aliases() const { return aliases_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

  // By name, then alias, then either without regard to case, then all of that without a trailing
  // ":latest". Null when there is none.
  const ModelEntry* find(std::string_view name) const;

  // Names and aliases that `wanted` may have meant, nearest first.
  std::vector<std::string> nearest_names(std::string_view wanted, std::size_t most = 3) const;

  // Is a file still being written? Then a look in a few seconds will tell more, even if nothing on
  // disk changes any more.
  bool has_incomplete() const;

  // By its very name.
  const ModelEntry* find_exact(std::string_view name) const;

 private:
  const ModelEntry* find_any_case(std::string_view name) const;

  std::vector<ModelEntry> entries_;
  Aliases aliases_;
  std::vector<std::string> warnings_;
};

using Snapshot = std::shared_ptr<const ModelList>;

// What became different from one snapshot to the next, by name.
struct ModelChanges {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> changed;  // other files, another state, another projector

  bool empty() const { return added.empty() && removed.empty() && changed.empty(); }
};
ModelChanges changes_between(const ModelList& before, const ModelList& after);

}  // namespace corral::models
