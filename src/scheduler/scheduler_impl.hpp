// The scheduler's state, all of it on the control shard. For src/scheduler only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/snapshot.hpp"
#include "scheduler/deployed_model.hpp"
#include "scheduler/model_watch.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::scheduler {

struct Scheduler::Impl {
  using Key = std::pair<std::string, engines::Purpose>;
  Impl(SchedulerParts p, std::shared_ptr<const config::Settings> s);

  net::Task<Result<void>> watch_models();
  void models_changed(models::Snapshot list);
  void preload();
  void reload(std::shared_ptr<const config::Settings> s);
  void sweep();
  void set_routed(std::vector<ModelStatus> models);
  void restart(const std::string& name);
  void tell_models();
  net::Task<void> stop();

  void want(const std::string& name, inference::Operation operation,
            const DeployedModel::Waiter& waiter);
  Result<ModelDetails> details(const std::string& name);
  Result<void> unload(const std::string& name);
  std::vector<InstanceStatus> instances();
  void publish();

  DeployedModel& deployment(const models::ModelEntry& entry, engines::Purpose purpose);
  engines::InstanceSpec spec_for(const models::ModelEntry& entry, engines::Purpose purpose) const;
  std::chrono::milliseconds idle_timeout_of(const std::string& model) const;
  const config::ModelSettings* settings_of(const std::string& model) const;
  std::vector<std::string> aliases_of(const std::string& model) const;
  ModelStatus status_of(const models::ModelEntry& entry) const;
  std::shared_ptr<Catalog> make_catalog() const;

  SchedulerParts parts;
  std::shared_ptr<const config::Settings> settings;
  std::shared_ptr<const Catalog> current;  // what was published last
  net::Snapshot<Catalog> catalog;
  models::Snapshot list;
  std::vector<ModelStatus> routed;  // public names that routes answer
  std::map<Key, std::unique_ptr<DeployedModel>> deployed;
  std::unique_ptr<ModelWatch> watch;
  bool stopping = false;
};

}  // namespace corral::scheduler
