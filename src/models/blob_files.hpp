// Where the bytes of the catalog's files lie, as the catalog needs to know it. Whoever downloads
// decides; the catalog only asks, and removes what nobody needs any more.
//
// Thread rule: implementations are thread-safe; calls block.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::models {

class BlobFiles {
 public:
  virtual ~BlobFiles() = default;
  virtual sys::Path path_of(std::string_view digest) const = 0;
  virtual Result<void> remove(const std::string& digest) = 0;  // a missing one is no error
  virtual Result<std::vector<std::string>> list() const = 0;   // digests of all whole blobs
  // Is somebody about to use it, a pull for instance? Then it is not removed.
  virtual bool in_use(const std::string& digest) const = 0;
  // What lies there is not what its name says: whoever wants it fetches it again. Or it is again.
  virtual void set_damaged(const std::string& digest, bool damaged) = 0;
};

// "sha256:" and 64 lower-case hexadecimal digits.
bool is_digest(std::string_view text);

// `folder`/sha256-<hex>: the plain form, without pulls.
class BlobFolder : public BlobFiles {
 public:
  BlobFolder(sys::Files& files, sys::Path folder) : files_(files), folder_(std::move(folder)) {}

  sys::Path path_of(std::string_view digest) const override;
  Result<void> remove(const std::string& digest) override;
  Result<std::vector<std::string>> list() const override;
  bool in_use(const std::string&) const override { return false; }
  void set_damaged(const std::string&, bool) override {}

 private:
  sys::Files& files_;
  sys::Path folder_;
};

}  // namespace corral::models
