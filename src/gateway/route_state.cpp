#include "gateway/route_state.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "gateway/active_route.hpp"

namespace corral::gateway {
namespace {

constexpr std::chrono::milliseconds kBetweenForecasts{200};
constexpr std::size_t kMostAsked = 16;  // of a group's targets, however many it has

}  // namespace

RouteState::RouteState(std::string name, std::size_t queue_limit, bool by_prefix)
    : name_(std::move(name)),
      queue_(queue_limit),
      affinity_(by_prefix ? std::make_unique<PrefixAffinity>() : nullptr) {}

std::vector<std::uint64_t> RouteState::prefix_holders(const PrefixKeys& keys) const {
  if (affinity_ == nullptr) return {};
  std::lock_guard lock(mutex_);
  auto match = affinity_->find(keys);
  return {match.holders().begin(), match.holders().end()};
}

void RouteState::prefix_served(const PrefixKeys& keys, std::uint64_t target) {
  if (affinity_ == nullptr) return;
  std::lock_guard lock(mutex_);
  affinity_->learn(keys, target);
}

void RouteState::set_budgets(BudgetPolicy retries, BudgetPolicy hedges) {
  std::lock_guard lock(mutex_);
  if (retry_policy_ != retries) retries_ = LoadBudget(retry_policy_ = retries);
  if (hedge_policy_ != hedges) hedges_ = LoadBudget(hedge_policy_ = hedges);
}

void RouteState::set_current(std::weak_ptr<const ActiveRoute> route) {
  std::lock_guard lock(mutex_);
  current_ = std::move(route);
}

std::shared_ptr<const ActiveRoute> RouteState::current() const {
  std::lock_guard lock(mutex_);
  return current_.lock();
}

void RouteState::request(Time now) {
  counters.requests.fetch_add(1, std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  retries_.request(now);
  hedges_.request(now);
}

std::expected<RetryPolicy::Duration, GiveUp> RouteState::next_try(const RetryPolicy& policy,
                                                                  const FailedTry& failed) {
  std::lock_guard lock(mutex_);
  return gateway::next_try(policy, retries_, failed);
}

void RouteState::observe_first_byte(std::chrono::nanoseconds took, Time now) {
  std::lock_guard lock(mutex_);
  first_byte_.observe(took, now);
}

std::optional<std::chrono::milliseconds> RouteState::hedge_delay(Time now) const {
  std::lock_guard lock(mutex_);
  return hedge_after(HedgePolicy{}, first_byte_, now);
}

bool RouteState::may_hedge(Time now) {
  std::lock_guard lock(mutex_);
  return hedges_.try_spend(now);
}

std::optional<WorkEstimate::Duration> RouteState::expect(const Work& work) const {
  auto route = current();
  if (route == nullptr) return std::nullopt;
  for (const auto& group : route->groups) {
    WorkEstimate::Duration sum{0};
    std::int64_t known = 0;
    const auto& targets = group->targets();
    const std::size_t step = std::max<std::size_t>(targets.size() / kMostAsked, 1);
    for (std::size_t i = 0; i < targets.size(); i += step) {
      if (auto one = targets[i].state->expect(work)) {
        sum += *one;
        ++known;
      }
    }
    if (known > 0) return sum / known;
  }
  return std::nullopt;
}

// Whoever waits, waits for the first group in which anything is alive; the others have nothing to
// do then.
void RouteState::forecast(Time now) {
  std::shared_ptr<const ActiveRoute> route;
  {
    std::lock_guard lock(mutex_);
    if (forecast_at_ && now - *forecast_at_ < kBetweenForecasts) return;
    forecast_at_ = now;
    route = current_.lock();
  }
  std::vector<double> left;
  bool all_known = true;
  if (route != nullptr) {
    for (const auto& group : route->groups) {
      for (const auto& target : group->targets()) {
        all_known = target.state->append_left(now, left) && all_known;
      }
      if (!left.empty() || !all_known) break;
    }
  }
  if (!all_known) left.clear();
  queue_.set_forecast(WaitForecast(std::move(left), now));
}

std::optional<std::chrono::milliseconds> RouteState::wait_of_newcomer(Time now) {
  forecast(now);
  return queue_.wait_of_newcomer(now);
}

std::optional<std::chrono::nanoseconds> RouteState::quantile(double part, Time now) const {
  std::lock_guard lock(mutex_);
  return first_byte_.quantile(part, now);
}

}  // namespace corral::gateway
