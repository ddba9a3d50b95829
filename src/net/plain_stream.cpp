#include "net/plain_stream.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/shard_impl.hpp"

namespace corral::net {
namespace {

IoResult from_errno(int number) {
  if (number == EAGAIN || number == EWOULDBLOCK) return {IoStatus::would_block, 0, 0};
  return {IoStatus::failed, 0, number};
}

Task<bool> ready_now() { co_return true; }
Task<bool> never() { co_return false; }

}  // namespace

PlainStream::PlainStream(Shard& shard, sys::Fd socket)
    : shard_(shard.impl()), socket_(std::move(socket)), reader_(shard_), writer_(shard_) {
  token_ = shard_.poller.add(socket_.get(), *this);
  if (token_ < 0) socket_.reset();  // is_open() says so
}

PlainStream::~PlainStream() { close(); }

IoResult PlainStream::try_read(std::span<char> into) {
  // Cleared before the call: whatever comes after it is a new event.
  readable_ = false;
  while (true) {
    ssize_t got = ::recv(socket_.get(), into.data(), into.size(), 0);
    if (got > 0) {
      if (static_cast<std::size_t>(got) == into.size()) readable_ = true;  // perhaps not all of it
      return {IoStatus::ok, static_cast<std::size_t>(got), 0};
    }
    if (got == 0) return {IoStatus::end, 0, 0};
    if (errno != EINTR) return from_errno(errno);
  }
}

IoResult PlainStream::try_write(std::span<const iovec> parts) {
  writable_ = false;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());  // sendmsg does not write to it
  message.msg_iovlen = std::min<std::size_t>(parts.size(), 1024);
  while (true) {
    ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (sent >= 0) return {IoStatus::ok, static_cast<std::size_t>(sent), 0};
    if (errno != EINTR) return from_errno(errno);
  }
}

Task<bool> PlainStream::wait(Direction direction) {
  if (!is_open()) return never();
  if (direction == Direction::write) return writable_ ? ready_now() : writer_.park();
  return maybe_readable() ? ready_now() : reader_.park();
}

Task<bool> PlainStream::wait_any() {
  if (!is_open()) co_return false;
  if (maybe_readable() || writable_) co_return true;
  any_ = true;
  bool ready = co_await reader_.park();
  any_ = false;
  co_return ready;
}

void PlainStream::on_events(std::uint32_t events) {
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) ended_ = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    if (writer_.occupied()) {
      writer_.resume_later(true);
    } else {
      writable_ = true;
    }
  }
  bool readable = (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if (!readable && !(any_ && writable_)) return;
  // Last: either call may destroy this stream.
  if (watcher_ != nullptr && readable) {
    readable_ = true;
    std::exchange(watcher_, nullptr)->on_readable();
  } else if (reader_.occupied()) {
    reader_.resume_now(true);
  } else if (readable) {
    readable_ = true;
  }
}

void PlainStream::leave_poller() {
  if (token_ >= 0) shard_.poller.remove(std::exchange(token_, -1), socket_.get());
  watcher_ = nullptr;
}

void PlainStream::close() {
  if (!is_open()) return;
  leave_poller();
  socket_.reset();
  reader_.resume_later(false);
  writer_.resume_later(false);
}

void PlainStream::shutdown_write() { ::shutdown(socket_.get(), SHUT_WR); }

void PlainStream::reset_on_close() {
  linger now{1, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

sys::Fd PlainStream::release() {
  leave_poller();
  return std::move(socket_);
}

std::string PlainStream::peer() const { return peer_name(socket_.get()); }

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
  Shard& shard = Shard::needed_by("make_plain_stream");
  set_no_delay(socket.get());  // fails harmlessly on unix sockets
  return std::make_unique<PlainStream>(shard, std::move(socket));
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
