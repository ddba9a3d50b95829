// What this server gives out to other Corrals, in the form of an HTTP folder with an index:
//   GET /share/v1/index.json                  its models
//   GET /share/v1/blobs/sha256-<hex>/<name>   a file, whole or by range
// Off unless models.share is set: then both are 404, and say so. The API key is asked for as
// everywhere. A blob's ETag is its digest, so a range is never of other bytes than the last one.
//
// Thread rule: handlers run on serving shards; `set_enabled` from any thread. Lifecycle: outlives
// the server that calls it.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "api/router.hpp"
#include "models/blob_store.hpp"
#include "models/catalog.hpp"
#include "models/file_index.hpp"
#include "net/shard.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::api::share {

struct ShareParts {
  models::Catalog& catalog;
  models::FileIndex& index;
  models::BlobStore& blobs;
  scheduler::Scheduler& scheduler;
  net::BlockingPool& pool;
  const sys::Clock& clock;
};

class ShareSurface {
 public:
  explicit ShareSurface(ShareParts parts) : parts_(parts) {}

  void add_routes(Router& router);
  void set_enabled(bool enabled) { enabled_ = enabled; }

 private:
  // What is given out at one moment.
  struct Offer {
    std::string index;
    std::string etag;
    std::map<std::string, std::string> folder_files;  // digest to path
    sys::Steady made;
  };
  using OfferPtr = std::shared_ptr<const Offer>;

  net::Task<void> serve_index(Call& call);
  net::Task<void> serve_blob(Call& call);
  net::Task<Result<OfferPtr>> offer();
  Result<OfferPtr> make_offer(const models::Snapshot& list) const;
  net::Task<Result<std::string>> path_of(std::string digest);

  ShareParts parts_;
  std::atomic<bool> enabled_{false};
  std::mutex mutex_;
  OfferPtr kept_;
};

}  // namespace corral::api::share
