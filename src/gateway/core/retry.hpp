// Whether a failed attempt is tried again, and when. Pure; only for requests of which the client
// has seen nothing yet.
//
// Delays have "full jitter": a random time between nothing and a bound that doubles with each try.
// Example:
//   auto delay = next_try(policy, budget, {.attempts = 1, .outcome = outcome, .now = now,
//                                          .deadline = deadline, .random = random()});
//   if (!delay) give up, for the reason delay.error();
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "gateway/core/load_budget.hpp"
#include "gateway/core/outcome.hpp"

namespace corral::gateway {

struct RetryPolicy {
  using Duration = std::chrono::milliseconds;
  unsigned tries = 3;   // the first among them
  Duration first{100};  // the bound of the first delay
  Duration longest{2'000};

  static RetryPolicy interactive() { return {}; }
  static RetryPolicy background() { return {3, Duration(2'000), Duration(10'000)}; }
};

using RetryBudget = LoadBudget;

enum class GiveUp : std::uint8_t {
  not_retryable,  // it succeeded, the request is at fault, or the caller left
  tries_used,
  deadline,  // the time left ends before the next try would begin
  budget,    // too much of the load is retries already
};
std::string_view to_string(GiveUp reason);

struct FailedTry {
  using Time = std::chrono::steady_clock::time_point;
  unsigned attempts = 1;  // made so far, this one included
  Outcome outcome = Outcome::server_error;
  Time now;
  std::optional<Time> deadline;
  // Only when the next try goes to the target that asked for it: another one knows nothing of it.
  std::optional<std::chrono::seconds> retry_after;
  std::uint64_t random = 0;
};

// How long to wait before the next try, or why there is none. Takes one from the budget only with a
// delay.
std::expected<RetryPolicy::Duration, GiveUp> next_try(const RetryPolicy& policy,
                                                      RetryBudget& budget, const FailedTry& failed);

}  // namespace corral::gateway
