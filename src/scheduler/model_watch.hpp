// Keeps the list of models current: scans the models folder on a pool, watches it for changes, puts
// the catalog's models beside those found, and hands every new list to its owner.
// Thread rule: belongs to the control shard.
#pragma once

#include <functional>
#include <memory>

#include "models/model_folder.hpp"
#include "models/served_models.hpp"
#include "net/shard.hpp"
#include "telemetry/log.hpp"

namespace corral::scheduler {

class ModelWatch {
 public:
  using Changed = std::function<void(models::Snapshot)>;

  // `served` may be null: then the folder's models are all there are.
  ModelWatch(net::Shard& control, net::BlockingPool& pool, telemetry::Logger log,
             std::unique_ptr<models::ModelFolder> folder, std::vector<sys::Path> watched,
             models::ServedModels* served, Changed changed);

  // The first scan; then watches until stop(). Where the system cannot watch, it looks every 10 s.
  net::Task<Result<void>> start();
  net::Task<void> stop();
  // The catalog is different now: the list is made again, without a look at the folder.
  void refresh();

 private:
  struct Looked {
    models::Snapshot folder;  // as it was found
    models::Snapshot all;
  };
  enum class Look { folder, catalog };

  void want(Look look);
  net::Task<void> work();
  net::Task<Result<void>> look(Look look);
  net::Task<void> watch();
  net::Task<void> look_again();
  void report(const models::ModelList& list);

  net::BlockingPool& pool_;
  telemetry::Logger log_;
  std::unique_ptr<models::ModelFolder> folder_;
  std::vector<sys::Path> watched_;
  models::ServedModels* served_;
  Changed changed_;
  net::TaskGroup tasks_;
  std::unique_ptr<sys::FolderWatch> watch_;
  models::Snapshot found_;  // in the folder
  models::Snapshot last_;   // with the catalog's
  bool working_ = false;    // one look at a time; what comes meanwhile is remembered
  bool folder_wanted_ = false;
  bool catalog_wanted_ = false;
  bool looking_again_ = false;
};

}  // namespace corral::scheduler
