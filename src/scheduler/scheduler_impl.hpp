// The scheduler's state, all of it on the control shard. For src/scheduler only.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/core/plan.hpp"
#include "net/one_shot.hpp"
#include "net/snapshot.hpp"
#include "scheduler/core/placement.hpp"
#include "scheduler/core/rpc_accounts.hpp"
#include "scheduler/deployed_model.hpp"
#include "scheduler/model_waiter.hpp"
#include "scheduler/model_watch.hpp"
#include "scheduler/scaling.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::scheduler {

struct Scheduler::Impl final : Units, std::enable_shared_from_this<Scheduler::Impl> {
  // One instance; the first one's key stands for the deployment too.
  struct Key {
    std::string model;
    engines::Purpose purpose = engines::Purpose::chat;
    unsigned replica = 0;
    auto operator<=>(const Key&) const = default;
    Key first() const { return {model, purpose, 0}; }
    bool beside(const Key& other) const { return model == other.model && purpose == other.purpose; }
  };
  using Waiter = std::shared_ptr<ModelWaiter>;
  Impl(SchedulerParts p, std::shared_ptr<const config::Settings> s);

  net::Task<Result<void>> watch_models();
  void models_changed(models::Snapshot list);
  void plan_anew(DeployedModel& model, const models::ModelEntry& entry);
  void preload();
  void reload(std::shared_ptr<const config::Settings> s);
  void sweep();
  void set_routed(std::vector<ModelStatus> models);
  void restart(const std::string& name);
  void tell_models();
  net::Task<void> stop();

  void want(const std::string& name, inference::Operation operation, const Waiter& waiter,
            TicketId ticket);
  Result<ModelDetails> details(const std::string& name);
  void unload(const std::string& name, const std::shared_ptr<net::OneShot<Result<void>>>& done);
  std::vector<InstanceStatus> instances();
  Outlook outlook() const;  // with the next two, scheduler_outlook.cpp
  Result<Warmed> warm(const std::string& name);
  void keep_warm(const std::set<std::string>& models);
  InstanceStatus instance_status(const DeployedModel& model);
  void publish();
  void publish_all();

  Result<DeployedModel*> deployment(const models::ModelEntry& entry, engines::Purpose purpose,
                                    unsigned replica = 0);
  DeploymentParts deployment_parts();
  Result<models::StartPlan> plan_for(const models::ModelEntry& entry, engines::Purpose purpose,
                                     const models::EngineChoice& choice) const;
  engines::InstanceSpec spec_for(const models::ModelEntry& entry, engines::Purpose purpose,
                                 const models::StartPlan& plan,
                                 const models::EngineChoice& choice) const;
  std::chrono::milliseconds idle_timeout_of(const std::string& model) const;
  const config::ModelSettings* settings_of(const std::string& model) const;
  std::vector<std::string> aliases_of(const std::string& model) const;
  ModelStatus describe(const models::ModelEntry& entry) const;
  ModelStatus status_of(const models::ModelEntry& entry) const;
  std::shared_ptr<const ModelTable> make_table() const;
  std::shared_ptr<Catalog> make_catalog() const;

  // scheduler_replicas.cpp
  struct Range {
    unsigned least = 1;
    unsigned most = 1;
  };
  Range range_of(const std::string& model) const;
  std::vector<DeployedModel*> members_of(const Key& first) const;
  bool serves(const DeployedModel& model) const;
  bool other_serves(const DeployedModel& model) const;
  DeployedModel& best_of(const Key& first) const;
  DeployedModel* open_sibling(const DeployedModel& model) const;
  void replace_failing(DeployedModel& model);
  DeployedModel::WhenIdle when_idle(const DeployedModel& model) const;
  void gather(DeployedModel& to);
  void hand_over(DeployedModel& from);
  void keep_replicas();
  void keep_replicas(const Key& first, unsigned& wanted);
  bool add_replica(const Key& first);

  // scaling.cpp
  ScaleSample sample_of(const Key& first, unsigned wanted) const;
  void scale();
  ScalingStatus scaling_status();

  // scheduler_rpc.cpp
  std::vector<std::string> rpc_servers() const;
  const RpcAccount* rpc_account_of(const std::string& server) const;
  std::uint64_t rpc_held(const std::string& server) const;
  void explain_rpc(models::StartPlan& plan) const;
  void share_out_rpc(std::vector<AccountSpec>& accounts);
  std::vector<Charge> rpc_charges(const models::StartPlan& plan) const;
  void look_at_rpc();
  net::Task<void> ask_rpc(std::vector<std::string> servers);

  // scheduler_progress.cpp
  std::optional<LoadStatus> load_status(UnitId unit) const;
  gateway::QueuePlace place_of(UnitId unit, std::size_t position) const;
  void tell_newcomer(TicketId ticket);
  void tell_waiting();

  // scheduler_placement.cpp
  std::uint64_t leased(const std::string& device) const;
  models::Machine machine() const;
  void share_out();
  telemetry::Gauge memory_gauge(std::string_view what, const std::string& device);
  void set_leases(std::vector<MemoryLease> fresh);
  Result<std::vector<StartOption>> options_for(const models::ModelEntry& entry,
                                               engines::Purpose purpose) const;
  Result<std::vector<StartOption>> options_for(const models::ModelEntry& entry,
                                               engines::Purpose purpose,
                                               const models::EngineChoice& choice) const;
  UnitSpec unit_spec(const DeployedModel& model) const;
  void learn(DeployedModel& model);
  void admit(DeployedModel& model, const Waiter& waiter, TicketId ticket);
  void leave(TicketId ticket);
  void unpark(UnitId unit);
  void wake(const PlacementAction& action);
  void expire();
  Use use(UnitId unit) const override;
  bool close_if_idle(UnitId unit, std::chrono::milliseconds idle) override;
  void settle();
  void perform(const PlacementAction& action);
  DeploymentReports reports_of(UnitId unit);
  void told_gone(UnitId unit);
  void arm_timer();
  net::Task<void> sleep_then_settle(sys::Steady at);
  void measure();
  void tell_held();

  // bench_engine.cpp
  const models::TunedSettings* tuned_for(const models::ModelEntry& entry,
                                         engines::Purpose purpose) const;
  models::EngineChoice choice_for(const models::ModelEntry& entry, engines::Purpose purpose) const;
  Result<const models::ModelEntry*> bench_entry(const std::string& name) const;
  Result<BenchPlan> plan_bench(const BenchWish& wish) const;
  Result<void> make_bench(const BenchWish& wish);
  net::Task<void> end_bench();
  std::optional<InstanceStatus> bench_instance() const;
  BenchState bench_state() const;
  models::BenchMachine bench_machine() const;

  SchedulerParts parts;
  std::shared_ptr<const config::Settings> settings;
  std::shared_ptr<const ModelTable> table;  // null: to be made anew
  std::shared_ptr<const Catalog> current;   // what was published last
  net::Snapshot<Catalog> catalog;
  models::Snapshot list;
  std::vector<models::Accelerator> accelerators;  // those that the engine can use
  unsigned numa_nodes = 1;
  std::map<std::string, RpcSaid> rpc_said;  // by rpc-server, while our engines held nothing there
  std::vector<RpcAccount> rpc_shared;
  std::optional<sys::Steady> rpc_looked;
  std::unique_ptr<net::TaskGroup> rpc_asks;
  std::set<std::string> put_away;   // unloaded by hand, and not asked for since
  std::set<std::string> kept_warm;  // not unloaded for being idle
  std::vector<ModelStatus> routed;  // public names that routes answer
  std::map<Key, std::unique_ptr<DeployedModel>> deployed;
  std::map<Key, unsigned> groups;  // deployments that may have several: how many are wanted
  std::map<std::string, models::TunedSettings> tuned;  // by model
  std::unique_ptr<BenchUnit> bench;                    // made with the first benchmark
  std::unique_ptr<ModelWatch> watch;
  Scaling scaling;
  bool stopping = false;
  bool ended = false;

  // A caller who waits for a model.
  struct Caller {
    Waiter waiter;
    UnitId unit = 0;
    sys::Steady since{};
  };
  struct Unit {
    DeployedModel* model = nullptr;
    std::uint64_t peak = 0;        // bytes that it was seen to hold
    sys::Steady not_before{};      // one of several that failed is let be until then
    std::vector<TicketId> parked;  // callers who were woken while its endpoint was closed
  };
  struct Unloading {
    std::set<UnitId> units;
    std::shared_ptr<net::OneShot<Result<void>>> done;
  };
  // Rung, on any thread, when a request leaves an engine while somebody waits for room.
  struct Bell {
    std::atomic<bool> wanted{false};
    std::atomic<bool> rung{false};
  };
  struct Meters {
    telemetry::Counter evictions, turns;
    telemetry::Gauge waiting;
    telemetry::Histogram load, wait;
  };
  Placement placement;
  std::vector<Unit> units;  // by UnitId
  std::unordered_map<TicketId, Caller> callers;
  sys::Steady told_at{};  // all who wait, of their place
  std::vector<Unloading> unloading;
  std::vector<MemoryLease> leases;
  std::map<std::string, std::optional<std::uint64_t>> held;  // by device, as its gauge was told
  std::shared_ptr<Bell> bell = std::make_shared<Bell>();
  std::atomic<TicketId> last_ticket{0};
  Meters meters;
  bool settling = false;
  bool unsettled = false;
  std::unique_ptr<net::TaskGroup> timer;
  std::optional<sys::Steady> armed_for;
};

}  // namespace corral::scheduler
