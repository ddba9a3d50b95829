#include "net/one_shot.hpp"

#include "net/shard_impl.hpp"

namespace corral::net {
namespace {

class ShardWakeup final : public Wakeup {
 public:
  explicit ShardWakeup(Shard& shard)
      : shard_(&shard), mailbox_(shard.impl().mailbox), parked_(shard.impl()) {}

  void notify() override {
    if (Shard::current() == shard_) {
      notified_ = true;
      parked_.resume_later(true);
      return;
    }
    mailbox_->post(
        [self = std::static_pointer_cast<ShardWakeup>(shared_from_this())] { self->notify(); });
  }

  Task<bool> wait() override {
    auto self = shared_from_this();  // the notifier may be the last other owner
    if (notified_) co_return true;
    bool woken = co_await parked_.park();
    co_return woken || notified_;
  }

  Task<void> wait_uncancellable() override {
    auto self = shared_from_this();
    if (notified_) co_return;
    co_await parked_.park_uncancellable();
  }

 private:
  Shard* shard_;  // only compared, unless it is the calling thread's
  std::shared_ptr<Mailbox> mailbox_;
  Parked parked_;
  bool notified_ = false;  // on the shard only
};

}  // namespace

std::shared_ptr<Wakeup> Wakeup::create() {
  return std::make_shared<ShardWakeup>(Shard::needed_by("Wakeup::create"));
}

}  // namespace corral::net
