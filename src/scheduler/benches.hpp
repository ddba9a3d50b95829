// The benchmarks: one runs at a time, the last hundred are remembered, and what they found is kept
// in the database, with the settings that a search was better off with.
//
// Thread rule: `begin`, `list`, `find`, `cancel`, `forget` and `past` on any shard; start and stop
// on control. Lifecycle: construct, start() before the scheduler's, stop() before the scheduler's.
// Example:
//   CORRAL_CO_TRY(auto begun, co_await benches.begin("qwen", {.tune = true}));
//   ... benches.find(begun.id)->state ...
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "models/tuned_settings.hpp"
#include "models/usage_history.hpp"
#include "net/shard.hpp"
#include "scheduler/bench_run.hpp"
#include "telemetry/log.hpp"

namespace corral::scheduler {

struct BenchView {
  std::string id;
  std::string model;
  bool tune = false;
  std::string state;  // running, succeeded, failed, cancelled
  std::string stage;
  sys::Wall started;
  std::optional<sys::Wall> finished;
  std::optional<std::chrono::seconds> remaining;  // of its budget
  std::optional<Error> error;
};

struct BenchPast {
  std::string model;                             // by its own name
  std::vector<models::BenchmarkResult> results;  // newest first
  std::optional<models::TunedSettings> tuned;    // used at the next starts
};

struct BenchesParts {
  Scheduler& scheduler;
  net::Shard& control;
  net::BlockingPool& pool;
  const sys::Clock& clock;
  telemetry::Logger log;
  models::UsageHistory& history;
  models::TunedStore& tuned;
};

class Benches {
 public:
  explicit Benches(BenchesParts parts);

  // Tells the scheduler what was tuned before.
  net::Task<Result<void>> start();
  net::Task<void> stop();

  // invalid_argument, not_found, conflict (another one runs), unavailable (it does not fit).
  net::Task<Result<BenchView>> begin(std::string model, BenchOptions options);
  std::vector<BenchView> list() const;  // newest first
  std::optional<BenchView> find(const std::string& id) const;
  // conflict: it is over.
  net::Task<Result<BenchView>> cancel(std::string id);

  // Drops what was tuned; false: there was nothing.
  net::Task<Result<bool>> forget(std::string model);
  net::Task<Result<BenchPast>> past(std::string model, int limit);

 private:
  Result<BenchView> begin_here(const std::string& model, const BenchOptions& options);
  net::Task<void> drive(std::string id, BenchPlan plan);
  net::Task<Result<void>> keep(BenchPlan plan, models::BenchReport report);
  net::Task<Result<void>> reload_tuned();
  void change(const std::string& id, const std::function<void(BenchView&)>& how);
  std::string name_of(const std::string& model) const;

  BenchesParts parts_;
  std::string host_;
  net::TaskGroup tasks_;
  std::unique_ptr<BenchRun> run_;  // control shard
  std::string running_;            // its id; control shard
  bool stopping_ = false;
  mutable std::mutex mutex_;
  std::uint64_t begun_ = 0;
  std::deque<BenchView> views_;  // oldest first
};

}  // namespace corral::scheduler
