// Large files that are filled in pieces: space reserved first, bytes written anywhere, synced, and
// moved into place when whole. Behind an interface, so that tests can make calls fail.
//
// Thread rule: calls block; call from a pool. The real implementation is thread-safe, and one open
// file may be written, read and synced by several threads at once.
// Example:
//   CORRAL_TRY(auto file, large.open(partial, 0600));
//   CORRAL_CHECK(file->reserve(size));
//   CORRAL_CHECK(file->write_at(offset, bytes));
//   CORRAL_CHECK(file->sync());
//   CORRAL_CHECK(large.rename(partial, whole));
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::sys {

class LargeFile : public ReadableFile {
 public:
  // Exactly `bytes` long afterwards, with their space set aside where the file system can do that.
  // io with a hint when the disk has not as much; the file is then as it was, or shorter.
  virtual Result<void> reserve(std::uint64_t bytes) = 0;
  virtual Result<void> write_at(std::uint64_t offset, std::string_view bytes) = 0;
  virtual Result<void> sync() = 0;  // the content, on the disk
  virtual Result<void> set_mode(unsigned mode) = 0;
};

class LargeFiles {
 public:
  virtual ~LargeFiles() = default;
  // For reading and writing; made if it is missing, never through a link.
  virtual Result<std::unique_ptr<LargeFile>> open(const Path& path, unsigned mode) = 0;
  // Replaces what is there; both lie on one file system. The folder is synced.
  virtual Result<void> rename(const Path& from, const Path& to) = 0;
  // What others than root may still write to the file system of `folder`, in bytes.
  virtual Result<std::uint64_t> free_bytes(const Path& folder) = 0;
};

std::unique_ptr<LargeFiles> real_large_files();

}  // namespace corral::sys
