// Benchmarks of models, with their part of the admin API.
// Thread rule: made on the main thread; start and stop on the control shard. Lifecycle: outlives
// the API, whose routes lead here; stopped before the scheduler.
#pragma once

#include "api/admin/bench_admin.hpp"
#include "app/model_parts.hpp"
#include "models/tuned_settings.hpp"
#include "net/shard.hpp"
#include "scheduler/benches.hpp"

namespace corral::app {

class BenchService {
 public:
  BenchService(net::Shards& shards, net::BlockingPool& pool, scheduler::Scheduler& scheduler,
               ModelParts& models, store::Database& database, const sys::Clock& clock,
               telemetry::Logger log)
      : tuned_(database, clock),
        benches_(
            {scheduler, shards.control(), pool, clock, std::move(log), models.history(), tuned_}),
        admin_(benches_) {}

  void add_routes(api::Router& router, api::admin::Operations& operations) {
    operations.add_source(admin_);
    admin_.add_routes(router);
  }
  // Before the scheduler starts, so that what it loads at once is tuned too.
  net::Task<Result<void>> start() { return benches_.start(); }
  net::Task<void> stop() { return benches_.stop(); }

 private:
  models::TunedStore tuned_;
  scheduler::Benches benches_;
  api::admin::BenchAdmin admin_;
};

}  // namespace corral::app
