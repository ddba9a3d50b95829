// Searches engine settings within a time budget, and keeps others than the default only if they
// were measured to be better.
//
// Rules
// - The default is measured first, so there is always something to compare with.
// - The search goes setting by setting: each of its values is tried with the best of the others so
//   far. What is better by less than `least_gain` is not taken for better.
// - The winner and the default are measured again in pairs, in turns (default, winner, winner,
//   default, ...), so that a machine that slows down or warms up hits both. The winner is kept only
//   if it was better in every pair, by `least_gain` and by more than each of the two varied, and if
//   no single rate of it fell by more than that variation.
// - A trial is begun only if, by the longest so far, it and the pairs still to come end within the
//   budget; and each is told how long it may take at most. So the search ends in time.
// - The same measurements lead to the same trials.
//
// Thread rule: one owner; time comes in.
// Example:
//   Tuner tuner({.budget = 5min}, tune_axes(facts));
//   while (auto trial = tuner.next(elapsed())) {
//     auto score = measure(trial->choice, trial->limit);
//     score ? tuner.measured(*score, took) : tuner.failed(score.error().message, took);
//   }
//   if (tuner.outcome().better) keep(tuner.outcome().choice);
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/core/engine_choice.hpp"

namespace corral::models {

// What a trial measured, in tokens/s. Rates that do not apply are 0 in all trials.
struct TuneScore {
  double prompt = 0;      // of one request
  double generation = 0;  // of one request
  double together = 0;    // of several at once

  double total() const;  // geometric mean of the rates that apply
};

// One setting, and the values of it to try.
struct TuneAxis {
  std::string name;
  std::vector<EngineChoice> values;
};

// What is known of the model's start by default and of the machine. What the configuration says
// for itself is not tuned.
struct TuneFacts {
  unsigned threads = 1;       // by default
  unsigned logical_cpus = 1;  // that may be used
  unsigned batch = 256;
  unsigned slots = 1;
  unsigned concurrency = 1;  // requests at once that the settings are for
  std::uint64_t context = 0;
  bool on_host = true;         // some layers are computed by the CPU
  bool can_repack = false;     // weights of types that it rearranges, and there is room
  std::uint64_t layers = 0;    // on an accelerator by default; 0: none
  bool smaller_cache = false;  // a cache of less quality was allowed
  bool embedding = false;      // an input is one step
  bool fixed_threads = false, fixed_batch = false, fixed_slots = false, fixed_cache = false,
       fixed_layers = false;
};
std::vector<TuneAxis> tune_axes(const TuneFacts& facts);

class Tuner {
 public:
  using Seconds = std::chrono::duration<double>;
  struct Options {
    Seconds budget{300};
    unsigned pairs = 3;  // fewer, at least two, when time is short
    double least_gain = 0.03;
  };
  struct Trial {
    EngineChoice choice;  // empty: the default
    Seconds limit{0};     // it must not take longer
    std::string what;     // "the default", "batch 512", "threads 2 against the default"
  };
  struct Tried {
    EngineChoice choice;
    std::optional<TuneScore> score;
    std::string problem;  // why there is no score
  };
  struct Outcome {
    bool better = false;  // `choice` is to be kept
    EngineChoice choice;  // the winner of the search, kept or not
    double gain = 0;      // of it, in pairs: 0.12 is 12 % faster
    std::string why;      // in a sentence
  };

  Tuner(Options options, std::vector<TuneAxis> axes);

  // What to measure now; none: it is over.
  std::optional<Trial> next(Seconds elapsed);
  // What became of it.
  void measured(const TuneScore& score, Seconds took);
  void failed(std::string why, Seconds took);

  const Outcome& outcome() const { return outcome_; }  // when it is over
  const std::vector<Tried>& tried() const { return tried_; }
  const std::optional<TuneScore>& base() const { return base_; }

 private:
  enum class Phase { base, search, pairs, over };
  Trial trial(EngineChoice choice, std::string what, Seconds elapsed);
  std::optional<EngineChoice> candidate();
  bool winner_next() const;
  bool fits(Seconds elapsed, unsigned trials) const;
  void end(std::string why);
  void judge();

  Options options_;
  std::vector<TuneAxis> axes_;
  Phase phase_ = Phase::base;
  std::size_t axis_ = 0, value_ = 0;
  Seconds longest_{0};
  EngineChoice best_, asked_;
  double best_total_ = 0;
  EngineChoice axis_base_;
  std::optional<TuneScore> base_;
  std::vector<TuneScore> defaults_, winners_;  // of the pairs
  std::vector<Tried> tried_;
  Outcome outcome_;
};

}  // namespace corral::models
