// Fetches all models of a source that are not here, or are here with other bytes, as pulls.
//
// Thread rule: as Pulls. Lifecycle: its parts outlive it.
// Example:
//   CORRAL_CO_TRY(auto report, co_await sync.run({.wish = {"lab", {}}, .author = "cli"}));
#pragma once

#include <string>
#include <vector>

#include "models/catalog.hpp"
#include "models/core/sync_plan.hpp"
#include "models/pulls.hpp"

namespace corral::models {

struct SyncRequest {
  SyncWish wish;
  bool dry_run = false;      // say what would be done
  bool remove_gone = false;  // what came from there and is there no more
  std::string author;
};

struct SyncStep {
  SyncItem item;
  std::string operation;       // the pull that fetches it; empty: none
  std::optional<Error> error;  // why nothing was begun, or removed
  bool removed = false;
};

struct SyncReport {
  std::vector<SyncStep> steps;
  std::vector<Error> refused;  // entries of the source that cannot be used; `param` names them
  std::uint64_t to_fetch = 0;
};

class Sync {
 public:
  Sync(Pulls& pulls, Catalog& catalog, net::BlockingPool& pool)
      : pulls_(pulls), catalog_(catalog), pool_(pool) {}

  // not_found: no such source, or nothing there has a name that was asked for. unsupported: its
  // models cannot be listed.
  net::Task<Result<SyncReport>> run(SyncRequest request);

 private:
  Pulls& pulls_;
  Catalog& catalog_;
  net::BlockingPool& pool_;
};

// All models of the catalog, as `plan_sync` compares them. Blocking.
Result<std::vector<HereModel>> models_here(Catalog& catalog);

}  // namespace corral::models
