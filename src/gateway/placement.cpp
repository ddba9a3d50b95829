#include "gateway/placement.hpp"

namespace corral::gateway {

Placement& Placement::operator=(Placement&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
    permit_ = std::move(other.permit_);
    lease_ = std::move(other.lease_);
    work_ = std::exchange(other.work_, 0);
    answered_ = std::exchange(other.answered_, false);
    model = std::move(other.model);
    defaults = std::move(other.defaults);
  }
  return *this;
}

void Placement::report(Outcome outcome, std::optional<std::chrono::seconds> retry_after) {
  if (!permit_) return;
  // A trial succeeds before its answer is whole.
  answered_ = outcome == Outcome::success && !permit_.trial();
  state_->report(std::move(permit_), outcome, std::chrono::steady_clock::now(), retry_after);
}

void Placement::begin(const Work& work, std::chrono::steady_clock::time_point now) {
  if (state_ != nullptr && work_ == 0) work_ = state_->begin_work(work, now);
}

void Placement::give_back() { release(); }

void Placement::return_unused() {
  lease_.give_back_unused();
  release();
}

void Placement::release() {
  if (work_ != 0) {
    state_->end_work(std::exchange(work_, 0), std::chrono::steady_clock::now(), answered_);
  }
  if (permit_) state_->release(std::move(permit_));
  lease_.give_back();
}

}  // namespace corral::gateway
