// The inside of the pulls; for pull*.cpp only.
// Thread rule: on the pulls' shard, but `views`, which has a lock of its own.
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "models/core/throttle.hpp"
#include "models/core/transfer_rate.hpp"
#include "models/download.hpp"
#include "models/pulls.hpp"
#include "models/sources/sources.hpp"

namespace corral::models {

// A coroutine of the shard, awaited on any other.
template <class T>
net::Task<Result<T>> flatten(net::Task<std::optional<Result<T>>> task) {
  auto result = co_await std::move(task);
  if (!result) co_return fail(ErrorCode::unavailable, "the server is shutting down");
  co_return std::move(*result);
}
template <class T>
net::Task<Result<T>> on_shard(net::Shard& shard, net::TaskGroup& tasks,
                              std::function<net::Task<Result<T>>()> work) {
  return flatten(net::run_on(shard, tasks, std::move(work)));
}

// A source that does not answer: where to look for the reason.
Error unreachable_hint(Error error);

// What somebody wants of a running pull.
enum class Wish { none, pause, cancel, end };

struct Pull {
  explicit Pull(net::Shard& shard) : tasks(shard) {}

  PullRecord record;
  std::string stage;
  std::optional<sys::Wall> finished;
  std::optional<Error> error;
  Wish wish = Wish::none;
  bool working = false;                // its coroutine runs
  std::unique_ptr<Download> download;  // of the file `at`
  std::size_t at = 0;
  std::string fetching;             // the digest of that file, from before its download is begun
  std::vector<std::uint64_t> done;  // bytes that are there of each file
  TransferRate rate;
  std::vector<std::shared_ptr<BlobStore::Hold>> holds;
  net::TaskGroup tasks;

  std::string partial(std::size_t file) const { return record.id + "-" + std::to_string(file); }
  std::string record_name() const { return record.id + ".json"; }
};

struct Pulls::Impl {
  explicit Impl(PullParts p) : parts(std::move(p)), throttle(0), tasks(parts.shard) {}

  // pulls.cpp
  net::Task<Result<void>> start(std::shared_ptr<const config::Settings> fresh);
  Result<void> reload(const std::shared_ptr<const config::Settings>& fresh);
  void end();
  bool busy() const;
  net::Task<Result<PullView>> pull(PullRequest request);
  net::Task<Result<PullView>> act(std::string id, PullAction action);
  net::Task<Result<PullView>> act_on(Pull& pull, PullAction action);
  net::Task<Result<std::vector<RemoteInfo>>> search(std::string words, std::size_t most);
  net::Task<Result<RemoteModel>> plan(std::string reference);
  net::Task<Result<RemoteListing>> listing(std::string source);
  net::Task<Result<RemoteInfo>> info(std::string reference);
  net::Task<Result<FoundModels>> search_in(std::string words, std::vector<std::string> names,
                                           std::size_t most);
  net::Task<Result<std::vector<SourceView>>> view_sources(Pulls::Ask ask);
  net::Task<void> tick();
  struct Left;
  static Result<Left> read_left(BlobStore& blobs);
  void take_up(Left left);
  void schedule();
  void publish();
  Pull* find(const std::string& id);
  Pull* unfinished(const PullRequest& request);
  void forget_old();
  PullView view_of(Pull& pull) const;

  // pull_run.cpp
  net::Task<void> run(Pull& pull);
  net::Task<Result<void>> perform(Pull& pull);
  net::Task<Result<void>> fetch_files(Pull& pull, Sources& from, Source& source);
  net::Task<Result<void>> fetch_file(Pull& pull, Sources& from, Source& source, RemoteFile& file);
  net::Task<Result<void>> download(Pull& pull, Sources& from, Source& source, RemoteFile& file);
  bool others_fetch(const Pull& pull, const std::string& digest) const;
  net::Task<Result<void>> wait_for_others(Pull& pull, std::string digest);
  net::Task<Result<void>> take_in(Pull& pull, std::size_t index);
  net::Task<Result<void>> check_model(Pull& pull);
  net::Task<Result<void>> hand_over(Pull& pull);
  net::Task<Result<void>> save(const Pull& pull);
  net::Task<void> clear(const Pull& pull);
  Result<void> still_wanted(const Pull& pull) const;

  PullParts parts;
  std::shared_ptr<const config::Settings> settings;
  std::shared_ptr<Sources> sources;
  Throttle throttle;
  std::deque<std::unique_ptr<Pull>> pulls;  // oldest first
  bool ending = false;
  net::TaskGroup tasks;

  mutable std::mutex mutex;
  std::vector<PullView> views;            // newest first
  std::vector<std::string> folder_names;  // of the sources
};

}  // namespace corral::models
