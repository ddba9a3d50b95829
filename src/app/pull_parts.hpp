// Fetching models: the pulls, their threads, and their part of the admin API.
// Thread rule: made on the main thread; start, reload and stop on the control shard. Lifecycle:
// outlives the API, whose routes lead here.
#pragma once

#include "api/admin/operation_admin.hpp"
#include "api/admin/pull_admin.hpp"
#include "app/model_parts.hpp"
#include "models/pulls.hpp"
#include "net/shard.hpp"

namespace corral::app {

class PullService {
 public:
  PullService(net::Shards& shards, ModelParts& models, sys::Files& files, const sys::Clock& clock,
              telemetry::Logger log);

  void add_routes(api::Router& router, api::admin::Operations& operations);

  net::Task<Result<void>> start(std::shared_ptr<const config::Settings> settings);
  net::Task<void> reload(std::shared_ptr<const config::Settings> settings);
  net::Task<void> stop();

  models::Pulls& pulls() { return pulls_; }

 private:
  telemetry::Logger log_;
  net::BlockingPool pool_;  // hashing takes its time, and others must not wait for it
  models::Pulls pulls_;
  api::admin::PullAdmin pull_admin_;
  std::unique_ptr<api::admin::OperationAdmin> operation_admin_;
};

}  // namespace corral::app
