// A circuit breaker of one (endpoint, backend model): stops requests to what only fails, and lets a
// few through later to see whether it is well again. Pure: no clock, no threads, no sockets. The
// diagram is in docs/state-machines/breaker.md.
//
// Separately it keeps the cool-down that a 429 asks for, which is not a failure and opens nothing.
//
// Thread rule: one owner, or a lock around it. Memory is fixed; no call allocates.
// Lifecycle: begins closed. Each permit that try_pass() gave goes back exactly once, by report() or
// release(); a permit that is only destroyed keeps its trial place for ever. Report as soon as the
// outcome is known, at the first byte of an answer: a trial place is held until then. Example:
//   auto pass = breaker.try_pass(now);
//   if (!pass.permit) return other_target();
//   ...
//   if (auto change = breaker.report(std::move(pass.permit), Outcome::success, now)) log(*change);
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "gateway/core/mixing.hpp"
#include "gateway/core/outcome.hpp"
#include "gateway/core/sliding_counter.hpp"

namespace corral::gateway {

enum class BreakerState : std::uint8_t {
  closed,     // requests pass
  open,       // none passes
  half_open,  // a few pass, as trials
};
std::string_view to_string(BreakerState state);

enum class BreakerReason : std::uint8_t {
  consecutive_failures,
  error_rate,
  trial_failed,
  recovery_over,    // it was open long enough
  probe_succeeded,  // a health probe says that it is worth a try before that
  trials_succeeded,
  forced,  // by an administrator
};
std::string_view to_string(BreakerReason reason);

struct BreakerTransition {
  BreakerState from;
  BreakerState to;
  BreakerReason reason;
  bool operator==(const BreakerTransition&) const = default;
};

struct BreakerPolicy {
  using Duration = std::chrono::milliseconds;
  unsigned consecutive_failures = 5;  // that open it; 0: this rule is off
  unsigned error_percent = 50;        // of the window's requests that opens it; 0: off
  unsigned minimum_volume = 20;       // requests in the window below which the rate says nothing
  Duration window{10'000};
  Duration recovery{30'000};       // open for so long; doubles with each failed trial in a row
  Duration recovery_max{300'000};  // and up to this
  unsigned jitter_percent = 20;    // the recovery is stretched by a random part of up to this
  // A health probe that succeeds ends the recovery early, but not before this (which doubles with
  // each failed trial, up to `recovery`): some answer every probe and fail every request.
  Duration early_recovery{500};
  unsigned trials = 3;             // at once; 0 counts as 1
  unsigned trial_successes = 3;    // that close it; 0 counts as 1
  Duration cooldown{5'000};        // after a 429 without Retry-After; doubles with each in a row
  Duration cooldown_max{600'000};  // also for what Retry-After says

  static BreakerPolicy for_instance() { return {}; }
  static BreakerPolicy for_remote() {
    BreakerPolicy policy;
    policy.recovery = Duration(60'000);
    return policy;
  }
};

class Breaker {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Transition = std::optional<BreakerTransition>;

  // The right to one request. Empty when none was given, or after it was moved from.
  class Permit {
   public:
    Permit() = default;
    Permit(Permit&& other) noexcept : Permit(std::exchange(other.data_, {})) {}
    Permit& operator=(Permit&& other) noexcept {
      data_ = std::exchange(other.data_, {});
      return *this;
    }
    explicit operator bool() const { return data_.valid; }
    bool trial() const { return data_.trial; }

   private:
    friend class Breaker;
    struct Data {
      std::uint32_t epoch = 0;  // transitions before it was given
      std::uint32_t cools = 0;  // cool-downs before it was given
      bool trial = false;
      bool valid = false;
    };
    explicit Permit(Data data) : data_(data) {}
    Data data_;
  };

  struct Pass {
    Permit permit;          // empty: not now
    Transition transition;  // open -> half_open, when its time had come
  };

  // `seed` begins the random numbers for jitter; take a different one for each breaker.
  Breaker(BreakerPolicy policy, std::uint64_t seed);

  // Whether try_pass() would give a permit. Changes nothing: for choosing among many.
  bool allow(Time now) const;
  Pass try_pass(Time now);
  // Outcomes of requests begun before the last transition change nothing but the cool-down. A
  // success or failure of a trial decides; what proves nothing only gives the place back.
  Transition report(Permit permit, Outcome outcome, Time now,
                    std::optional<std::chrono::seconds> retry_after = std::nullopt);
  void release(Permit permit);  // not used after all

  // The time's own transition, for drivers that wait for next_change_at().
  Transition tick(Time now);
  Transition probe_succeeded(Time now);
  Transition force_open(Time now);   // until force_close(); time and probes change nothing
  Transition force_close(Time now);  // forgets failures, recovery and cool-down as well

  BreakerState state(Time now) const;
  // When requests may begin to pass only because time goes by; none when they may now, or when only
  // an event (a report, an administrator) can lead on.
  std::optional<Time> next_change_at(Time now) const;

  struct Change {
    BreakerReason reason;
    Time at;
    bool operator==(const Change&) const = default;
  };
  struct View {  // for people
    BreakerState state;
    std::optional<Change> last_change;  // why and since when it is in this state; none: always was
    bool forced;
    unsigned trials_under_way;
    unsigned failures_in_a_row;
    std::uint32_t window_requests;
    std::uint32_t window_failures;
    std::optional<Time> opens_again_for_trials;  // while open
    std::optional<Time> cooling_until;
  };
  View view(Time now) const;
  bool cooling(Time now) const { return now < cool_until_; }

 private:
  Transition succeeded(const Permit& permit, Time now);
  Transition failed(Time now);
  Transition open(Time now, BreakerReason reason);
  Transition move_to(BreakerState to, Change change);
  void cool_down(const Permit& permit, Time now, std::optional<std::chrono::seconds> retry_after);
  void give_place_back(const Permit& permit);
  bool rate_too_high(Time now) const;

  BreakerPolicy policy_;
  RandomStream random_;
  BreakerState state_ = BreakerState::closed;
  bool forced_ = false;
  std::optional<Change> last_change_;
  std::uint32_t epoch_ = 0;
  unsigned failures_in_a_row_ = 0;
  unsigned failed_trials_ = 0;     // half-open periods that ended badly, since it was closed
  unsigned trials_under_way_ = 0;  // of this and earlier half-open periods
  unsigned trial_successes_ = 0;   // of this one
  Time open_until_{};
  Time early_from_{};
  Time cool_until_{};
  std::uint32_t cools_ = 0;
  unsigned cool_growth_ = 0;
  SlidingCounter<10> requests_;
  SlidingCounter<10> failures_;
};

}  // namespace corral::gateway
