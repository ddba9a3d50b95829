// One value handed from any thread to one waiting coroutine: the bridge between shards.
//
// Thread rule: create and wait on one shard; `fulfil` from any thread, at most once (later calls
// are ignored). A wait that is cancelled returns nullopt and the late value is dropped. Example:
//   auto slot = OneShot<int>::create();
//   other.post([slot] { slot->fulfil(42); });
//   std::optional<int> value = co_await slot->wait();
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "net/task.hpp"

namespace corral::net {

// The untyped half: a flag that wakes one coroutine on the shard that created it.
class Wakeup : public std::enable_shared_from_this<Wakeup> {
 public:
  static std::shared_ptr<Wakeup> create();  // on the waiting shard
  virtual ~Wakeup() = default;
  virtual void notify() = 0;      // any thread; sticky
  virtual Task<bool> wait() = 0;  // false: cancelled before notify
  virtual Task<void> wait_uncancellable() = 0;
};

template <class T>
class OneShot {
 public:
  static std::shared_ptr<OneShot> create() { return std::make_shared<OneShot>(); }

  OneShot() : wakeup_(Wakeup::create()) {}

  bool fulfil(T value) {
    {
      std::lock_guard lock(mutex_);
      if (done_) return false;
      done_ = true;
      value_.emplace(std::move(value));
    }
    wakeup_->notify();
    return true;
  }

  // The waiter gives up: true if no value had come yet (and none will be taken).
  bool abandon() {
    std::lock_guard lock(mutex_);
    return !std::exchange(done_, true);
  }

  Task<std::optional<T>> wait() {
    bool woken = co_await wakeup_->wait();
    if (!woken && abandon()) co_return std::nullopt;
    co_return take();
  }

  Task<std::optional<T>> wait_uncancellable() {
    co_await wakeup_->wait_uncancellable();
    co_return take();
  }

 private:
  std::optional<T> take() {
    std::lock_guard lock(mutex_);
    return std::exchange(value_, std::nullopt);
  }

  std::shared_ptr<Wakeup> wakeup_;
  std::mutex mutex_;
  bool done_ = false;
  std::optional<T> value_;
};

}  // namespace corral::net
