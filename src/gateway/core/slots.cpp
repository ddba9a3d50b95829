#include "gateway/core/slots.hpp"

#include <algorithm>
#include <cmath>

namespace corral::gateway {

std::size_t Slots::limit(std::size_t capacity, double share) {
  auto part = std::ceil(static_cast<double>(capacity) * std::clamp(share, 0.0, 1.0));
  return std::max<std::size_t>(1, static_cast<std::size_t>(part));
}

bool Slots::acquire(Time now, double share) {
  if (closed_ || full(share)) return false;
  ++in_flight_;
  last_used_ = now;
  return true;
}

void Slots::release(Time now, bool used) {
  --in_flight_;
  if (used) ++served_;
  last_used_ = now;
}

bool Slots::close_if_idle(Time now, std::chrono::milliseconds idle) {
  if (closed_ || in_flight_ != 0 || now - last_used_ < idle) return false;
  closed_ = true;
  return true;
}

}  // namespace corral::gateway
