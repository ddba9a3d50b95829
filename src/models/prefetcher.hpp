// Performs what `core/prefetch` decides: asks the sources, and begins pulls with the author
// "prefetch", which it pauses while there is other work. When each model was asked for last, and
// which pulls gave way, is kept beside the unfinished pulls, so that a restart does not ask again
// and goes on with those.
//
// Thread rule: `look` on any one shard, one at a time; the rest is its own. Lifecycle: its parts
// outlive it.
// Example:
//   if (settings.downloads.prefetch) co_await prefetcher.look({busy, downloads.prefetch_after});
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
  static constexpr std::chrono::minutes kRest{10};  // after a look at which nothing was due

  explicit Prefetcher(PrefetcherParts parts) : parts_(std::move(parts)) {}

  struct Moment {
    bool busy = false;                // requests run, or did since the last look; models load
    std::chrono::milliseconds quiet;  // without work before anything is begun
  };
  net::Task<void> look(Moment moment);

 private:
  net::Task<Result<std::vector<PrefetchModel>>> used_models();
  PrefetchView view_of(const Moment& moment) const;
  net::Task<void> give_way(PrefetchTurn turn);
  net::Task<void> ask_next();
  net::Task<void> ask(PrefetchDue due);
  net::Task<void> remember();
  net::Task<void> recall();

  PrefetcherParts parts_;
  Prefetch prefetch_;
  bool recalled_ = false;
  sys::Wall rests_until_{};  // nothing was due
};

}  // namespace corral::models
