#include "gateway/core/retry.hpp"

#include <algorithm>

#include "gateway/core/jitter.hpp"

namespace corral::gateway {
namespace {

using Duration = RetryPolicy::Duration;

Duration delay_before(const RetryPolicy& policy, const FailedTry& failed) {
  unsigned earlier = failed.attempts > 0 ? failed.attempts - 1 : 0;
  auto bound = doubled(policy.first, earlier, policy.longest);
  auto delay = stretched(Duration(0), bound, failed.random);
  if (!failed.retry_after || failed.retry_after->count() <= 0) return delay;
  // A bound, since a hostile number of seconds would overflow; no deadline is as far away.
  return delay + Duration(std::min(*failed.retry_after, std::chrono::seconds(86'400)));
}

}  // namespace

std::string_view to_string(GiveUp reason) {
  switch (reason) {
    case GiveUp::not_retryable: return "not_retryable";
    case GiveUp::tries_used: return "tries_used";
    case GiveUp::deadline: return "deadline";
    case GiveUp::budget: return "budget";
  }
  return "unknown";
}

std::expected<Duration, GiveUp> next_try(const RetryPolicy& policy, RetryBudget& budget,
                                         const FailedTry& failed) {
  if (!retryable(failed.outcome)) return std::unexpected(GiveUp::not_retryable);
  if (failed.attempts >= policy.tries) return std::unexpected(GiveUp::tries_used);
  auto delay = delay_before(policy, failed);
  if (failed.deadline && failed.now + delay >= *failed.deadline) {
    return std::unexpected(GiveUp::deadline);
  }
  if (!budget.try_spend(failed.now)) return std::unexpected(GiveUp::budget);
  return delay;
}

}  // namespace corral::gateway
