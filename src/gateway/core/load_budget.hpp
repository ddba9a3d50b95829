// How much extra load (retries, hedges) is allowed: a part of the requests of the last while, and a
// few a second besides, so that quiet routes may retry at all. When everything fails, retries stay
// a small part of the load instead of multiplying it.
//
// Whenever one is spent as a part, those of the last `window` are at most `percent` of the requests
// of that same window. Besides these there are at most floor_per_second in each second, and one
// second's worth that was saved up.
//
// Thread rule: one owner, or a lock around it. Memory is fixed.
// Example:
//   LoadBudget budget(BudgetPolicy::for_retries());
//   budget.request(now);                  // each request once, at its first attempt
//   if (budget.try_spend(now)) retry();
#pragma once

#include <chrono>

#include "gateway/core/sliding_counter.hpp"

namespace corral::gateway {

struct BudgetPolicy {
  unsigned percent = 20;
  double floor_per_second = 3;  // 0: none; less than 1 a second allows one at a time
  std::chrono::milliseconds window{10'000};
  bool operator==(const BudgetPolicy&) const = default;

  static BudgetPolicy for_retries() { return {}; }
  // A longer window: a route of one request a second may still hedge now and then.
  static BudgetPolicy for_hedges() { return {5, 0, std::chrono::milliseconds(60'000)}; }
};

class LoadBudget {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit LoadBudget(BudgetPolicy policy);

  void request(Time now) { requests_.add(now); }
  // Takes one from the budget; false when there is none left.
  bool try_spend(Time now);
  // How many could be spent now; for people.
  unsigned left(Time now) const;

 private:
  unsigned left_of_part(Time now) const;
  double floor_at(Time now) const;

  BudgetPolicy policy_;
  // The newest bucket is partly filled. With one bucket more for what was spent, that is counted
  // for at least the window, and the requests for at most the window: the bound holds at any
  // moment.
  SlidingCounter<10> requests_;
  SlidingCounter<11> spent_;
  double floor_;
  Time floor_since_{};
};

}  // namespace corral::gateway
