#include "gateway/waiting_room.hpp"

#include <algorithm>

#include "gateway/route_state.hpp"

namespace corral::gateway {
namespace {

constexpr std::chrono::seconds kBetweenUpdates{1};

}  // namespace

std::unique_ptr<Turn> WaitingRoom::join(const std::shared_ptr<RouteState>& route,
                                        QueueRequest request) {
  auto now = std::chrono::steady_clock::now();
  auto turn = route->queue().join(std::move(request), now);
  if (turn == nullptr) return nullptr;
  {
    std::lock_guard lock(mutex_);
    if (std::ranges::find(busy_, route) == busy_.end()) busy_.push_back(route);
    routes_.store(busy_.size());
  }
  // A place may have become free between the look and the joining.
  route->queue().pump(now);
  return turn;
}

std::vector<std::shared_ptr<RouteState>> WaitingRoom::busy() const {
  std::lock_guard lock(mutex_);
  return busy_;
}

void WaitingRoom::poke() {
  if (routes_.load() == 0) return;
  auto now = std::chrono::steady_clock::now();
  for (const auto& route : busy()) route->queue().pump(now);
}

void WaitingRoom::tick() {
  if (routes_.load() == 0) return;
  auto now = std::chrono::steady_clock::now();
  bool updates = now - updated_ >= kBetweenUpdates;
  if (updates) updated_ = now;
  for (const auto& route : busy()) {
    if (updates) route->forecast(now);
    route->queue().tick(now, updates);
    route->queue().pump(now);
  }
  std::lock_guard lock(mutex_);
  std::erase_if(busy_, [](const auto& route) { return route->queue().waiting() == 0; });
  routes_.store(busy_.size());
}

std::size_t WaitingRoom::waiting() const {
  std::size_t sum = 0;
  for (const auto& route : busy()) sum += route->queue().waiting();
  return sum;
}

}  // namespace corral::gateway
