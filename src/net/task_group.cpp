#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/intrusive/list.hpp>
#include <condition_variable>
#include <deque>
#include <exception>
#include <thread>

#include "base/bug.hpp"
#include "net/shard.hpp"
#include "net/shard_impl.hpp"

namespace corral::net {
namespace asio = boost::asio;
namespace {

// A named coroutine: cancelled waits must fail with a value instead of throwing.
Task<void> run_quietly(Task<void> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(task);
}

std::string describe(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& caught) {
    return caught.what();
  } catch (...) {
    return "unknown exception";
  }
}

}  // namespace

struct TaskGroup::Impl : std::enable_shared_from_this<TaskGroup::Impl> {
  struct Entry : boost::intrusive::list_base_hook<> {
    asio::cancellation_signal signal;
  };

  explicit Impl(Shard& owner) : shard(&owner), mailbox(owner.impl().mailbox), emptied(owner.impl()) {}

  // Ends the count of one coroutine, also when its frame is destroyed unfinished.
  class Guard {
   public:
    Guard(std::shared_ptr<Impl> impl, std::unique_ptr<Entry> entry)
        : impl_(std::move(impl)), entry_(std::move(entry)) {}
    Guard(Guard&&) = default;
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (impl_) impl_->ended(std::move(entry_));
    }

   private:
    std::shared_ptr<Impl> impl_;
    std::unique_ptr<Entry> entry_;
  };

  void start(Task<void> task) {
    auto entry = std::make_unique<Entry>();
    entries.push_back(*entry);
    auto slot = entry->signal.slot();
    asio::co_spawn(shard->impl().context, run_quietly(std::move(task)),
                   asio::bind_cancellation_slot(
                       slot, [guard = Guard(shared_from_this(), std::move(entry))](
                                 std::exception_ptr error) {
                         if (error) BUG("an exception left a coroutine: " + describe(error));
                       }));
  }

  void ended(std::unique_ptr<Entry> entry) {
    entries.erase(entries.iterator_to(*entry));
    --count;
    if (count == 0) emptied.resume_later(true);
  }

  void cancel() {
    // Cancelled waits end through the event loop, so the list stays as it is meanwhile.
    for (auto& entry : entries) entry.signal.emit(asio::cancellation_type::terminal);
  }

  Shard* shard;
  std::shared_ptr<Mailbox> mailbox;
  boost::intrusive::list<Entry, boost::intrusive::constant_time_size<false>> entries;
  std::atomic<std::size_t> count{0};  // with those still on their way to the shard
  std::atomic<bool> closed{false};
  Parked emptied;
};

TaskGroup::TaskGroup(Shard& shard) : impl_(std::make_shared<Impl>(shard)) {}

TaskGroup::~TaskGroup() {
  if (impl_->count != 0) BUG("a task group was destroyed with coroutines left");
}

bool TaskGroup::spawn(Task<void> task) {
  if (impl_->closed) return false;
  ++impl_->count;
  if (impl_->shard->is_current()) {
    impl_->start(std::move(task));
    return true;
  }
  impl_->mailbox->post([impl = impl_, task = std::move(task)]() mutable {
    if (!impl->closed) {
      impl->start(std::move(task));
    } else if (--impl->count == 0) {
      impl->emptied.resume_later(true);
    }
  });
  return true;
}

std::size_t TaskGroup::running() const { return impl_->count; }
void TaskGroup::cancel() { impl_->cancel(); }

Task<void> TaskGroup::close() {
  auto impl = impl_;
  impl->closed = true;
  impl->cancel();
  while (impl->count != 0) co_await impl->emptied.park_uncancellable();
}

struct BlockingPool::Impl {
  std::mutex mutex;
  std::condition_variable ready;
  std::deque<std::function<void()>> queue;
  bool ending = false;
  std::vector<std::thread> threads;

  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      ready.wait(lock, [this] { return ending || !queue.empty(); });
      if (queue.empty()) return;
      auto work = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
    }
  }
};

BlockingPool::BlockingPool(std::size_t threads) : impl_(std::make_unique<Impl>()) {
  for (std::size_t i = 0; i < std::max<std::size_t>(threads, 1); ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->run(); });
  }
}

BlockingPool::~BlockingPool() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->ending = true;
  }
  impl_->ready.notify_all();
  for (auto& thread : impl_->threads) thread.join();
}

void BlockingPool::post(std::function<void()> work) {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->queue.push_back(std::move(work));
  }
  impl_->ready.notify_one();
}

struct SignalWatch::Impl : std::enable_shared_from_this<SignalWatch::Impl> {
  Impl(Shard& control, std::function<void(int)> call)
      : set(control.impl().context), handler(std::move(call)) {}

  void arm() {
    set.async_wait([self = shared_from_this()](const boost::system::error_code& error, int number) {
      if (error || self->ended) return;
      self->handler(number);
      if (!self->ended) self->arm();
    });
  }

  asio::signal_set set;
  std::function<void(int)> handler;
  bool ended = false;
};

SignalWatch::SignalWatch(Shard& control, std::vector<int> signals, std::function<void(int)> handler)
    : impl_(std::make_shared<Impl>(control, std::move(handler))) {
  for (int number : signals) {
    boost::system::error_code error;
    impl_->set.add(number, error);
    if (error) BUG("cannot watch a signal: " + error.message());
  }
  impl_->arm();
}

SignalWatch::~SignalWatch() {
  impl_->ended = true;
  boost::system::error_code ignored;
  impl_->set.cancel(ignored);
  impl_->set.clear(ignored);
}

}  // namespace corral::net
