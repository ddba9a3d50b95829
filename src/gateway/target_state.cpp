#include "gateway/target_state.hpp"

#include <utility>

#include "gateway/core/text_hash.hpp"

namespace corral::gateway {

TargetState::TargetState(std::string endpoint, std::string model, BreakerPolicy policy,
                         Listener listener)
    : endpoint_(std::move(endpoint)),
      model_(std::move(model)),
      id_(hash_of(endpoint_ + '/' + model_)),
      listener_(std::move(listener)),
      breaker_(policy, id_) {}

void TargetState::changed(const Breaker::Transition& transition) {
  if (transition && listener_) listener_(*this, *transition);
}

void TargetState::note_watch(Time now) {
  auto view = breaker_.view(now);
  watched_.store(view.state != BreakerState::closed || view.cooling_until.has_value(),
                 std::memory_order_relaxed);
}

bool TargetState::allow(Time now) const {
  if (!watched_.load(std::memory_order_relaxed)) return true;
  std::lock_guard lock(mutex_);
  return breaker_.allow(now);
}

Breaker::Permit TargetState::try_pass(Time now) {
  Breaker::Pass pass;
  {
    std::lock_guard lock(mutex_);
    pass = breaker_.try_pass(now);
    if (pass.transition) note_watch(now);
  }
  changed(pass.transition);
  return std::move(pass.permit);
}

void TargetState::report(Breaker::Permit permit, Outcome outcome, Time now,
                         std::optional<std::chrono::seconds> retry_after) {
  if (counts_against_endpoint(outcome)) failures_.fetch_add(1, std::memory_order_relaxed);
  if (outcome == Outcome::success) successes_.fetch_add(1, std::memory_order_relaxed);
  Breaker::Transition transition;
  {
    std::lock_guard lock(mutex_);
    transition = breaker_.report(std::move(permit), outcome, now, retry_after);
    if (transition || outcome != Outcome::success) note_watch(now);
  }
  changed(transition);
}

void TargetState::release(Breaker::Permit permit) {
  std::lock_guard lock(mutex_);
  breaker_.release(std::move(permit));
}

void TargetState::observe(std::chrono::nanoseconds first_byte, Time now) {
  std::lock_guard lock(mutex_);
  latency_.observe(first_byte, now);
}

void TargetState::observe_failure(std::chrono::nanoseconds took, Time now) {
  std::lock_guard lock(mutex_);
  latency_.observe_failure(took, now);
}

RunningWork::Number TargetState::begin_work(const Work& work, Time now) {
  std::lock_guard lock(mutex_);
  if (work_ == nullptr) work_ = std::make_unique<Learned>();
  return work_->running.begin(work, now);
}

void TargetState::end_work(RunningWork::Number number, Time now, bool answered) {
  std::lock_guard lock(mutex_);
  const auto item = work_->running.end(number);
  if (!answered) return;
  work_->estimate.learn(item.work, now - item.begun);
  work_->noted = false;
}

std::optional<WorkEstimate::Duration> TargetState::expect(const Work& work) const {
  std::lock_guard lock(mutex_);
  if (work_ == nullptr) return std::nullopt;
  return work_->estimate.predict(work);
}

bool TargetState::append_left(Time now, std::vector<double>& left) const {
  std::lock_guard lock(mutex_);
  return work_ == nullptr || work_->running.append_left(work_->estimate, now, left);
}

std::vector<WorkEstimate::View> TargetState::learned() const {
  std::vector<WorkEstimate::View> all;
  std::lock_guard lock(mutex_);
  if (work_ == nullptr) return all;
  all.reserve(WorkEstimate::kKinds);
  for (std::size_t kind = 0; kind < WorkEstimate::kKinds; ++kind) {
    if (auto view = work_->estimate.view(kind)) all.push_back(*view);
  }
  return all;
}

std::optional<WorkEstimate> TargetState::estimate() const {
  std::lock_guard lock(mutex_);
  if (work_ == nullptr) return std::nullopt;
  return work_->estimate;
}

void TargetState::recall(const WorkEstimate& estimate, bool noted) {
  std::lock_guard lock(mutex_);
  if (work_ == nullptr) work_ = std::make_unique<Learned>();
  work_->estimate = estimate;
  work_->noted = noted;
}

std::optional<WorkEstimate> TargetState::take_learned() {
  std::lock_guard lock(mutex_);
  if (work_ == nullptr || std::exchange(work_->noted, true)) return std::nullopt;
  return work_->estimate;
}

void TargetState::probe_succeeded(Time now) {
  Breaker::Transition transition;
  {
    std::lock_guard lock(mutex_);
    transition = breaker_.probe_succeeded(now);
    note_watch(now);
  }
  changed(transition);
}

void TargetState::force_open() {
  const auto now = std::chrono::steady_clock::now();
  Breaker::Transition transition;
  {
    std::lock_guard lock(mutex_);
    transition = breaker_.force_open(now);
    note_watch(now);
  }
  changed(transition);
}

void TargetState::force_close() {
  const auto now = std::chrono::steady_clock::now();
  Breaker::Transition transition;
  {
    std::lock_guard lock(mutex_);
    transition = breaker_.force_close(now);
    note_watch(now);
  }
  changed(transition);
}

double TargetState::latency_ns(Time now) const {
  std::lock_guard lock(mutex_);
  auto latency = latency_.latency(now);
  return latency ? static_cast<double>(latency->count()) : 0.0;
}

Breaker::View TargetState::view(Time now) const {
  std::lock_guard lock(mutex_);
  return breaker_.view(now);
}

std::optional<TargetState::Time> TargetState::next_change_at(Time now) const {
  std::lock_guard lock(mutex_);
  return breaker_.next_change_at(now);
}

}  // namespace corral::gateway
