// The admin surface's part for the catalog: remove, copy, tag, roll back, check models, and what is
// known of their past. Listing and showing models is AdminSurface's, since not all of them are in
// the catalog.
//
// Errors are RFC 9457 problem documents; a change that is refused because of what it says is 422.
// Thread rule: handlers run on serving shards, checks on the control shard. Lifecycle: outlives the
// server that calls it; the operations are stopped before it goes.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "api/admin/operations.hpp"
#include "api/router.hpp"
#include "models/catalog.hpp"
#include "models/file_index.hpp"
#include "models/usage_history.hpp"
#include "net/shard.hpp"
#include "scheduler/scheduler.hpp"
#include "telemetry/log.hpp"

namespace corral::api::admin {

struct ModelAdminParts {
  models::Catalog& catalog;
  models::FileIndex& index;
  models::UsageHistory& history;
  models::BlobFiles& blobs;
  sys::Files& files;
  net::BlockingPool& pool;
  scheduler::Scheduler& scheduler;
  Operations& operations;
  telemetry::Logger log;
};

class ModelAdmin {
 public:
  explicit ModelAdmin(ModelAdminParts parts) : parts_(std::move(parts)) {}

  void add_routes(Router& router);

 private:
  // A file to be read whole. Blobs are named by their digest, other files have none yet.
  struct ToCheck {
    std::string model;
    std::string name;  // for people
    sys::Path path;
    std::string digest;
    std::uint64_t bytes = 0;  // as it is known
  };
  class CheckRun;

  net::Task<void> remove(Call& call);
  net::Task<void> copy(Call& call);
  net::Task<void> tag(Call& call);
  net::Task<void> rollback(Call& call);
  net::Task<void> versions(Call& call);
  net::Task<void> usage(Call& call);
  net::Task<void> verify(Call& call, std::string model);

  net::Task<void> change(Call& call, std::string what,
                         std::function<Result<models::CatalogModel>()> work);
  Error explain(const Error& error, const std::string& name) const;
  // model_check.cpp
  net::Task<Result<std::vector<ToCheck>>> files_of(std::string model);
  net::Task<Result<std::vector<ToCheck>>> all_files_of(std::vector<std::string> models);
  net::Task<Result<void>> check_models(std::vector<std::string> names,
                                       std::shared_ptr<OperationHandle> handle);
  net::Task<Result<std::string>> check_file(ToCheck file, CheckRun& run);
  net::Task<Result<std::string>> hash(sys::Path path, CheckRun& run);

  ModelAdminParts parts_;
};

}  // namespace corral::api::admin
