#include "net/task.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include "net/shard_impl.hpp"

namespace corral::net {
namespace asio = boost::asio;
namespace {

Error cancelled_wait() { return fail(ErrorCode::cancelled, "the work was cancelled"); }

// Lends a descriptor to the event loop and takes it back, however the wait ends.
class LentDescriptor {
 public:
  LentDescriptor(asio::io_context& context, int fd) : descriptor_(context) {
    descriptor_.assign(fd, error_);
  }
  ~LentDescriptor() {
    if (descriptor_.is_open()) descriptor_.release();
  }
  LentDescriptor(const LentDescriptor&) = delete;
  LentDescriptor& operator=(const LentDescriptor&) = delete;

  asio::posix::stream_descriptor& get() { return descriptor_; }
  const boost::system::error_code& error() const { return error_; }

 private:
  asio::posix::stream_descriptor descriptor_;
  boost::system::error_code error_;
};

}  // namespace

Task<Result<void>> sleep_for(std::chrono::nanoseconds duration) {
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) co_return cancelled_wait();
  asio::steady_timer timer(Shard::current()->impl().context);
  timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(duration));
  auto [error] = co_await timer.async_wait(asio::as_tuple(asio::deferred));
  if (error) co_return cancelled_wait();
  co_return Result<void>();
}

Task<void> yield_turn() { co_await asio::post(Shard::current()->impl().context, asio::deferred); }

Task<Result<void>> wait_readable(int fd) {
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) co_return cancelled_wait();
  LentDescriptor lent(Shard::current()->impl().context, fd);
  if (lent.error()) co_return fail_os("cannot watch a descriptor", lent.error().value());
  auto [error] = co_await lent.get().async_wait(asio::posix::descriptor_base::wait_read,
                                                asio::as_tuple(asio::deferred));
  if (error == asio::error::operation_aborted) co_return cancelled_wait();
  if (error) co_return fail_os("cannot wait for a descriptor", error.value());
  co_return Result<void>();
}

}  // namespace corral::net
