// Hedging: a second attempt at another target when the first takes longer than nearly all do; the
// first of the two to have an answer wins, the other is cancelled. Pure.
//
//   hedge_after  when a second attempt may begin
//   HedgeRace    what becomes of the two: one winner at most, and the loser is always cancelled
// How many hedges there may be is a LoadBudget with BudgetPolicy::for_hedges().
//
// Thread rule: one owner. Lifecycle of a race: one request; begins with the first attempt under
// way. Example:
//   auto delay = hedge_after(policy, route_latency, now);
//   ... after the delay, no answer yet, and a place is taken:
//   if (budget.try_spend(now) && race.start_second()) send it; else give the place back
//   auto step = race.answered(HedgeRace::Lane::second);
//   if (step.cancels(Lane::first)) cancel it; if (step.winner) relay that one.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "gateway/core/latency.hpp"
#include "gateway/core/load_budget.hpp"

namespace corral::gateway {

struct HedgePolicy {
  using Duration = std::chrono::milliseconds;
  bool enabled = true;
  double quantile = 0.95;  // of the route's times to first token
  double minimum_samples = 100;
  Duration floor{50};  // never sooner
};

// How long after the first attempt began; none when not enough is known.
std::optional<HedgePolicy::Duration> hedge_after(const HedgePolicy& policy,
                                                 const LatencyQuantile& route,
                                                 LatencyQuantile::Time now);

class HedgeRace {
 public:
  enum class Lane : std::uint8_t { first, second };

  struct Step {
    std::optional<Lane> winner;       // relay this one's answer
    std::array<bool, 2> cancelled{};  // stop these, whatever they have
    bool lost = false;                // no attempt is left: see error()
    bool cancels(Lane lane) const { return cancelled[static_cast<std::size_t>(lane)]; }
  };

  // False when it may not begin any more: the race is decided, or the first attempt ended.
  bool start_second();
  // It has what could be sent to the client. A loser's late answer is to be thrown away.
  Step answered(Lane lane);
  // The other one goes on, if it is under way.
  Step failed(Lane lane, Error error);
  Step client_left();

  bool under_way(Lane lane) const { return at(lane) == Progress::under_way; }
  std::optional<Lane> winner() const { return winner_; }
  // The failure that says most; set once no attempt is left.
  const std::optional<Error>& error() const { return error_; }

 private:
  enum class Progress : std::uint8_t { idle, under_way, won, cancelled, failed };
  Progress& at(Lane lane) { return lanes_[static_cast<std::size_t>(lane)]; }
  Progress at(Lane lane) const { return lanes_[static_cast<std::size_t>(lane)]; }
  static Lane other(Lane lane) { return lane == Lane::first ? Lane::second : Lane::first; }
  void cancel(Lane lane, Step& step);

  std::array<Progress, 2> lanes_{Progress::under_way, Progress::idle};
  std::optional<Lane> winner_;
  std::optional<Error> error_;
};

}  // namespace corral::gateway
