// Owns the models that can be served here: finds them in the model folder, starts an engine for the
// first request, stops it when idle, restarts it after a crash.
//
// Each (model, purpose) is one deployment with one instance, or several (scheduler_replicas.cpp).
// Embeddings run in an instance of their own, since the engine pools differently; the weights are
// shared by mmap.
// Thread rule: `ready`, `ensure`, `catalog` and the admin calls may be used on any shard; all state
// that decides lives on the control shard. Lifecycle: construct, start() on control, stop().
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/settings.hpp"
#include "gateway/endpoint_source.hpp"
#include "gateway/route_table.hpp"
#include "models/bench_report.hpp"
#include "models/core/plan.hpp"
#include "models/served_models.hpp"
#include "models/tuned_settings.hpp"
#include "net/shard.hpp"
#include "scheduler/bench_engine.hpp"
#include "scheduler/catalog.hpp"
#include "scheduler/demand.hpp"
#include "scheduler/outlook.hpp"
#include "scheduler/scaling_status.hpp"
#include "sys/clock.hpp"
#include "sys/devices.hpp"
#include "sys/files.hpp"
#include "sys/process.hpp"
#include "sys/resource_limits.hpp"
#include "telemetry/log.hpp"
#include "telemetry/metrics.hpp"

namespace corral::scheduler {

struct ModelFile {
  std::string path;
  std::uint64_t size_bytes = 0;
};

// Memory of this machine that somebody else uses.
struct MemoryLease {
  std::string device;
  std::uint64_t bytes = 0;
  bool operator==(const MemoryLease&) const = default;
};

// What `show` adds.
struct ModelDetails {
  ModelStatus status;
  std::vector<ModelFile> files;
  std::string chat_template;
  std::vector<std::pair<std::string, std::string>> metadata;
  unsigned context = 0;  // tokens a slot, as it would be started
  unsigned slots = 0;
  std::chrono::milliseconds idle_timeout{0};
  std::uint64_t memory_estimate_bytes = 0;  // 0: it does not fit
  // How it would be started now, or why it cannot be; unset for models of endpoints.
  std::optional<Result<models::StartPlan>> plan;
};

// How far the load of a model is.
struct LoadStatus {
  std::chrono::milliseconds passed{0};
  std::chrono::milliseconds expected{0};  // by the last ones, or by its size
};

struct InstanceStatus {
  std::string model;
  std::string purpose;   // chat | embedding | benchmark
  unsigned replica = 1;  // which of the deployment's instances, from 1
  std::string state;     // of its engine; or `waiting` for room
  std::string device;
  std::uint64_t reserved_bytes = 0;  // what is counted for it
  std::string waits_because;         // why callers wait for it
  std::optional<LoadStatus> load;    // while it is loading
  int pid = 0;
  std::string address;
  std::chrono::system_clock::time_point since;
  std::optional<std::chrono::system_clock::time_point> idle_unload_at;
  std::uint64_t resident_bytes = 0;
  double cpu_seconds = 0;
  std::size_t in_flight = 0;
  std::size_t waiting = 0;
  std::uint64_t requests_total = 0;
  unsigned restarts = 0;
  std::uint64_t memory_limit_bytes = 0;  // that it may take of the host; 0: any
  sys::LimitWays limited_by;             // which limits hold, and by what
};

struct SchedulerParts {
  net::Shards& shards;
  net::BlockingPool& pool;
  telemetry::Logger log;
  telemetry::Metrics& metrics;
  const sys::Clock& clock;
  sys::Files& files;
  sys::Processes& processes;
  const bindings::BindingSet& bindings;
  sys::Path cache_folder;             // where built engines lie
  std::function<void()> place_freed;  // a request left an engine; on any thread
  std::function<std::size_t(const std::string& model)> waiting;  // requests in its queue
  // Which models there are has changed; on the control shard.
  std::function<void(std::vector<gateway::LocalModel>)> local_models;
  models::ModelIndex* model_index = nullptr;      // what is known of the models folder's files
  models::ServedModels* served_models = nullptr;  // puts the catalog's models beside them
  // What requests met with since it was asked last, and how long one who joins the queue now waits;
  // for changing the number of instances.
  std::function<std::vector<ModelDemand>()> demand;
  std::function<std::optional<std::chrono::milliseconds>(const std::string& model)> queue_wait;
  sys::ResourceLimits* limits = nullptr;  // of engines; without, their memory is watched
  sys::DeviceSources devices = {};        // where accelerators are looked for
};

class Scheduler final : public gateway::EndpointSource {
 public:
  Scheduler(SchedulerParts parts, std::shared_ptr<const config::Settings> settings);
  ~Scheduler() override;

  // Reads the model folder, begins to watch, preloads.
  net::Task<Result<void>> start();
  // New settings: model defaults and aliases hold from the next start of an instance on. Control
  // shard.
  void reload(std::shared_ptr<const config::Settings> settings);
  // The models of the catalog are others now. Any thread.
  void refresh_models();
  // The public names that routes answer, for the catalog. Control shard.
  void set_routed(std::vector<ModelStatus> models);
  // What endpoints of this machine use of its memory. Control shard.
  void set_leases(std::vector<MemoryLease> leases);
  // Its engines answer nothing but failures: they are started anew. Control shard.
  void restart(const std::string& model);
  // Stops every instance. Control shard.
  net::Task<void> stop();

  gateway::Target ready(const ModelName& model, inference::Operation operation) const override;
  net::Task<Result<gateway::Target>> ensure(ModelName model, inference::Operation operation,
                                            gateway::OnWait on_wait) override;
  net::Task<Result<gateway::Target>> ensure(ModelName model, inference::Operation operation) {
    return ensure(std::move(model), operation, {});
  }

  std::shared_ptr<const Catalog> catalog() const;  // of the calling serving shard
  net::Task<Result<ModelDetails>> details(std::string model);
  // Ends when its engines have ended.
  net::Task<Result<void>> unload(std::string model);
  net::Task<std::vector<InstanceStatus>> instances();
  net::Task<ScalingStatus> scaling();

  // What was found to be better than the default, for the next starts. Control shard.
  void set_tuned(std::vector<models::TunedSettings> tuned);
  // An engine to be measured: see scheduler/bench_engine.hpp. Control shard. `start_bench` takes
  // the place of the one before; `ensure_bench` waits until it serves, and may be called again when
  // its endpoint was closed because others had to have their turn.
  Result<BenchPlan> plan_bench(const BenchWish& wish) const;
  net::Task<Result<void>> start_bench(BenchWish wish);
  net::Task<Result<std::shared_ptr<gateway::Endpoint>>> ensure_bench();
  net::Task<void> end_bench();  // ends when its memory is back
  BenchState bench_state() const;
  models::BenchMachine bench_machine() const;

  // scheduler_outlook.cpp; on any shard.
  net::Task<Outlook> outlook();
  // Loads it if there is room beside all that is loaded; nothing is unloaded for it. Does not wait
  // for the engine.
  net::Task<Result<Warmed>> warm(std::string model);
  // These are not unloaded for being idle, where their settings do not say when. Room is still made
  // of them.
  void keep_warm(std::set<std::string> models);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace corral::scheduler
