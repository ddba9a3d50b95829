// The index of the models folder in the database, and what checks of its files found. Each machine
// has its own, since several may share the database.
//
// Such files have no checksum of their own: the first check keeps the one that it finds, and later
// ones hold the file against it as long as it is the same file by size, time and inode.
//
// Thread rule: thread-safe; calls block.
// Lifecycle: the database and the clock outlive it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "models/model_index.hpp"
#include "store/database.hpp"
#include "sys/clock.hpp"

namespace corral::models {

struct FileCheck {
  std::string digest;   // as it was first found
  std::string problem;  // empty: none
  sys::Wall checked;
};

class FileIndex final : public ModelIndex {
 public:
  // `machine`: see machine_id.hpp
  FileIndex(store::Database& database, const sys::Clock& clock, std::string machine)
      : database_(database), clock_(clock), machine_(std::move(machine)) {}

  Result<std::vector<IndexedModel>> load() override;
  Result<void> save(const std::vector<IndexedModel>& read,
                    const std::vector<sys::Path>& gone) override;

  // Takes the digest of a file's bytes as they are now. The problem in the answer says that they
  // are not what they were; it stays until the file is replaced or sound again.
  Result<FileCheck> record(const FileIdentity& file, const std::string& digest);
  // Files that a check found damaged, and that are still the same files: path to what is wrong.
  Result<std::map<std::string, std::string>> problems();
  // Digests of files as their checks found them, of those that are sound: path to digest. The file
  // may be another one by now: compare what is there with `load`'s identity.
  Result<std::map<std::string, std::string>> digests();

 private:
  Result<std::map<std::string, std::string>> texts_by_path(std::string_view statement);

  store::Database& database_;
  const sys::Clock& clock_;
  std::string machine_;
};

// The statements that read many rows, so that tests can look at the plans of these very texts.
inline constexpr std::string_view kListIndexedFiles =
    "select path, model, size, modified_ns, inode, device, metadata from indexed_files "
    "where machine = $1 and path > $2 order by path limit $3";
inline constexpr std::string_view kKnownDigests =
    "select path, digest from indexed_files "
    "where machine = $1 and digest is not null and problem is null and path > $2 "
    "order by path limit $3";
inline constexpr std::string_view kDamagedFiles =
    "select path, problem from indexed_files where machine = $1 and problem is not null and "
    "path > $2 order by path limit $3";

}  // namespace corral::models
