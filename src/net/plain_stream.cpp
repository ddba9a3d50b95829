#include "net/plain_stream.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/bug.hpp"
#include "net/shard_impl.hpp"

namespace corral::net {
namespace asio = boost::asio;
namespace {

IoResult from_errno(int number) {
  if (number == EAGAIN || number == EWOULDBLOCK) return {IoStatus::would_block, 0, 0};
  return {IoStatus::failed, 0, number};
}

}  // namespace

PlainStream::PlainStream(Shard& shard, sys::Fd socket) : descriptor_(shard.impl().context) {
  boost::system::error_code error;
  fd_ = socket.get();
  descriptor_.assign(fd_, error);
  if (error) {
    fd_ = -1;
    return;  // is_open() says so; `socket` closes it
  }
  socket.release();
}

PlainStream::~PlainStream() { close(); }

IoResult PlainStream::try_read(std::span<char> into) {
  while (true) {
    ssize_t got = ::recv(fd_, into.data(), into.size(), 0);
    if (got > 0) return {IoStatus::ok, static_cast<std::size_t>(got), 0};
    if (got == 0) return {IoStatus::end, 0, 0};
    if (errno != EINTR) return from_errno(errno);
  }
}

IoResult PlainStream::try_write(std::span<const iovec> parts) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());  // sendmsg does not write to it
  message.msg_iovlen = std::min<std::size_t>(parts.size(), 1024);
  while (true) {
    ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent >= 0) return {IoStatus::ok, static_cast<std::size_t>(sent), 0};
    if (errno != EINTR) return from_errno(errno);
  }
}

Task<bool> PlainStream::wait(Direction direction) {
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none || !is_open()) co_return false;
  auto kind = direction == Direction::read ? asio::posix::descriptor_base::wait_read
                                           : asio::posix::descriptor_base::wait_write;
  auto [error] = co_await descriptor_.async_wait(kind, asio::as_tuple(asio::deferred));
  co_return !error;
}

Task<bool> PlainStream::wait_any() {
  struct Race {
    explicit Race(Shard::Impl& shard) : parked(shard) {}
    Parked parked;
    bool over = false;
  };
  if (!is_open()) co_return false;
  auto race = std::make_shared<Race>(Shard::current()->impl());
  for (auto kind :
       {asio::posix::descriptor_base::wait_read, asio::posix::descriptor_base::wait_write}) {
    descriptor_.async_wait(kind, [race](const boost::system::error_code& error) {
      if (!std::exchange(race->over, true)) race->parked.resume_now(!error);
    });
  }
  bool ready = co_await race->parked.park();
  race->over = true;
  if (is_open()) end_waits();
  co_return ready;
}

void PlainStream::end_waits() {
  boost::system::error_code ignored;
  descriptor_.cancel(ignored);
}

void PlainStream::close() {
  boost::system::error_code ignored;
  if (descriptor_.is_open()) descriptor_.close(ignored);
  fd_ = -1;
}

void PlainStream::shutdown_write() { ::shutdown(fd_, SHUT_WR); }

void PlainStream::reset_on_close() {
  linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

sys::Fd PlainStream::release() {
  fd_ = -1;
  return sys::Fd(descriptor_.is_open() ? descriptor_.release() : -1);
}

std::string PlainStream::peer() const { return peer_name(fd_); }

std::string peer_name(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "unknown";
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return fmt::format("[{}]:{}", text, ntohs(v6.sin6_port));
  }
  return "unix";
}

void set_no_delay(int socket) {
  int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

std::unique_ptr<Stream> make_plain_stream(sys::Fd socket) {
  Shard* shard = Shard::current();
  if (shard == nullptr) BUG("make_plain_stream outside a shard");
  set_no_delay(socket.get());  // fails harmlessly on unix sockets
  return std::make_unique<PlainStream>(*shard, std::move(socket));
}

Task<Result<void>> write_all(Stream& stream, std::span<iovec> parts) {
  while (!parts.empty()) {
    auto result = stream.try_write(parts);
    if (result.status == IoStatus::would_block) {
      bool ready = co_await stream.wait(Direction::write);
      if (!ready) co_return fail(ErrorCode::cancelled, "the connection was closed while writing");
      continue;
    }
    if (result.status != IoStatus::ok) co_return fail_os("cannot write to the peer", result.error);
    std::size_t left = result.bytes;
    while (!parts.empty() && left >= parts.front().iov_len) {
      left -= parts.front().iov_len;
      parts = parts.subspan(1);
    }
    if (!parts.empty()) {
      parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + left;
      parts.front().iov_len -= left;
    }
  }
  co_return Result<void>();
}

}  // namespace corral::net
