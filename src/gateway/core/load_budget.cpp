#include "gateway/core/load_budget.hpp"

#include <algorithm>

namespace corral::gateway {
namespace {

double most_saved(const BudgetPolicy& policy) {
  return policy.floor_per_second > 0 ? std::max(policy.floor_per_second, 1.0) : 0.0;
}

}  // namespace

LoadBudget::LoadBudget(BudgetPolicy policy)
    : policy_(policy),
      requests_(policy.window / 10),
      spent_(policy.window / 10),
      floor_(most_saved(policy)) {}

unsigned LoadBudget::left_of_part(Time now) const {
  std::uint64_t allowed = std::uint64_t{requests_.total(now)} * policy_.percent / 100;
  std::uint64_t spent = spent_.total(now);
  return allowed > spent ? static_cast<unsigned>(allowed - spent) : 0;
}

double LoadBudget::floor_at(Time now) const {
  if (now <= floor_since_) return floor_;
  double passed = std::chrono::duration<double>(now - floor_since_).count();
  return std::min(floor_ + passed * policy_.floor_per_second, most_saved(policy_));
}

bool LoadBudget::try_spend(Time now) {
  if (left_of_part(now) > 0) {
    spent_.add(now);
    return true;
  }
  floor_ = floor_at(now);
  floor_since_ = std::max(floor_since_, now);
  if (floor_ < 1.0) return false;
  floor_ -= 1.0;
  return true;
}

unsigned LoadBudget::left(Time now) const {
  return left_of_part(now) + static_cast<unsigned>(floor_at(now));
}

}  // namespace corral::gateway
