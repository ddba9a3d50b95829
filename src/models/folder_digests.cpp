#include "models/folder_digests.hpp"

#include <algorithm>

#include "models/sha256.hpp"

namespace corral::models {
namespace {

constexpr std::uint64_t kAtOnce = 64u << 20;  // bytes; a thread of the pool is held so long

}  // namespace

net::Task<void> FolderDigests::look(Snapshot models) {
  using Known = std::map<std::string, std::string>;
  std::function<Result<Known>()> work = [this] { return index_.digests(); };
  auto known = co_await net::run_blocking(pool_, std::move(work));
  if (!known || !models) co_return;
  std::vector<FileIdentity> missing;
  auto add = [&](const FileIdentity& file) {
    if (known->contains(file.path.string())) return;
    if (std::ranges::find(failed_, file) == failed_.end()) missing.push_back(file);
  };
  for (const auto& entry : models->entries()) {
    if (!entry.usable() || entry.version != 0) continue;
    for (const auto& file : entry.files) add(file);
  }
  for (const auto& file : missing) {
    auto taken = co_await take(file);
    if (taken) continue;
    if (taken.error().code == ErrorCode::cancelled) co_return;
    log_.warn("a file of the models folder cannot be shared",
              {{"file", file.path.string()}, {"error", taken.error().describe()}});
    failed_.push_back(file);
  }
}

net::Task<Result<void>> FolderDigests::take(FileIdentity file) {
  using Hash = std::shared_ptr<FileHash>;
  std::function<Result<Hash>()> open = [this, path = file.path]() -> Result<Hash> {
    CORRAL_TRY(auto made, FileHash::open(files_, path));
    return std::make_shared<FileHash>(std::move(made));
  };
  CORRAL_CO_TRY(auto hash, co_await net::run_blocking(pool_, std::move(open)));
  for (bool ended = false; !ended;) {
    if (!co_await net::sleep_for(std::chrono::milliseconds(0))) {
      co_return fail(ErrorCode::cancelled, "the server is shutting down");
    }
    std::function<Result<bool>()> step = [hash] { return hash->step(kAtOnce); };
    CORRAL_CO_TRY(ended, co_await net::run_blocking(pool_, std::move(step)));
  }
  std::function<Result<void>()> keep = [this, file, digest = hash->digest()]() -> Result<void> {
    CORRAL_TRY(auto now, files_.stat(file.path));
    CORRAL_CHECK(check_unchanged(file, now));
    CORRAL_TRY(auto check, index_.record(file, digest));
    if (check.problem.empty()) return {};
    return fail(ErrorCode::conflict, check.problem);
  };
  CORRAL_CO_CHECK(co_await net::run_blocking(pool_, std::move(keep)));
  log_.info("a file of the models folder can be shared now", {{"file", file.path.string()}});
  co_return Result<void>();
}

}  // namespace corral::models
