// Files behind an interface, so that tests can make the Nth call fail.
// Thread rule: calls block; call from a pool or at start. The real implementation is thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "sys/clock.hpp"
#include "sys/fd.hpp"

namespace corral::sys {

using Path = std::filesystem::path;

struct FileInfo {
  Path path;
  std::uint64_t size = 0;  // bytes
  Wall modified;
  bool is_directory = false;
  std::uint64_t inode = 0;  // with `device`, tells whether two names are one file
  std::uint64_t device = 0;
};

// Random access to one open file. Reads past the end return fewer bytes.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual std::uint64_t size() const = 0;
  virtual Result<std::size_t> read_at(std::uint64_t offset, char* out,
                                      std::size_t length) const = 0;
};

class Files {
 public:
  virtual ~Files() = default;
  virtual Result<FileInfo> stat(const Path& path) = 0;  // follows links
  virtual Result<std::vector<FileInfo>> list(
      const Path& directory) = 0;  // one level, sorted by name
  virtual Result<std::unique_ptr<ReadableFile>> open(const Path& path) = 0;
  virtual Result<std::string> read(const Path& path, std::uint64_t limit) = 0;  // too_large past it
  // Written beside the target, synced, renamed over it: a reader sees the old or the new content.
  virtual Result<void> write_atomic(const Path& path, std::string_view content, unsigned mode) = 0;
  virtual Result<void> make_directories(const Path& path, unsigned mode) = 0;
  virtual Result<void> remove(const Path& path) = 0;  // a missing file is no error
};

std::unique_ptr<Files> real_files();

// Folders whose changes can be awaited: inotify on Linux. `fd()` becomes readable when something
// below one of the watched folders changed; `drain()` empties it and says whether anything did.
// Sub-folders are watched too, also those made later and those behind links; past `max_folders` (or
// the system's own limit) the rest is not watched and `take_warning()` says so once. A watched
// folder that is itself removed or renamed and made anew is no longer watched: create a new watch.
// Thread rule: one owner.
class FolderWatch {
 public:
  static Result<std::unique_ptr<FolderWatch>> create(std::vector<Path> folders,
                                                     std::size_t max_folders = 4096);
  virtual ~FolderWatch() = default;
  virtual int fd() const = 0;
  virtual bool drain() = 0;
  // What could not be watched, for a person; told once, then empty.
  virtual std::string take_warning() { return {}; }
};

// Where a user's cache, data and configuration belong (XDG base directories; HOME missing is an
// error). The project's own sub-folder `corral` is included.
struct UserFolders {
  Path cache;
  Path data;
  Path config;
};
Result<UserFolders> user_folders();

}  // namespace corral::sys
