// Where models come from and go to besides pulls: sharing with other servers, syncing from them,
// recommendations; and what is done ahead of requests: loading and fetching what is used most.
// Thread rule: made on the main thread; start, reload and stop on the control shard. Lifecycle:
// outlives the API, whose routes lead here; stopped before the pulls and the scheduler.
#pragma once

#include <atomic>

#include "api/admin/source_admin.hpp"
#include "api/share/share_surface.hpp"
#include "app/model_parts.hpp"
#include "models/folder_digests.hpp"
#include "models/prefetcher.hpp"
#include "models/pulls.hpp"
#include "net/shard.hpp"
#include "scheduler/core/warmup.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::app {

class SourceService {
 public:
  struct Parts {
    net::Shards& shards;
    ModelParts& models;
    models::Pulls& pulls;
    scheduler::Scheduler& scheduler;
    sys::Files& files;
    const sys::Clock& clock;
    telemetry::Logger log;
  };
  explicit SourceService(Parts parts);

  void add_routes(api::Router& router);
  void start(std::shared_ptr<const config::Settings> settings);
  void reload(std::shared_ptr<const config::Settings> settings);
  net::Task<void> stop();

 private:
  net::Task<void> keep_warm();
  net::Task<void> keep_fresh();
  net::Task<void> keep_digests();
  net::Task<void> read_use();
  scheduler::WarmupView view_of(const scheduler::Outlook& outlook) const;
  net::Task<void> warm_next();

  Parts parts_;
  net::BlockingPool pool_;  // files are read and hashed on it
  api::share::ShareSurface share_;
  api::admin::SourceAdmin admin_;
  models::Prefetcher prefetcher_;
  models::FolderDigests digests_;
  models::Snapshot looked_at_;  // by digests_
  scheduler::Warmup warmup_;
  std::uint64_t served_ = 0;  // requests, at the last look for newer versions
  bool kept_ = false;         // some models are kept in memory
  std::vector<models::UsageTotal> used_;
  std::optional<sys::Steady> used_at_;
  std::shared_ptr<const config::Settings> settings_;
  net::TaskGroup tasks_;
};

}  // namespace corral::app
