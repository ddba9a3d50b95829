// Keeps the list of models in the folder current: scans on a pool, watches for changes, and hands
// every new list to its owner. Thread rule: belongs to the control shard.
#pragma once

#include <functional>
#include <memory>

#include "models/model_folder.hpp"
#include "net/shard.hpp"
#include "telemetry/log.hpp"

namespace corral::scheduler {

class ModelWatch {
 public:
  using Changed = std::function<void(models::Snapshot)>;

  ModelWatch(net::Shard& control, net::BlockingPool& pool, telemetry::Logger log,
             std::unique_ptr<models::ModelFolder> folder, std::vector<sys::Path> watched,
             Changed changed);

  // The first scan; then watches until stop(). Where the system cannot watch, it looks every 10 s.
  net::Task<Result<void>> start();
  net::Task<void> stop();
  models::ModelFolder& folder() { return *folder_; }

 private:
  net::Task<Result<void>> scan();
  net::Task<void> watch();
  void report(const models::ModelList& list);

  net::BlockingPool& pool_;
  telemetry::Logger log_;
  std::unique_ptr<models::ModelFolder> folder_;
  std::vector<sys::Path> watched_;
  Changed changed_;
  net::TaskGroup tasks_;
  std::unique_ptr<sys::FolderWatch> watch_;
  models::Snapshot last_;
};

}  // namespace corral::scheduler
