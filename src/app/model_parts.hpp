// What is known of models besides running them: blobs, catalog, index of the models folder, usage.
// Thread rule: made on the main thread; its parts are thread-safe. Lifecycle: made before the pool
// that works on it and the scheduler that asks it, destroyed after them.
#pragma once

#include <atomic>
#include <memory>

#include "api/api.hpp"
#include "config/settings.hpp"
#include "models/blob_store.hpp"
#include "models/catalog.hpp"
#include "models/file_index.hpp"
#include "models/machines.hpp"
#include "models/served_models.hpp"
#include "models/usage_history.hpp"
#include "net/shard.hpp"
#include "store/database.hpp"
#include "sys/large_files.hpp"
#include "telemetry/log.hpp"

namespace corral::app {

class ModelParts {
 public:
  ModelParts(const config::Settings& settings, store::Database& database,
             const std::string& machine, sys::Files& files, const sys::Clock& clock,
             telemetry::Logger log);

  // Makes the folders of the blobs, and notes that this machine is here.
  Result<void> open();
  void reload(const config::Settings& settings);

  // Notes usage every few seconds, and collects what nobody needs any more. Control shard, before
  // it runs.
  void keep(net::Shards& shards, net::BlockingPool& pool, api::Api& api);
  // What was counted since; before the shards stop.
  net::Task<void> note_last_usage(net::Shards& shards, net::BlockingPool& pool, api::Api& api);

  models::BlobStore& blobs() { return blobs_; }
  models::Catalog& catalog() { return catalog_; }
  models::FileIndex& index() { return index_; }
  models::ServedModels& served() { return served_; }
  models::UsageHistory& history() { return history_; }

 private:
  void note(const std::vector<models::ModelUse>& uses);
  void collect();
  void collect_machines();

  telemetry::Logger log_;
  std::unique_ptr<sys::LargeFiles> large_files_;
  models::BlobStore blobs_;
  models::Catalog catalog_;
  models::FileIndex index_;
  models::ServedModels served_;
  models::UsageHistory history_;
  models::Machines machines_;
  std::atomic<std::chrono::milliseconds> forget_machines_;
};

}  // namespace corral::app
