#include "gateway/placement.hpp"

namespace corral::gateway {

Placement& Placement::operator=(Placement&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::move(other.state_);
    permit_ = std::move(other.permit_);
    lease_ = std::move(other.lease_);
    model = std::move(other.model);
    defaults = std::move(other.defaults);
  }
  return *this;
}

void Placement::report(Outcome outcome, std::optional<std::chrono::seconds> retry_after) {
  if (!permit_) return;
  state_->report(std::move(permit_), outcome, std::chrono::steady_clock::now(), retry_after);
}

void Placement::give_back() { release(); }

void Placement::return_unused() {
  lease_.give_back_unused();
  release();
}

void Placement::release() {
  if (permit_) state_->release(std::move(permit_));
  lease_.give_back();
}

}  // namespace corral::gateway
