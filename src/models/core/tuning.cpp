#include "models/core/tuning.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "models/core/bench.hpp"

namespace corral::models {
namespace {

constexpr unsigned kFewestPairs = 2;
constexpr double kMargin = 1.25;  // trials do not all take the same

void add_axis(std::vector<TuneAxis>& axes, std::string name, std::vector<EngineChoice> values) {
  if (!values.empty()) axes.push_back({std::move(name), std::move(values)});
}

std::vector<EngineChoice> thread_values(const TuneFacts& facts) {
  std::vector<unsigned> counts{facts.logical_cpus, facts.threads / 2, facts.threads - 1,
                               facts.threads + facts.threads / 2};
  std::vector<EngineChoice> out;
  for (unsigned count : counts) {
    if (count == 0 || count == facts.threads || count > facts.logical_cpus) continue;
    EngineChoice one;
    one.threads = count;
    if (std::ranges::find(out, one) == out.end()) out.push_back(one);
  }
  return out;
}

std::vector<EngineChoice> batch_values(const TuneFacts& facts) {
  std::vector<EngineChoice> out;
  for (unsigned batch : {512u, 1024u, 128u, 2048u}) {
    // A step is no longer than what all slots hold.
    const bool useful = facts.context == 0 || batch <= facts.context * std::max(facts.slots, 1u);
    if (batch == facts.batch || !useful) continue;
    EngineChoice one;
    one.batch = batch;
    out.push_back(one);
  }
  return out;
}

// With as many requests at once as there are slots, more of them bring nothing.
std::vector<EngineChoice> slot_values(const TuneFacts& facts) {
  std::vector<EngineChoice> out;
  for (unsigned slots : {facts.concurrency, facts.concurrency / 2}) {
    if (slots <= facts.slots) continue;
    EngineChoice one;
    one.slots = slots;
    out.push_back(one);
  }
  return out;
}

std::vector<EngineChoice> layer_values(const TuneFacts& facts) {
  std::vector<EngineChoice> out;
  for (std::uint64_t layers : {std::uint64_t{0}, facts.layers / 2}) {
    if (layers == facts.layers) continue;
    EngineChoice one;
    one.gpu_layers = layers;
    if (std::ranges::find(out, one) == out.end()) out.push_back(one);
  }
  return out;
}

// Half of what lies between the least and the most, in relation to the middle.
double variation(const std::vector<double>& values) {
  const auto [least, most] = std::ranges::minmax(values);
  const double middle = median(values);
  return middle > 0 ? (most - least) / (2 * middle) : 0;
}

std::vector<double> rates_of(const std::vector<TuneScore>& scores,
                             const std::function<double(const TuneScore&)>& rate) {
  std::vector<double> out;
  out.reserve(scores.size());
  for (const TuneScore& score : scores) out.push_back(rate(score));
  return out;
}

// What the winner did in relation to the default, pair by pair.
std::vector<double> ratios(const std::vector<double>& winners,
                           const std::vector<double>& defaults) {
  std::vector<double> out;
  out.reserve(winners.size());
  for (std::size_t i = 0; i < winners.size(); ++i) {
    out.push_back(defaults[i] > 0 ? winners[i] / defaults[i] : 1);
  }
  return out;
}

double percent(double share) { return share * 100; }

}  // namespace

double TuneScore::total() const {
  double logarithms = 0;
  int count = 0;
  for (double rate : {prompt, generation, together}) {
    if (rate <= 0) continue;
    logarithms += std::log(rate);
    ++count;
  }
  return count == 0 ? 0 : std::exp(logarithms / count);
}

std::vector<TuneAxis> tune_axes(const TuneFacts& facts) {
  std::vector<TuneAxis> axes;
  if (facts.layers > 0 && !facts.fixed_layers) add_axis(axes, "layers", layer_values(facts));
  if (facts.on_host && !facts.fixed_threads) add_axis(axes, "threads", thread_values(facts));
  if (!facts.fixed_batch && !facts.embedding) add_axis(axes, "batch", batch_values(facts));
  if (!facts.fixed_slots) add_axis(axes, "slots", slot_values(facts));
  if (facts.can_repack && facts.on_host) {
    EngineChoice plain;
    plain.repack = false;
    add_axis(axes, "repack", {plain});
  }
  if (facts.smaller_cache && !facts.fixed_cache) {
    EngineChoice smaller;
    smaller.cache = CacheType::q8_0;
    add_axis(axes, "cache", {smaller});
  }
  return axes;
}

Tuner::Tuner(Options options, std::vector<TuneAxis> axes)
    : options_(options), axes_(std::move(axes)) {
  options_.pairs = std::max(options_.pairs, kFewestPairs);
}

bool Tuner::fits(Seconds elapsed, unsigned trials) const {
  return elapsed + longest_ * kMargin * trials <= options_.budget;
}

Tuner::Trial Tuner::trial(EngineChoice choice, std::string what, Seconds elapsed) {
  asked_ = choice;
  return {choice, options_.budget - elapsed, std::move(what)};
}

// The next value of the next setting; what is tried is that with the best of the others.
std::optional<EngineChoice> Tuner::candidate() {
  while (axis_ < axes_.size()) {
    if (value_ == 0) axis_base_ = best_;
    if (value_ < axes_[axis_].values.size()) {
      return merged(axis_base_, axes_[axis_].values[value_++]);
    }
    ++axis_;
    value_ = 0;
  }
  return std::nullopt;
}

// Default, winner, winner, default, default, winner, ...
bool Tuner::winner_next() const {
  const std::size_t pair = std::min(defaults_.size(), winners_.size());
  const bool half = defaults_.size() != winners_.size();
  const bool winner_first = pair % 2 == 1;
  return winner_first != half;
}

std::optional<Tuner::Trial> Tuner::next(Seconds elapsed) {
  if (phase_ == Phase::base) {
    if (elapsed < options_.budget) return trial({}, "the default", elapsed);
    end("there was no time to measure anything");
  }
  if (phase_ == Phase::search) {
    // The fewest pairs must still be possible afterwards.
    const auto wanted = fits(elapsed, 1 + 2 * kFewestPairs) ? candidate() : std::nullopt;
    if (wanted) return trial(*wanted, describe(*wanted), elapsed);
    if (best_.empty()) {
      end(tried_.size() > 1 ? "nothing that was tried is faster than the default"
                            : "there was no time, or nothing, to try beside the default");
    } else {
      phase_ = Phase::pairs;
      outcome_.choice = best_;
    }
  }
  if (phase_ == Phase::pairs) {
    const bool half = defaults_.size() != winners_.size();
    if (winners_.size() < options_.pairs || half) {
      if (fits(elapsed, half ? 1 : 2)) {
        const bool winner = winner_next();
        return trial(winner ? best_ : EngineChoice{},
                     winner ? describe(best_) + " against the default"
                            : "the default against " + describe(best_),
                     elapsed);
      }
    }
    judge();
  }
  return std::nullopt;
}

void Tuner::measured(const TuneScore& score, Seconds took) {
  longest_ = std::max(longest_, took);
  if (phase_ == Phase::pairs) {
    (winner_next() ? winners_ : defaults_).push_back(score);
    return;
  }
  tried_.push_back({asked_, score, {}});
  const double total = score.total();
  if (phase_ == Phase::base) {
    base_ = score;
    best_total_ = total;
    phase_ = Phase::search;
  } else if (total > best_total_ * (1 + options_.least_gain)) {
    best_ = asked_;
    best_total_ = total;
  }
}

void Tuner::failed(std::string why, Seconds took) {
  longest_ = std::max(longest_, took);
  if (phase_ == Phase::base) {
    end("the default could not be measured: " + why);
  } else if (phase_ == Phase::pairs) {
    end("the comparison could not be made: " + why);
  } else {
    tried_.push_back({asked_, std::nullopt, std::move(why)});
  }
}

void Tuner::end(std::string why) {
  phase_ = Phase::over;
  outcome_.better = false;
  outcome_.why = std::move(why);
}

void Tuner::judge() {
  // A pair that was not finished says nothing.
  const std::size_t pairs = std::min(defaults_.size(), winners_.size());
  defaults_.resize(pairs);
  winners_.resize(pairs);
  if (pairs < kFewestPairs) {
    end("there was no time to compare with the default often enough");
    return;
  }
  auto total = [](const TuneScore& score) { return score.total(); };
  const auto of_default = rates_of(defaults_, total);
  const auto of_winner = rates_of(winners_, total);
  const auto by_pair = ratios(of_winner, of_default);
  const double noise = std::max(variation(of_default), variation(of_winner));
  outcome_.gain = median(by_pair) - 1;
  if (std::ranges::min(by_pair) <= 1 || outcome_.gain < options_.least_gain ||
      outcome_.gain <= noise) {
    end(fmt::format("against the default {} is {:+.1f} %, which is within what measurements vary",
                    describe(best_), percent(outcome_.gain)));
    return;
  }
  const std::array<std::pair<const char*, std::function<double(const TuneScore&)>>, 3> kRates{
      {{"the prompt", [](const TuneScore& score) { return score.prompt; }},
       {"one answer", [](const TuneScore& score) { return score.generation; }},
       {"several answers at once", [](const TuneScore& score) { return score.together; }}}};
  for (const auto& [name, rate] : kRates) {
    const auto before = rates_of(defaults_, rate);
    const double change = median(ratios(rates_of(winners_, rate), before)) - 1;
    if (change >= -std::min(variation(before), options_.least_gain)) continue;
    end(fmt::format("{} is {:.1f} % faster in all, but slower with {} ({:+.1f} %)", describe(best_),
                    percent(outcome_.gain), name, percent(change)));
    return;
  }
  phase_ = Phase::over;
  outcome_.better = true;
  outcome_.why =
      fmt::format("{}: {:.0f} % faster than the default", describe(best_), percent(outcome_.gain));
}

}  // namespace corral::models
