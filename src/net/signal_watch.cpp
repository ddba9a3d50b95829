#include <boost/asio/signal_set.hpp>

#include "base/bug.hpp"
#include "net/shard.hpp"
#include "net/shard_impl.hpp"

namespace corral::net {
namespace asio = boost::asio;

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
