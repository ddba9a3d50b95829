#include "models/blob_store.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/bug.hpp"
#include "base/text.hpp"

namespace corral::models {
namespace {

constexpr unsigned kFolderMode = 0755;
constexpr unsigned kBlobMode = 0644;  // engines in containers run as other users
constexpr unsigned kPartialMode = 0600;
constexpr std::uint64_t kLongestRecord = 16u << 20;

// Names are made here, but a record on the disk may have been altered.
Result<void> check_partial_name(std::string_view name) {
  bool plain = !name.empty() && name.size() <= 100 && name[0] != '.' &&
               std::ranges::all_of(name, [](char c) {
                 return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
               });
  if (plain) return {};
  return fail(ErrorCode::invalid_argument, "that is no name of an unfinished file");
}

Result<void> check_digest(const std::string& digest) {
  if (is_digest(digest)) return {};
  return fail(ErrorCode::invalid_argument, "that is no SHA-256 digest")
      .hint("it is \"sha256:\" and 64 hexadecimal digits");
}

}  // namespace

BlobStore::BlobStore(sys::Files& files, sys::LargeFiles& large, sys::Path folder,
                     std::uint64_t keep_free)
    : BlobFolder(files, folder),
      files_(files),
      large_(large),
      folder_(std::move(folder)),
      keep_free_(keep_free),
      holds_(std::make_shared<Holds>()) {}

Result<void> BlobStore::open() {
  sys::Path unfinished = folder_ / "partial";
  CORRAL_CHECK(files_.make_directories(unfinished, kFolderMode));
  // Records that a crash cut short while they were written; what they were to replace is there.
  CORRAL_TRY(auto files, files_.list(unfinished));
  for (const auto& file : files) {
    std::string name = file.path.filename().string();
    if (name.starts_with(".pull-") && name.ends_with(".tmp")) {
      CORRAL_CHECK(files_.remove(file.path));
    }
  }
  return {};
}

bool BlobStore::has(const std::string& digest, std::uint64_t bytes) const {
  if (!is_digest(digest)) return false;
  {
    std::lock_guard lock(holds_->mutex);
    if (holds_->damaged.contains(digest)) return false;
  }
  auto info = files_.stat(path_of(digest));
  return info && !info->is_directory && info->size == bytes;
}

void BlobStore::set_damaged(const std::string& digest, bool damaged) {
  std::lock_guard lock(holds_->mutex);
  if (damaged) {
    holds_->damaged.insert(digest);
  } else {
    holds_->damaged.erase(digest);
  }
}

// --- holds ---------------------------------------------------------------------------------------

BlobStore::Hold::Hold(std::shared_ptr<Holds> holds, std::string digest)
    : holds_(std::move(holds)), digest_(std::move(digest)) {
  std::lock_guard lock(holds_->mutex);
  ++holds_->counts[digest_];
}

BlobStore::Hold::~Hold() {
  std::lock_guard lock(holds_->mutex);
  auto found = holds_->counts.find(digest_);
  if (found == holds_->counts.end()) {
    BUG("a blob was let go twice");
  } else if (--found->second == 0)
    holds_->counts.erase(found);
}

std::shared_ptr<BlobStore::Hold> BlobStore::hold(const std::string& digest) {
  return std::make_shared<Hold>(holds_, digest);
}

bool BlobStore::in_use(const std::string& digest) const {
  std::lock_guard lock(holds_->mutex);
  return holds_->counts.contains(digest);
}

Result<void> BlobStore::remove(const std::string& digest) {
  CORRAL_CHECK(check_digest(digest));
  // Under the lock: nobody may take hold of it between the question and the end of it.
  std::lock_guard lock(holds_->mutex);
  if (holds_->counts.contains(digest)) {
    return fail(ErrorCode::conflict, fmt::format("{} is in use", digest));
  }
  return files_.remove(path_of(digest));
}

// --- unfinished files ----------------------------------------------------------------------------

Result<void> BlobStore::check_space(std::uint64_t bytes) const {
  CORRAL_TRY(auto free, large_.free_bytes(folder_));
  std::uint64_t keep_free = keep_free_;
  std::uint64_t usable = free - std::min(free, keep_free);
  if (bytes <= usable) return {};
  return fail(ErrorCode::io, fmt::format("the disk of '{}' has {} free, of which {} must stay free "
                                         "(downloads.keep_free), and {} are needed",
                                         folder_.string(), format_bytes(free),
                                         format_bytes(keep_free), format_bytes(bytes)))
      .hint("free some space, remove models that are not needed, or move the data folder");
}

std::uint64_t BlobStore::spare() const {
  auto free = large_.free_bytes(folder_);
  const std::uint64_t kept = keep_free_;
  return free ? *free - std::min(*free, kept) : 0;
}

sys::Path BlobStore::partial_path(std::string_view name) const {
  return folder_ / "partial" / std::string(name);
}

Result<std::unique_ptr<sys::LargeFile>> BlobStore::open_partial(std::string_view name) {
  CORRAL_CHECK(check_partial_name(name));
  return large_.open(partial_path(name), kPartialMode);
}

Result<void> BlobStore::reserve(sys::LargeFile& partial, std::uint64_t bytes) const {
  // Space that was set aside before a restart is not needed a second time.
  std::uint64_t there = partial.size();
  CORRAL_CHECK(check_space(bytes - std::min(bytes, there)));
  return partial.reserve(bytes);
}

Result<std::vector<std::string>> BlobStore::partials() const {
  std::vector<std::string> names;
  CORRAL_TRY(auto files, files_.list(folder_ / "partial"));
  names.reserve(files.size());
  for (const auto& file : files) names.push_back(file.path.filename().string());
  return names;
}

Result<void> BlobStore::drop_partial(std::string_view name) {
  CORRAL_CHECK(check_partial_name(name));
  return files_.remove(partial_path(name));
}

Result<void> BlobStore::write_record(std::string_view name, std::string_view content) {
  CORRAL_CHECK(check_partial_name(name));
  return files_.write_atomic(partial_path(name), content, kPartialMode);
}

Result<std::string> BlobStore::read_record(std::string_view name) const {
  CORRAL_CHECK(check_partial_name(name));
  return files_.read(partial_path(name), kLongestRecord);
}

Result<void> BlobStore::adopt(std::string_view partial, const std::string& digest) {
  CORRAL_CHECK(check_digest(digest));
  CORRAL_CHECK(check_partial_name(partial));
  CORRAL_TRY(auto there, files_.stat(partial_path(partial)));  // opening would make an empty one
  (void)there;
  {
    CORRAL_TRY(auto file, open_partial(partial));
    CORRAL_CHECK(file->set_mode(kBlobMode));
    CORRAL_CHECK(file->sync());
  }
  return large_.rename(partial_path(partial), path_of(digest));
}

}  // namespace corral::models
