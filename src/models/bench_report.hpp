// What a benchmark found, as it is kept: a JSON object.
// Thread rule: free functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/core/bench.hpp"
#include "models/core/plan.hpp"
#include "models/core/tuning.hpp"

namespace corral::models {

struct BenchMachine {
  std::string host;
  std::string os;
  unsigned cores = 1;         // physical
  unsigned logical_cpus = 1;  // that may be used
  std::uint64_t memory = 0;   // bytes
  std::vector<std::string> accelerators;

  // Tells machines on which the same settings may not be the best.
  std::string mark() const;
};

struct BenchSearch {
  Tuner::Outcome outcome;
  std::optional<TuneScore> base;  // of the default
  std::vector<Tuner::Tried> tried;
};

struct BenchReport {
  std::string operation;  // its id
  std::string purpose;    // chat | embedding
  std::string engine;     // what it says of its build; empty: nothing
  BenchMachine machine;
  StartPlan plan;       // of the engine that was measured, or of the default one
  EngineChoice choice;  // of it, what was tuned before
  unsigned generated = 0;
  std::uint64_t resident_peak = 0;
  std::optional<double> load_seconds;  // of the last start
  unsigned interruptions = 0;          // others had their turn in between
  double disturbed = 0;                // share of the time in which other engines computed
  double took_seconds = 0;
  std::vector<BenchMeasure> measures;
  std::vector<BenchCase> skipped;
  std::optional<BenchSearch> search;
};

std::string to_body(const BenchReport& report);

}  // namespace corral::models
