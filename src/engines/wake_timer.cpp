#include "engines/wake_timer.hpp"

#include <algorithm>
#include <utility>

namespace corral::engines {

WakeTimer::WakeTimer(net::Shard& shard, const sys::Clock& clock, std::function<void()> wake)
    : clock_(clock), wake_(std::move(wake)), sleeps_(shard) {}

void WakeTimer::set(std::optional<sys::Steady> at) {
  if (at == armed_for_) return;
  armed_for_ = at;
  sleeps_.cancel();
  if (at) sleeps_.spawn(sleep_then_wake(*at));
}

net::Task<void> WakeTimer::sleep_then_wake(sys::Steady until) {
  auto left = std::max(until - clock_.now(), sys::Steady::duration::zero());
  auto slept = co_await net::sleep_for(left);
  // Replaced by another meanwhile, though too late to be cancelled?
  if (!slept || armed_for_ != until) co_return;
  armed_for_.reset();
  wake_();
}

net::Task<void> WakeTimer::close() { co_await sleeps_.close(); }

}  // namespace corral::engines
