#include "scheduler/core/autoscaler.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.hpp"

namespace corral::scheduler {
namespace {

using Step = ScaleDecision::Kind;
using Seconds = std::chrono::duration<double>;

// Measures follow within this part of the time that they must be past their target.
constexpr double kSmoothed = 0.1;
constexpr double kLeastSmoothed = 1;
constexpr double kMostSmoothed = 30;  // seconds

std::optional<double> milliseconds(std::optional<std::chrono::nanoseconds> value) {
  if (!value) return std::nullopt;
  return std::chrono::duration<double, std::milli>(*value).count();
}

std::string duration_text(double ms) {
  return format_duration(std::chrono::milliseconds(std::llround(ms)));
}

std::string percent(double part) { return fmt::format("{:.0f} %", part * 100); }

}  // namespace

std::string_view to_string(ScaleSignal signal) {
  switch (signal) {
    case ScaleSignal::wait: return "wait";
    case ScaleSignal::first_token: return "first_token";
    case ScaleSignal::tokens: return "tokens";
    case ScaleSignal::cpu: return "cpu";
    case ScaleSignal::cpu_low: return "cpu_low";
    case ScaleSignal::idle: return "idle";
  }
  return "unknown";
}

std::string_view to_string(ScaleDecision::Kind kind) {
  switch (kind) {
    case Step::up: return "up";
    case Step::down: return "down";
    case Step::held_back: return "held_back";
  }
  return "unknown";
}

void Autoscaler::Smooth::add(std::optional<double> fresh, double weight) {
  if (!fresh) return;
  value = value ? *value + (*fresh - *value) * weight : *fresh;
}

void Autoscaler::measure(const Policy& policy, const ScaleSample& sample, Time now) {
  double span =
      std::clamp(Seconds(policy.over_target).count() * kSmoothed, kLeastSmoothed, kMostSmoothed);
  double passed = looked_ ? Seconds(now - *looked_).count() : span;
  double weight = 1 - std::exp(-passed / span);
  looked_ = now;
  double load = static_cast<double>(sample.in_flight + sample.waiting);
  cpu_.add(sample.cpu, weight);
  load_.add(load, weight);
  if (sample.in_flight + sample.waiting == 0 && !sample.wait && !sample.first_token) {
    // What was measured before says nothing of a model that nobody asks.
    wait_.add(0, weight);
    first_token_.value.reset();
    tokens_.value.reset();
    return;
  }
  wait_.add(milliseconds(sample.wait), weight);
  first_token_.add(milliseconds(sample.first_token), weight);
  tokens_.add(sample.tokens_per_second, weight);
}

std::array<bool, Autoscaler::kPressures> Autoscaler::pressures(const Policy& policy,
                                                               const ScaleSample& sample) const {
  auto over = [](const Smooth& measure, std::chrono::milliseconds target) {
    return target.count() > 0 && measure.value &&
           *measure.value > static_cast<double>(target.count());
  };
  bool asked = sample.in_flight + sample.waiting > 0;
  return {over(wait_, policy.wait_target), over(first_token_, policy.first_token_target),
          policy.tokens_target > 0 && tokens_.value && *tokens_.value < policy.tokens_target,
          asked && *cpu_.value > policy.cpu_high && sample.memory < policy.memory_high};
}

double Autoscaler::load_at(unsigned count) const {
  return count < outgrown_.size() ? outgrown_[count] : 0;
}

std::optional<ScaleDecision> Autoscaler::look(const Policy& policy, const ScaleSample& sample,
                                              Time now) {
  measure(policy, sample, now);
  auto pressed = pressures(policy, sample);
  for (std::size_t i = 0; i < kPressures; ++i) {
    if (!pressed[i]) {
      over_since_[i].reset();
    } else if (!over_since_[i]) {
      over_since_[i] = now;
    }
  }
  bool any = std::ranges::find(pressed, true) != pressed.end();
  if (!any) said_no_room_ = false;
  if (auto decision = more(policy, sample, now)) return decision;
  if (any || sample.count <= sample.least) {
    calm_since_.reset();
    return std::nullopt;
  }
  return fewer(policy, sample, now);
}

std::optional<ScaleDecision> Autoscaler::more(const Policy& policy, const ScaleSample& sample,
                                              Time now) {
  if (sample.starting > 0 || sample.count >= sample.most) return std::nullopt;
  if (last_up_ && now - *last_up_ < policy.cooldown_up) return std::nullopt;
  for (std::size_t i = 0; i < kPressures; ++i) {
    if (!over_since_[i] || now - *over_since_[i] < policy.over_target) continue;
    auto signal = static_cast<ScaleSignal>(i);
    ScaleDecision decision{Step::up, signal, sample.count, sample.count + 1,
                           why(signal, policy, sample)};
    if (!sample.room) {
      if (std::exchange(said_no_room_, true)) return std::nullopt;
      decision.kind = Step::held_back;
      decision.to = decision.from;
      decision.reason += "; but no memory is free for another instance";
      return decision;
    }
    outgrown_.resize(std::max<std::size_t>(outgrown_.size(), sample.count + 1));
    outgrown_[sample.count] = *load_.value;
    last_up_ = last_change_ = now;
    calm_since_.reset();
    over_since_ = {};
    return decision;
  }
  return std::nullopt;
}

std::optional<ScaleDecision> Autoscaler::fewer(const Policy& policy, const ScaleSample& sample,
                                               Time now) {
  bool idle = sample.in_flight + sample.waiting == 0 && !sample.wait;
  const unsigned fewer = sample.count - 1;
  double places = static_cast<double>(sample.places) * fewer / sample.count;
  bool enough =
      *load_.value <= places && (load_at(fewer) == 0 || *load_.value < kMargin * load_at(fewer));
  bool calm = sample.waiting == 0 && (idle || (*cpu_.value < policy.cpu_low && enough));
  if (!calm || (idle && !enough)) {
    calm_since_.reset();
    return std::nullopt;
  }
  if (!calm_since_) calm_since_ = now;
  if (now - *calm_since_ < policy.cooldown_down) return std::nullopt;
  if (last_change_ && now - *last_change_ < policy.cooldown_down) return std::nullopt;
  auto signal = idle ? ScaleSignal::idle : ScaleSignal::cpu_low;
  last_change_ = calm_since_ = now;
  return ScaleDecision{Step::down, signal, sample.count, fewer, why(signal, policy, sample)};
}

std::string Autoscaler::why(ScaleSignal signal, const Policy& policy,
                            const ScaleSample& sample) const {
  std::string over = format_duration(policy.over_target);
  switch (signal) {
    case ScaleSignal::wait:
      return fmt::format("for {} requests waited {} for a place, over {}", over,
                         duration_text(*wait_.value), format_duration(policy.wait_target));
    case ScaleSignal::first_token:
      return fmt::format("for {} the first token took {}, over {}", over,
                         duration_text(*first_token_.value),
                         format_duration(policy.first_token_target));
    case ScaleSignal::tokens:
      return fmt::format("for {} each request got {:.1f} tokens/s, under {:.1f}", over,
                         *tokens_.value, policy.tokens_target);
    case ScaleSignal::cpu:
      return fmt::format(
          "for {} {} of the processors' time was used, over {}, and {} of the memory,"
          " under {}",
          over, percent(*cpu_.value), percent(policy.cpu_high), percent(sample.memory),
          percent(policy.memory_high));
    case ScaleSignal::cpu_low:
      return fmt::format("for {} {} of the processors' time was used, under {}",
                         format_duration(policy.cooldown_down), percent(*cpu_.value),
                         percent(policy.cpu_low));
    case ScaleSignal::idle:
      return fmt::format("nothing was asked of it for {}", format_duration(policy.cooldown_down));
  }
  return {};
}

}  // namespace corral::scheduler
