#include "net/parked.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/bug.hpp"
#include "net/shard_impl.hpp"

namespace corral::net {
namespace asio = boost::asio;

Parked::~Parked() { drop(); }

Task<bool> Parked::park() {
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) co_return false;
  bool value = co_await asio::async_initiate<const asio::deferred_t, void(bool)>(
      [this](auto handler) {
        auto slot = asio::get_associated_cancellation_slot(handler);
        hold(Handler(std::move(handler)), slot);
      },
      asio::deferred);
  co_return value;
}

Task<bool> Parked::park_uncancellable() {
  bool value = co_await asio::async_initiate<const asio::deferred_t, void(bool)>(
      [this](auto handler) { hold(Handler(std::move(handler)), asio::cancellation_slot()); },
      asio::deferred);
  co_return value;
}

void Parked::hold(Handler handler, asio::cancellation_slot slot) {
  if (occupied()) BUG("two coroutines parked in one place");
  handler_ = std::move(handler);
  slot_ = slot;
  shard_.parked.push_back(*this);
  if (slot_.is_connected()) {
    slot_.assign([this](asio::cancellation_type) { resume_later(false); });
  }
}

Parked::Handler Parked::take() {
  if (is_linked()) unlink();
  // The slot is the coroutine's and lives on; it must not remember us.
  if (slot_.is_connected()) slot_.clear();
  slot_ = asio::cancellation_slot();
  return std::move(handler_);
}

void Parked::resume_now(bool value) {
  if (!occupied()) return;
  auto handler = take();
  std::move(handler)(value);
}

void Parked::resume_later(bool value) {
  if (!occupied()) return;
  asio::post(shard_.context, [handler = take(), value]() mutable { std::move(handler)(value); });
}

void Parked::drop() {
  if (occupied()) take();
}

}  // namespace corral::net
