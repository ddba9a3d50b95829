#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/intrusive/list.hpp>
#include <exception>

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

  explicit Impl(Shard& owner)
      : shard(&owner), mailbox(owner.impl().mailbox), emptied(owner.impl()) {}

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
    asio::co_spawn(
        shard->impl().context, run_quietly(std::move(task)),
        asio::bind_cancellation_slot(
            slot, [guard = Guard(shared_from_this(), std::move(entry))](std::exception_ptr error) {
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

}  // namespace corral::net
