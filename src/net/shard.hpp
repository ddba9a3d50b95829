// Shards: one event loop and one thread each. An object belongs to its shard; other shards reach it
// by `post`. The control shard runs on the thread that calls `run_control()` (main), outlives the
// others and owns child processes; the serving shards carry connections.
//
// Thread rule: `post` and `spawn` may be called from any thread; all else from the shard's own.
// Lifecycle: construct, `start()`, `run_control()` returns after `stop()`, destroy.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "net/task.hpp"

namespace corral::net {

class Shard {
 public:
  struct Impl;  // holds the io_context; for src/net only
  explicit Shard(std::size_t index);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  std::size_t index() const { return index_; }  // 0..n-1 serving, n the control shard
  void post(std::function<void()> work);
  // Runs `action` every `period` on this shard until the shard ends (coarse timers, sweeps).
  void every(std::chrono::milliseconds period, std::function<void()> action);
  bool is_current() const;
  static Shard* current();  // the shard of the calling thread, or nullptr
  // The shard of the calling thread for `who`, which cannot be without: elsewhere the program ends.
  static Shard& needed_by(std::string_view who);
  Impl& impl() { return *impl_; }

 private:
  std::size_t index_;
  std::unique_ptr<Impl> impl_;
};

class Shards {
 public:
  explicit Shards(std::size_t serving_shards);
  ~Shards();

  void start();        // threads of the serving shards
  void run_control();  // until stop(); call from main
  void stop();         // ends every loop; thread-safe; idempotent
  void join();

  std::size_t serving_count() const { return serving_.size(); }
  Shard& serving(std::size_t index) { return *serving_[index]; }
  Shard& control() { return *control_; }
  // Runs `work(shard)` on each serving shard.
  void post_all(const std::function<void(Shard&)>& work);

 private:
  std::vector<std::unique_ptr<Shard>> serving_;
  std::unique_ptr<Shard> control_;
  struct Threads;
  std::unique_ptr<Threads> threads_;
};

// Counts the coroutines of an owner, refuses new ones when closed, and lets the owner wait for
// them. Thread rule: belongs to one shard. Nothing is spawned detached anywhere else.
class TaskGroup {
 public:
  explicit TaskGroup(Shard& shard);
  ~TaskGroup();  // BUG() if coroutines are left

  // False when closed (the task is dropped). An exception that escapes is a BUG().
  bool spawn(Task<void> task);
  std::size_t running() const;
  void cancel();       // asks all to end: their pending waits fail with `cancelled`
  Task<void> close();  // refuses new ones, cancels, waits until none is left

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Blocking work (SQL, files, DNS) on a bounded pool.
class BlockingPool {
 public:
  explicit BlockingPool(std::size_t threads);
  ~BlockingPool();  // finishes what was queued
  void post(std::function<void()> work);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Runs `work` on the pool and resumes on the calling shard. Not cancellable: it always finishes.
template <class T>
Task<T> run_blocking(BlockingPool& pool, std::function<T()> work);

// Signals to the process, delivered on the control shard.
class SignalWatch {
 public:
  // `handler(signal_number)`; signals not named keep their action.
  SignalWatch(Shard& control, std::vector<int> signals, std::function<void(int)> handler);
  ~SignalWatch();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace corral::net

#include "net/one_shot.hpp"

namespace corral::net {

template <class T>
Task<T> run_blocking(BlockingPool& pool, std::function<T()> work) {
  auto slot = OneShot<T>::create();
  pool.post([slot, work = std::move(work)] { slot->fulfil(work()); });
  auto value = co_await slot->wait_uncancellable();
  co_return std::move(*value);
}

// Runs `work` on another shard and resumes on the calling one. Not cancellable.
template <class T>
Task<T> call_on(Shard& shard, std::function<T()> work) {
  auto slot = OneShot<T>::create();
  shard.post([slot, work = std::move(work)] { slot->fulfil(work()); });
  auto value = co_await slot->wait_uncancellable();
  co_return std::move(*value);
}

// Cancels a group of another shard and returns when that is done.
Task<void> cancel_on(Shard& shard, TaskGroup& group);

template <class T>
Task<void> fulfil_optional(Task<T> task, std::shared_ptr<OneShot<std::optional<T>>> slot) {
  T value = co_await std::move(task);
  slot->fulfil(std::optional<T>(std::move(value)));
}

// Runs a coroutine within the group of another shard and resumes on the calling one. Nothing when
// the group was closed, or when the caller was cancelled: the coroutine goes on all the same.
template <class T>
Task<std::optional<T>> run_on(Shard& shard, TaskGroup& group, std::function<Task<T>()> work) {
  auto slot = OneShot<std::optional<T>>::create();
  shard.post([slot, &group, work = std::move(work)] {
    if (!group.spawn(fulfil_optional(work(), slot))) slot->fulfil(std::nullopt);
  });
  auto value = co_await slot->wait();
  co_return value ? std::move(*value) : std::nullopt;
}

}  // namespace corral::net
