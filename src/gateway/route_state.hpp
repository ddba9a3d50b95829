// What a route learns and who waits for it: its queue, its budgets for extra load, how quick its
// answers are, and where which prompt was served. Outlives changes of the route's settings.
//
// Thread rule: thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "gateway/core/hedge.hpp"
#include "gateway/core/prefix_affinity.hpp"
#include "gateway/core/retry.hpp"
#include "gateway/route_queue.hpp"

namespace corral::gateway {

struct ActiveRoute;

class RouteState {
 public:
  using Time = std::chrono::steady_clock::time_point;

  RouteState(std::string name, std::size_t queue_limit, bool by_prefix);

  const std::string& name() const { return name_; }
  bool by_prefix() const { return affinity_ != nullptr; }
  RouteQueue& queue() { return queue_; }
  const RouteQueue& queue() const { return queue_; }
  // What was spent is forgotten if they changed.
  void set_budgets(BudgetPolicy retries, BudgetPolicy hedges);
  // The route as it runs now, for requests that began with an older one; null if it is no more.
  void set_current(std::weak_ptr<const ActiveRoute> route);
  std::shared_ptr<const ActiveRoute> current() const;

  void request(Time now);  // each request once
  std::expected<RetryPolicy::Duration, GiveUp> next_try(const RetryPolicy& policy,
                                                        const FailedTry& failed);
  void observe_first_byte(std::chrono::nanoseconds took, Time now);
  // When a second attempt may begin after the first, if at all.
  std::optional<std::chrono::milliseconds> hedge_delay(Time now) const;
  bool may_hedge(Time now);
  std::optional<std::chrono::nanoseconds> quantile(double part, Time now) const;
  // How long such work takes at the targets of the first group that knows; a sample of many.
  std::optional<WorkEstimate::Duration> expect(const Work& work) const;
  // Tells the queue when places become free, from what is under way and how long such work takes;
  // at most a few times a second, however often it is called.
  void forecast(Time now);
  // How long a newcomer would wait, where that is known.
  std::optional<std::chrono::milliseconds> wait_of_newcomer(Time now);

  // Targets that served this prompt's beginning last, newest first.
  std::vector<std::uint64_t> prefix_holders(const PrefixKeys& keys) const;
  void prefix_served(const PrefixKeys& keys, std::uint64_t target);

  struct Counters {
    std::atomic<std::uint64_t> requests{0}, retries{0}, hedges{0}, hedges_won{0}, resumed{0},
        queued{0}, gave_up{0};
  };
  Counters counters;

 private:
  std::string name_;
  RouteQueue queue_;
  mutable std::mutex mutex_;
  std::weak_ptr<const ActiveRoute> current_;
  BudgetPolicy retry_policy_ = BudgetPolicy::for_retries();
  BudgetPolicy hedge_policy_ = BudgetPolicy::for_hedges();
  LoadBudget retries_{BudgetPolicy::for_retries()};
  LoadBudget hedges_{BudgetPolicy::for_hedges()};
  LatencyQuantile first_byte_;
  std::optional<Time> forecast_at_;
  std::unique_ptr<PrefixAffinity> affinity_;  // only where the policy asks for it
};

}  // namespace corral::gateway
