#include "gateway/outlier_watch.hpp"

namespace corral::gateway {

GroupFigure OutlierWatch::figure_of(const ActiveTarget& target, States& now) const {
  Seen seen{target.state->successes(), target.state->failures()};
  now[target.state] = seen;
  Seen last;
  if (auto found = before_.find(target.state); found != before_.end()) last = found->second;
  GroupFigure figure;
  figure.failures = static_cast<std::uint32_t>(seen.failures - last.failures);
  figure.requests = static_cast<std::uint32_t>(seen.successes - last.successes) + figure.failures;
  double latency = target.state->latency_ns(std::chrono::steady_clock::now());
  figure.latency = std::chrono::nanoseconds(static_cast<std::int64_t>(latency));
  figure.out_of_use = !target.endpoint->up() || target.endpoint->share() < 1;
  return figure;
}

void OutlierWatch::look(const Routing& routing) {
  States now;
  for (const auto& route : routing.routes()) {
    for (const auto& group : route->groups) {
      std::vector<GroupFigure> figures;
      std::vector<const ActiveTarget*> targets;
      for (const auto& target : group->targets()) {
        if (target.local()) continue;  // the scheduler looks after our own engines
        targets.push_back(&target);
        figures.push_back(figure_of(target, now));
      }
      for (auto index : outliers(figures, OutlierPolicy{})) {
        registry_.eject(targets[index]->spec->endpoint);
      }
    }
  }
  before_ = std::move(now);
}

}  // namespace corral::gateway
