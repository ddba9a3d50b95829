// One benchmark: starts the engine to be measured, asks it, and says what came out; or searches
// settings (models/core/tuning.hpp), with an engine of its own for each trial. What the cases and
// their order are is decided in models/core/bench.hpp.
//
// Between rounds others may have their turn in the memory; during one the engine counts as busy.
// Thread rule: control shard. Lifecycle: construct, `co_await run()` once, destroy.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/bench_report.hpp"
#include "net/one_shot.hpp"
#include "net/shard.hpp"
#include "scheduler/scheduler.hpp"
#include "sys/clock.hpp"

namespace corral::scheduler {

struct BenchOptions {
  std::vector<unsigned> prompts;      // lengths in tokens; empty: chosen by the context
  std::vector<unsigned> concurrency;  // requests at once; empty: 1 and as many as there are slots
  unsigned tokens = 0;                // to generate; 0: chosen
  unsigned repeats = 3;
  std::chrono::milliseconds budget{0};  // 0: two minutes, or five for a search
  std::optional<engines::Purpose> purpose;
  bool tune = false;
  bool smaller_cache = false;  // a search may lower the quality of the cache
};

// invalid_argument, naming the field: something is out of its range.
Result<void> check(const BenchOptions& options);

// The options with what was left open filled in. invalid_argument: a prompt does not fit.
Result<BenchOptions> resolve(BenchOptions options, const BenchPlan& plan);

class BenchRun {
 public:
  struct Parts {
    Scheduler& scheduler;
    net::Shard& control;
    const sys::Clock& clock;
    std::function<void(std::string stage, std::chrono::seconds remaining)> tell;
  };

  // `options` as resolved with `plan`.
  BenchRun(Parts parts, BenchPlan plan, BenchOptions options);

  // Its engine is gone when this ends. cancelled, or why nothing could be measured.
  net::Task<Result<models::BenchReport>> run();
  void cancel() { cancelled_ = true; }

 private:
  using Seconds = std::chrono::duration<double>;
  using Course = models::BenchCourse;
  struct Attempt {
    bool over = false;
    Result<void> result;
    Course course;
  };

  net::Task<Result<void>> bench();
  net::Task<Result<void>> tune();
  net::Task<Result<models::TuneScore>> trial(models::Tuner::Trial wanted);
  net::Task<Result<Course>> supervised(models::EngineChoice choice, Course::Options cases,
                                       Seconds limit);
  net::Task<void> attempt(models::EngineChoice choice, std::shared_ptr<Attempt> into);
  net::Task<Result<void>> measure(models::EngineChoice choice, std::shared_ptr<Attempt> into);
  net::Task<Result<models::BenchRound>> round(models::BenchCase what, unsigned generate);
  net::Task<Result<std::vector<models::BenchSample>>> ask_all(models::BenchCase what,
                                                              unsigned generate);
  net::Task<Result<gateway::Lease>> enter();
  void look();
  void tell(const std::string& what);
  Seconds elapsed() const { return parts_.clock.now() - began_; }
  Course::Options tune_cases() const;

  Parts parts_;
  BenchPlan plan_;
  BenchOptions options_;
  net::TaskGroup tasks_;
  std::shared_ptr<gateway::Endpoint> endpoint_;
  models::BenchReport report_;
  sys::Steady began_;
  std::uint64_t seed_ = 0;
  std::size_t looks_ = 0, disturbed_ = 0;
  bool cancelled_ = false;
};

}  // namespace corral::scheduler
