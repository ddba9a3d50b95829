// The blobs of the data folder, and the unfinished files on their way to be some.
//
// A blob is `<folder>/sha256-<hex>` and appears whole or not at all: its bytes are written to
// `<folder>/partial/<name>`, synced, and renamed. Who is about to use a blob holds it meanwhile, so
// that it is not collected before the catalog knows it.
//
// Thread rule: thread-safe; calls block (but `hold` and `path_of`). Lifecycle: `open` once; holds
// may outlive the store.
// Example:
//   CORRAL_TRY(auto partial, blobs.begin("pull-1-0", size));
//   ... partial->write_at(...) ...
//   CORRAL_CHECK(blobs.adopt("pull-1-0", digest));
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "models/blob_files.hpp"
#include "sys/files.hpp"
#include "sys/large_files.hpp"

namespace corral::models {

class BlobStore final : public BlobFolder {
 public:
  // `keep_free` bytes of the disk are never reserved.
  BlobStore(sys::Files& files, sys::LargeFiles& large, sys::Path folder, std::uint64_t keep_free);

  // Makes the folders.
  Result<void> open();

  // Is the whole blob there, with this size, and not known to be damaged?
  bool has(const std::string& digest, std::uint64_t bytes) const;
  bool in_use(const std::string& digest) const override;
  void set_damaged(const std::string& digest, bool damaged) override;
  Result<void> remove(const std::string& digest) override;  // conflict while somebody holds it

  // While it lives, the blob is not removed.
  class Hold;
  std::shared_ptr<Hold> hold(const std::string& digest);

  // io with a hint, naming both numbers, when the disk has not `bytes` and what must stay free.
  Result<void> check_space(std::uint64_t bytes) const;
  void set_keep_free(std::uint64_t bytes) { keep_free_ = bytes; }
  // Bytes that may still be written; 0 also when nobody can say.
  std::uint64_t spare() const;

  // Unfinished files, by a plain name ("pull-1f2e-0").
  sys::Path partial_path(std::string_view name) const;
  Result<std::unique_ptr<sys::LargeFile>> open_partial(std::string_view name);
  // Makes it `bytes` long, with all of its space set aside.
  Result<void> reserve(sys::LargeFile& partial, std::uint64_t bytes) const;
  Result<std::vector<std::string>> partials() const;
  // Whatever stands under that name.
  Result<void> drop_partial(std::string_view name);
  // A small record beside the unfinished files, written whole or not at all.
  Result<void> write_record(std::string_view name, std::string_view content);
  Result<std::string> read_record(std::string_view name) const;

  // The whole partial, synced, becomes the blob. What it holds was checked before.
  Result<void> adopt(std::string_view partial, const std::string& digest);

 private:
  struct Holds {
    std::mutex mutex;
    std::map<std::string, unsigned> counts;
    std::set<std::string> damaged;
  };

  sys::Files& files_;
  sys::LargeFiles& large_;
  sys::Path folder_;
  std::atomic<std::uint64_t> keep_free_;
  std::shared_ptr<Holds> holds_;
};

class BlobStore::Hold {
 public:
  Hold(std::shared_ptr<Holds> holds, std::string digest);
  ~Hold();
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  std::shared_ptr<Holds> holds_;
  std::string digest_;
};

}  // namespace corral::models
