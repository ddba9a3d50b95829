// The admin surface's part for where models come from: the sources and whether they answer, what a
// reference stands for, which models would suit this machine, and fetching all of a source.
// Thread rule: as the router's handlers.
#pragma once

#include "api/router.hpp"
#include "models/catalog.hpp"
#include "models/pulls.hpp"
#include "models/sync.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::api::admin {

struct SourceAdminParts {
  models::Pulls& pulls;
  models::Catalog& catalog;
  net::BlockingPool& pool;
  scheduler::Scheduler& scheduler;
};

class SourceAdmin {
 public:
  explicit SourceAdmin(SourceAdminParts parts)
      : parts_(parts), sync_(parts.pulls, parts.catalog, parts.pool) {}
  void add_routes(Router& router);

 private:
  net::Task<void> sources(Call& call);
  net::Task<void> info(Call& call);
  net::Task<void> recommend(Call& call);
  net::Task<void> sync(Call& call);

  SourceAdminParts parts_;
  models::Sync sync_;
};

}  // namespace corral::api::admin
