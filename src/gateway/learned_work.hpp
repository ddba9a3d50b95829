// How long work takes, as it was learned at each target, kept in the database over a restart.
//
// Each machine keeps its own: the same model is quicker on one than on another, and a far endpoint
// may be nearer to one. `place` tells one server from another that gets its name later; who reads
// compares.
//
// Thread rule: thread-safe; calls block. Lifecycle: the database and the clock outlive it.
// Example:
//   LearnedWorkStore store(*database, clock, machine);
//   CORRAL_CHECK(store.put({{"gpu1", "llama-8b", place, estimate}}));
//   CORRAL_TRY(auto all, store.all());
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "gateway/core/work_estimate.hpp"
#include "store/database.hpp"
#include "sys/clock.hpp"

namespace corral::gateway {

struct LearnedWork {
  std::string endpoint;
  std::string model;
  std::string place;  // see EndpointRegistry; empty for our own engines
  WorkEstimate estimate;
};

class LearnedWorkStore {
 public:
  static constexpr int kKeptDays = 90;   // of what no request taught any more
  static constexpr int kMost = 100'000;  // rows that are read; each is one kind of work at a target

  LearnedWorkStore(store::Database& database, const sys::Clock& clock, std::string machine)
      : database_(database), clock_(clock), machine_(std::move(machine)) {}

  // Takes the place of what was there for those targets; all or nothing.
  Result<void> put(const std::vector<LearnedWork>& learned);
  // Of this machine, by endpoint and model. What nobody can have learned is left out.
  Result<std::vector<LearnedWork>> all();
  // Forgets what is older than kKeptDays, of any machine.
  Result<void> forget_old();

 private:
  store::Database& database_;
  const sys::Clock& clock_;
  std::string machine_;
};

// The statements that look at many rows, so that tests can look at the plans of these very texts.
inline constexpr std::string_view kListLearned =
    "select endpoint, model, place, operation, streamed, requests, mean_kib, mean_seconds, spread, "
    "together, deviation from learned_work where machine = $1 "
    "order by endpoint, model, operation, streamed limit $2";
inline constexpr std::string_view kForgetLearned = "delete from learned_work where learned_ms < $1";

}  // namespace corral::gateway
