// How many instances one deployment should have: looks at what its requests meet with and at the
// host every second or so, and says when there should be one more or one fewer. Pure: measures and
// the time come in, decisions come out; the driver is scheduler/scaling.hpp.
// Diagram: docs/state-machines/scaling.md.
//
// Rules
// - One more, when a measure has been past its target for `over_target` without a break: the wait
//   for a place, the time to the first token, the tokens/s of each request; or the processors are
//   busy with its requests while there is memory.
// - Only when nothing is being started, `cooldown_up` after the last one, up to `most`, and only
//   where memory is free: nothing is unloaded for it. When there is none that is said once.
// - One fewer, down to `least`, when for `cooldown_down` without a break no measure was past its
//   target, nobody waited, and either nothing was asked of it, or the processors were little used
//   and the fewer instances have places for all; and `cooldown_down` after the last change.
// - The load that brought an instance keeps it: one goes only when there is clearly less (kMargin).
//   So a steady load comes to rest, whatever the measures say of fewer instances.
//
// Measures are smoothed over a part of `over_target`, so that one slow request is no reason.
//
// Thread rule: one owner. `now` never decreases. Lifecycle: plain value; reset() when the
// deployment was unloaded. Example:
//   Autoscaler scaler;
//   if (auto decision = scaler.look(policy, sample, now)) wanted = decision->to;
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "sys/clock.hpp"

namespace corral::scheduler {

enum class ScaleSignal { wait, first_token, tokens, cpu, cpu_low, idle };
std::string_view to_string(ScaleSignal signal);

// What is so now, or since the last look.
struct ScaleSample {
  double cpu = 0;     // part of the processors' time in use
  double memory = 0;  // part of the budget that engines hold
  std::size_t in_flight = 0;
  std::size_t waiting = 0;  // for a place
  std::size_t places = 0;   // of the instances that serve
  // None: no request told.
  std::optional<std::chrono::nanoseconds> wait;
  std::optional<std::chrono::nanoseconds> first_token;
  std::optional<double> tokens_per_second;  // of each request
  unsigned count = 1;                       // instances that serve or are being started
  unsigned starting = 0;                    // of them, or wished for
  unsigned least = 1;
  unsigned most = 1;
  bool room = false;  // memory for another one is free
};

struct ScaleDecision {
  enum class Kind { up, down, held_back };
  Kind kind = Kind::up;
  ScaleSignal signal = ScaleSignal::wait;
  unsigned from = 1;
  unsigned to = 1;
  std::string reason;  // for people
};
std::string_view to_string(ScaleDecision::Kind kind);

class Autoscaler {
 public:
  using Time = sys::Steady;
  using Policy = config::AutoscaleSettings;

  static constexpr double kMargin = 0.7;

  std::optional<ScaleDecision> look(const Policy& policy, const ScaleSample& sample, Time now);
  void reset() { *this = Autoscaler(); }

  std::optional<double> wait_ms() const { return wait_.value; }
  std::optional<double> first_token_ms() const { return first_token_.value; }
  std::optional<double> tokens_per_second() const { return tokens_.value; }

 private:
  static constexpr std::size_t kPressures = 4;  // the signals that ask for more

  // A mean in which older values count for less.
  struct Smooth {
    std::optional<double> value;
    void add(std::optional<double> fresh, double weight);
  };
  void measure(const Policy& policy, const ScaleSample& sample, Time now);
  std::array<bool, kPressures> pressures(const Policy& policy, const ScaleSample& sample) const;
  std::optional<ScaleDecision> more(const Policy& policy, const ScaleSample& sample, Time now);
  std::optional<ScaleDecision> fewer(const Policy& policy, const ScaleSample& sample, Time now);
  std::string why(ScaleSignal signal, const Policy& policy, const ScaleSample& sample) const;
  double load_at(unsigned count) const;

  Smooth wait_, first_token_, tokens_, cpu_, load_;
  std::array<std::optional<Time>, kPressures> over_since_;
  std::optional<Time> calm_since_;
  std::optional<Time> looked_;
  std::optional<Time> last_up_;
  std::optional<Time> last_change_;
  bool said_no_room_ = false;
  std::vector<double> outgrown_;  // by number of instances: the load that was too much for them
};

}  // namespace corral::scheduler
