// A line of coroutines of one shard, of which one at a time goes on: for changes that read, check
// and write with waits between.
//
// Thread rule: belongs to one shard. Lifecycle: outlives every turn, and whoever waits for one.
// Example:
//   auto turn = co_await turns.take();
//   if (!turn) co_return cancelled();
//   ...  // nobody else is here until `turn` ends
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "net/one_shot.hpp"
#include "net/task.hpp"

namespace corral::gateway {

class Turns {
 public:
  class Turn {
   public:
    Turn() = default;
    explicit Turn(Turns& turns) : turns_(&turns) {}
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->next();
    }
    explicit operator bool() const { return turns_ != nullptr; }

   private:
    Turns* turns_ = nullptr;
  };

  // In the order of asking; empty when the caller was cancelled while it waited.
  net::Task<Turn> take() {
    if (!std::exchange(taken_, true)) co_return Turn(*this);
    auto mine = net::OneShot<bool>::create();
    waiting_.push_back(mine);
    auto granted = co_await mine->wait();
    if (!granted) co_return Turn();
    co_return Turn(*this);
  }

 private:
  void next() {
    while (!waiting_.empty()) {
      auto first = std::move(waiting_.front());
      waiting_.pop_front();
      if (first->fulfil(true)) return;
    }
    taken_ = false;
  }

  bool taken_ = false;
  std::deque<std::shared_ptr<net::OneShot<bool>>> waiting_;
};

}  // namespace corral::gateway
