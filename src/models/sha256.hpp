// SHA-256 (FIPS 180-4) of what comes in pieces, and of files. OpenSSL's, since it uses the
// processor's own instructions: 1 to 2 GB/s where others do 0.3.
//
// Thread rule: one thread at a time each.
// Example:
//   Sha256 hash;
//   hash.update(piece);
//   if (hash.digest() != wanted) ...
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::models {

class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept = default;
  Sha256& operator=(Sha256&&) noexcept = default;
  ~Sha256();

  void update(std::string_view bytes);
  // "sha256:" and 64 lower-case hexadecimal digits of all so far. Ends it: begin another.
  std::string digest();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

// Reads a file piece by piece, so that whoever calls can say how far it is, and stop.
class FileHash {
 public:
  static Result<FileHash> open(sys::Files& files, const sys::Path& path);

  // Takes up to `bytes` more. True when the file has ended. io: it became shorter meanwhile, or
  // cannot be read.
  Result<bool> step(std::uint64_t bytes);
  std::uint64_t done() const { return at_; }
  std::uint64_t size() const { return size_; }
  std::string digest() { return hash_.digest(); }

 private:
  FileHash(std::unique_ptr<sys::ReadableFile> file, sys::Path path);

  std::unique_ptr<sys::ReadableFile> file_;
  sys::Path path_;
  std::uint64_t size_ = 0;
  std::uint64_t at_ = 0;
  std::string buffer_;
  Sha256 hash_;
};

// The digest of a whole file.
Result<std::string> hash_file(sys::Files& files, const sys::Path& path);

}  // namespace corral::models
