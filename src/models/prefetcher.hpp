// Performs what `core/prefetch` decides: asks the sources, and begins pulls with the author
// "prefetch". When each model was asked for last is kept beside the unfinished pulls, so that a
// restart does not ask again.
//
// Thread rule: `look` on any one shard, one at a time; the rest is its own. Lifecycle: its parts
// outlive it.
// Example:
//   if (settings.downloads.prefetch) co_await prefetcher.look(busy);
#pragma once

#include <string>

#include "config/settings.hpp"
#include "models/blob_store.hpp"
#include "models/catalog.hpp"
#include "models/core/prefetch.hpp"
#include "models/pulls.hpp"
#include "models/usage_history.hpp"

namespace corral::models {

struct PrefetcherParts {
  Pulls& pulls;
  Catalog& catalog;
  UsageHistory& history;
  BlobStore& blobs;
  net::BlockingPool& pool;
  const sys::Clock& clock;
  telemetry::Logger log;
};

class Prefetcher {
 public:
  static constexpr const char* kAuthor = "prefetch";
  static constexpr std::chrono::minutes kRest{10};  // after a look at which nothing was due

  explicit Prefetcher(PrefetcherParts parts) : parts_(std::move(parts)) {}

  // One look; `busy`: requests run or models load.
  net::Task<void> look(bool busy);

 private:
  net::Task<Result<std::vector<PrefetchModel>>> used_models();
  net::Task<void> ask(PrefetchDue due);
  net::Task<void> remember();
  net::Task<void> recall();

  PrefetcherParts parts_;
  Prefetch prefetch_;
  bool recalled_ = false;
  sys::Wall rests_until_{};  // nothing was due
};

}  // namespace corral::models
