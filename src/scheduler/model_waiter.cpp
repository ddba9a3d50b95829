#include "scheduler/model_waiter.hpp"

namespace corral::scheduler {

bool ModelWaiter::fulfil(Outcome outcome) {
  std::shared_ptr<net::Wakeup> wakeup;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(done_, true)) return false;
    outcome_.emplace(std::move(outcome));
    wakeup = std::exchange(wakeup_, nullptr);
  }
  if (wakeup) wakeup->notify();
  return true;
}

void ModelWaiter::tell(gateway::QueuePlace place) {
  std::shared_ptr<net::Wakeup> wakeup;
  {
    std::lock_guard lock(mutex_);
    if (done_) return;
    place_ = std::move(place);
    wakeup = std::exchange(wakeup_, nullptr);
  }
  if (wakeup) wakeup->notify();
}

net::Task<std::optional<ModelWaiter::News>> ModelWaiter::next() {
  for (bool cancelled = false;;) {
    std::shared_ptr<net::Wakeup> wakeup;
    {
      std::lock_guard lock(mutex_);
      if (outcome_) co_return News(*std::exchange(outcome_, std::nullopt));
      if (cancelled) {
        done_ = true;
        co_return std::nullopt;
      }
      if (place_) co_return News(*std::exchange(place_, std::nullopt));
      wakeup = wakeup_ = net::Wakeup::create();
    }
    bool woken = co_await wakeup->wait();
    cancelled = !woken;
  }
}

}  // namespace corral::scheduler
