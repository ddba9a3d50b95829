// `verify`: reads files of models whole and compares them with what is known of them.
#include <fmt/core.h>

#include <set>

#include "api/admin/model_admin.hpp"
#include "base/text.hpp"
#include "models/core/transfer_rate.hpp"
#include "models/sha256.hpp"

namespace corral::api::admin {
namespace {

constexpr std::uint64_t kHashedAtOnce = 64u << 20;  // bytes; a pool thread is held so long

}  // namespace

// How far one run is; says so to whoever looks.
class ModelAdmin::CheckRun {
 public:
  CheckRun(OperationHandle& handle, const std::vector<ToCheck>& files) : handle_(handle) {
    for (const auto& file : files) all_ += file.bytes;
    advance(0);
  }
  bool cancel_wanted() const { return handle_.cancel_wanted(); }
  // So many bytes of the file at hand are read.
  void advance(std::uint64_t bytes) {
    OperationProgress progress;
    progress.stage = "checking";
    progress.done = std::min(before_ + bytes, all_);
    progress.bytes = all_;
    rate_.observe(progress.done, std::chrono::steady_clock::now());
    progress.rate = rate_.bytes_per_second();
    progress.remaining = rate_.remaining(all_ - progress.done);
    handle_.report(std::move(progress));
  }
  // Whatever its size really was.
  void end_file(const ToCheck& file) {
    advance(file.bytes);
    before_ += file.bytes;
  }

 private:
  OperationHandle& handle_;
  std::uint64_t all_ = 0;
  std::uint64_t before_ = 0;  // of the files that are done
  models::TransferRate rate_;
};

net::Task<Result<std::vector<ModelAdmin::ToCheck>>> ModelAdmin::files_of(std::string model) {
  auto details = co_await parts_.scheduler.details(model);
  if (!details) co_return std::unexpected(std::move(details).error());
  std::vector<ToCheck> files;
  if (details->status.version == 0) {
    files.reserve(details->files.size());
    for (const auto& file : details->files) {
      sys::Path path(file.path);
      files.push_back({model, path.filename().string(), path, {}, file.size_bytes});
    }
    co_return files;
  }
  std::function<Result<models::CatalogModel>()> work = [this, model] {
    return parts_.catalog.show(model);
  };
  auto found =
      co_await net::run_blocking<Result<models::CatalogModel>>(parts_.pool, std::move(work));
  if (!found) co_return std::unexpected(std::move(found).error());
  files.reserve(found->files.size());
  for (const auto& stored : found->files) {
    files.push_back({model, stored.file.name, parts_.blobs.path_of(stored.file.digest),
                     stored.file.digest, stored.file.bytes});
  }
  co_return files;
}

// Each file once, though several models may share it.
net::Task<Result<std::vector<ModelAdmin::ToCheck>>> ModelAdmin::all_files_of(
    std::vector<std::string> models) {
  std::set<sys::Path> seen;
  std::vector<ToCheck> all;
  for (const std::string& model : models) {
    auto files = co_await files_of(model);
    if (!files) {
      // One that was removed meanwhile is no problem when all are looked at.
      if (models.size() == 1) co_return std::unexpected(std::move(files).error());
      continue;
    }
    for (ToCheck& file : *files) {
      if (seen.insert(file.path).second) all.push_back(std::move(file));
    }
  }
  co_return all;
}

// One damaged file does not keep the others from being looked at.
net::Task<Result<void>> ModelAdmin::check_models(std::vector<std::string> names,
                                                 std::shared_ptr<OperationHandle> handle) {
  auto files = co_await all_files_of(std::move(names));
  if (!files) co_return std::unexpected(std::move(files).error());
  CheckRun run(*handle, *files);
  std::vector<std::string> problems;
  for (const ToCheck& file : *files) {
    auto found = co_await check_file(file, run);
    if (!found) co_return std::unexpected(std::move(found).error());
    run.end_file(file);
    if (found->empty()) continue;
    problems.push_back(fmt::format("{}: {}", file.model, *found));
    parts_.scheduler.refresh_models();
  }
  parts_.scheduler.refresh_models();
  if (problems.empty()) co_return Result<void>();
  constexpr std::size_t kNamed = 5;
  std::size_t all = problems.size();
  if (problems.size() > kNamed) problems.resize(kNamed);
  co_return fail(ErrorCode::conflict, fmt::format("{} of {} files are damaged: {}", all,
                                                  files->size(), join(problems, "; ")))
      .hint(
          "models with such a file are not started; pull them again, or put a good copy of the "
          "file in place");
}

// What is wrong with the file, kept in the database too; empty: nothing.
net::Task<Result<std::string>> ModelAdmin::check_file(ToCheck file, CheckRun& run) {
  std::function<Result<sys::FileInfo>()> look = [this, path = file.path] {
    return parts_.files.stat(path);
  };
  auto before = co_await net::run_blocking<Result<sys::FileInfo>>(parts_.pool, look);
  std::string digest;
  std::string problem;
  if (before) {
    auto hashed = co_await hash(file.path, run);
    if (!hashed && hashed.error().code == ErrorCode::cancelled) {
      co_return std::unexpected(std::move(hashed).error());
    }
    if (hashed) {
      digest = std::move(*hashed);
    } else {
      problem = fmt::format("{} cannot be read: {}", file.name, hashed.error().message);
    }
  } else {
    problem = fmt::format("{} is missing", file.name);
  }
  if (problem.empty() && !file.digest.empty() && digest != file.digest) {
    problem = fmt::format("{} holds other bytes than it should", file.name);
  }
  std::function<Result<std::string>()> keep = [this, file, before, digest,
                                               problem]() -> Result<std::string> {
    if (!file.digest.empty()) {
      models::BlobCheck check{
          .digest = file.digest,
          .blob = before ? models::blob_identity(*before) : models::BlobIdentity{},
          .problem = problem};
      CORRAL_CHECK(parts_.catalog.record_check(check));
      return problem;
    }
    if (!problem.empty()) return problem;
    models::FileIdentity identity{file.path, before->size, before->modified, before->inode,
                                  before->device};
    CORRAL_TRY(auto check, parts_.index.record(identity, digest));
    return check.problem;
  };
  co_return co_await net::run_blocking<Result<std::string>>(parts_.pool, std::move(keep));
}

// Piece by piece, so that other work gets its turn on the pool and a shutdown does not wait.
net::Task<Result<std::string>> ModelAdmin::hash(sys::Path path, CheckRun& run) {
  using Hash = std::shared_ptr<models::FileHash>;
  std::function<Result<Hash>()> open = [this, path]() -> Result<Hash> {
    CORRAL_TRY(auto made, models::FileHash::open(parts_.files, path));
    return std::make_shared<models::FileHash>(std::move(made));
  };
  auto hash = co_await net::run_blocking<Result<Hash>>(parts_.pool, std::move(open));
  if (!hash) co_return std::unexpected(std::move(hash).error());
  for (;;) {
    auto awake = co_await net::sleep_for(std::chrono::milliseconds(0));
    if (!awake || run.cancel_wanted()) {
      co_return fail(ErrorCode::cancelled, "the check was stopped");
    }
    std::function<Result<bool>()> step = [hash = *hash] { return hash->step(kHashedAtOnce); };
    auto ended = co_await net::run_blocking<Result<bool>>(parts_.pool, std::move(step));
    if (!ended) co_return std::unexpected(std::move(ended).error());
    run.advance((*hash)->done());
    if (*ended) break;
  }
  co_return (*hash)->digest();
}

}  // namespace corral::api::admin
