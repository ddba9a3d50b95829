#include "gateway/core/hedge.hpp"

#include <algorithm>
#include <utility>

#include "gateway/core/outcome.hpp"

namespace corral::gateway {

std::optional<HedgePolicy::Duration> hedge_after(const HedgePolicy& policy,
                                                 const LatencyQuantile& route,
                                                 LatencyQuantile::Time now) {
  if (!policy.enabled || route.samples(now) < policy.minimum_samples) return std::nullopt;
  auto usual = route.quantile(policy.quantile, now);
  if (!usual) return std::nullopt;
  return std::max(std::chrono::ceil<HedgePolicy::Duration>(*usual), policy.floor);
}

bool HedgeRace::start_second() {
  if (at(Lane::first) != Progress::under_way || at(Lane::second) != Progress::idle) return false;
  at(Lane::second) = Progress::under_way;
  return true;
}

void HedgeRace::cancel(Lane lane, Step& step) {
  if (at(lane) != Progress::under_way) return;
  at(lane) = Progress::cancelled;
  step.cancelled[static_cast<std::size_t>(lane)] = true;
}

HedgeRace::Step HedgeRace::answered(Lane lane) {
  Step step;
  if (at(lane) != Progress::under_way) {
    // It answered while it was being cancelled.
    step.cancelled[static_cast<std::size_t>(lane)] = at(lane) == Progress::cancelled;
    return step;
  }
  at(lane) = Progress::won;
  winner_ = lane;
  error_.reset();
  step.winner = lane;
  cancel(other(lane), step);
  return step;
}

HedgeRace::Step HedgeRace::failed(Lane lane, Error error) {
  Step step;
  if (at(lane) != Progress::under_way) return step;
  at(lane) = Progress::failed;
  auto mine = outcome_of(error);
  if (!error_ || more_meaningful(outcome_of(*error_), mine) != outcome_of(*error_)) {
    error_ = std::move(error);
  }
  step.lost = at(other(lane)) != Progress::under_way;
  return step;
}

HedgeRace::Step HedgeRace::client_left() {
  Step step;
  cancel(Lane::first, step);
  cancel(Lane::second, step);
  return step;
}

}  // namespace corral::gateway
