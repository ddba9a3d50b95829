// From a target to a connected stream: names, addresses, sockets, TLS.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/this_coro.hpp>
#include <cstring>

#include "net/one_shot.hpp"
#include "net/public_address.hpp"
#include "net/tls.hpp"
#include "net/upstream.hpp"

namespace corral::net {
namespace asio = boost::asio;
namespace {

using Clock = std::chrono::steady_clock;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};
using Addresses = std::vector<Address>;

// Blocking when `flags` allow a name.
Result<Addresses> look_up(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) {
    return fail(ErrorCode::unavailable, fmt::format("the name {} does not resolve", host))
        .because(::gai_strerror(code));
  }
  Addresses addresses;
  for (auto* each = found; each != nullptr; each = each->ai_next) {
    Address address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    addresses.push_back(address);
  }
  ::freeaddrinfo(found);
  return addresses;
}

Error connect_timeout(const HttpTarget& target) {
  return fail(ErrorCode::timeout, fmt::format("connecting to {} took too long", target.key()))
      .field(std::string(kConnectTimeout));
}

Error cancelled_connect() {
  return fail(ErrorCode::cancelled, "the request to the upstream was cancelled");
}

// One attempt. Its Deadline closes the stream.
struct Attempt {
  Attempt(Shard& shard, sys::Fd socket)
      : stream(std::make_unique<PlainStream>(shard, std::move(socket))),
        deadline(shard.impl(), &Attempt::expired, this) {}
  static void expired(void* self) {
    auto& attempt = *static_cast<Attempt*>(self);
    attempt.timed_out = true;
    attempt.stream->close();
  }
  std::unique_ptr<PlainStream> stream;
  Deadline deadline;
  bool timed_out = false;
};

Error refused(const HttpTarget& target, int number) {
  return fail(ErrorCode::unavailable, fmt::format("cannot connect to {}", target.key()))
      .because(std::strerror(number));
}

Task<Result<std::unique_ptr<PlainStream>>> connect_address(Shard& shard, HttpTarget target,
                                                           Address address,
                                                           Clock::time_point until) {
  sys::Fd socket(
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) co_return fail_os("cannot open a socket", errno);
  set_no_delay(socket.get());
  Attempt attempt(shard, std::move(socket));
  if (!attempt.stream->is_open()) co_return fail(ErrorCode::io, "cannot watch a socket");
  const auto* where = reinterpret_cast<const sockaddr*>(&address.storage);
  while (::connect(attempt.stream->fd(), where, address.size) != 0) {
    int number = errno;
    if (number == EINTR) continue;
    if (number == EAGAIN) {
      // A unix socket whose queue is full; it cannot be waited for.
      if (Clock::now() >= until) co_return connect_timeout(target);
      CORRAL_CO_CHECK(co_await sleep_for(std::chrono::milliseconds(5)));
      continue;
    }
    if (number != EINPROGRESS) co_return refused(target, number);
    // On this machine the hand-shake ended within the call; asked again, it says so. Waiting for
    // the event would cost a turn of a busy loop.
    if (::connect(attempt.stream->fd(), where, address.size) == 0) break;
    if (errno != EALREADY && errno != EINTR) co_return refused(target, errno);
    attempt.deadline.at(until);
    bool ready = co_await attempt.stream->wait(Direction::write);
    attempt.deadline.clear();
    if (attempt.timed_out) co_return connect_timeout(target);
    if (!ready) {
      auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) co_return cancelled_connect();
    }
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(attempt.stream->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) co_return refused(target, error);
    break;
  }
  co_return std::move(attempt.stream);
}

Result<Address> unix_address(const std::string& path) {
  Address address;
  auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
  if (path.empty() || path.size() >= sizeof un.sun_path) {
    return fail(ErrorCode::invalid_argument, "the path of the unix socket is empty or too long");
  }
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), path.size());
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

}  // namespace

// --- names ---------------------------------------------------------------------------------------

struct Resolver::Impl {
  std::unique_ptr<BlockingPool> pool;
};

Resolver::Resolver() : impl_(std::make_unique<Impl>()) {}
Resolver::~Resolver() = default;

namespace {

using Looked = OneShot<Result<Addresses>>;

void look_up_expired(void* slot) {
  static_cast<Looked*>(slot)->fulfil(fail(ErrorCode::timeout, "the name look-up took too long")
                                         .field(std::string(kConnectTimeout)));
}

Task<Result<Addresses>> resolve(Shard& shard, Resolver& resolver, std::string host,
                                std::uint16_t port, Clock::time_point until) {
  if (host == "localhost") {
    // Never through the resolver: it must mean this machine.
    CORRAL_CO_TRY(auto addresses, look_up("127.0.0.1", port, AI_NUMERICHOST));
    auto also = look_up("::1", port, AI_NUMERICHOST);
    if (also) addresses.insert(addresses.end(), also->begin(), also->end());
    co_return addresses;
  }
  auto literal = look_up(host, port, AI_NUMERICHOST);
  if (literal) co_return literal;
  auto& pool = resolver.impl().pool;
  if (!pool) pool = std::make_unique<BlockingPool>(1);
  auto slot = Looked::create();
  Deadline deadline(shard.impl(), &look_up_expired, slot.get());
  deadline.at(until);
  pool->post([slot, host, port] { slot->fulfil(look_up(host, port, AI_ADDRCONFIG)); });
  auto addresses = co_await slot->wait();
  if (!addresses) co_return cancelled_connect();
  co_return std::move(*addresses);
}

// Cuts a hand-shake that takes too long: by a second descriptor, as the first is the stream's.
struct Cutter {
  Cutter(Shard& shard, int socket)
      : second(::fcntl(socket, F_DUPFD_CLOEXEC, 0)),
        deadline(shard.impl(), &Cutter::expired, this) {}
  static void expired(void* self) {
    auto& cutter = *static_cast<Cutter*>(self);
    cutter.fired = true;
    ::shutdown(cutter.second.get(), SHUT_RDWR);
  }
  sys::Fd second;
  Deadline deadline;
  bool fired = false;
};

Task<Result<Connected>> hand_shake(Shard& shard, HttpTarget target,
                                   std::unique_ptr<PlainStream> plain, Clock::time_point until) {
  if (!target.tls) {
    co_return fail(ErrorCode::invalid_argument, "an https target needs a TLS context");
  }
  auto socket = plain->release();
  Cutter cutter(shard, socket.get());
  cutter.deadline.at(until);
  auto stream = co_await target.tls->connect(std::move(socket), target.host);
  cutter.deadline.clear();
  if (cutter.fired) co_return connect_timeout(target);
  if (!stream) co_return std::unexpected(std::move(stream).error());
  co_return Connected{std::move(*stream), nullptr};
}

// All of them, so that it does not depend on which one answers.
Result<void> within_reach(const HttpTarget& target, const Addresses& addresses) {
  if (target.reach == Reach::anywhere) return {};
  for (const auto& address : addresses) {
    if (!is_public(reinterpret_cast<const sockaddr&>(address.storage))) {
      return fail(ErrorCode::forbidden,
                  fmt::format("{} leads to a private address, which is not reached from here",
                              target.key()));
    }
  }
  return {};
}

Task<Result<std::unique_ptr<PlainStream>>> connect_any(Shard& shard, HttpTarget target,
                                                       Addresses addresses,
                                                       Clock::time_point until) {
  Error last = fail(ErrorCode::unavailable, "the name has no address");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // An address that swallows packets must not use up the time of those behind it.
    auto now = Clock::now();
    if (now >= until) co_return connect_timeout(target);
    auto share = (until - now) / static_cast<int>(addresses.size() - i);
    auto stream = co_await connect_address(shard, target, addresses[i], now + share);
    if (stream || stream.error().code == ErrorCode::cancelled) co_return stream;
    last = std::move(stream).error();
  }
  co_return std::unexpected(std::move(last));
}

}  // namespace

Task<Result<Connected>> connect_to(Shard& shard, Resolver& resolver, HttpTarget target,
                                   std::chrono::milliseconds timeout) {
  auto until = Clock::now() + timeout;
  Addresses addresses;
  if (target.scheme == HttpTarget::Scheme::unix_socket) {
    if (target.reach == Reach::public_only) {
      co_return fail(ErrorCode::forbidden, "a unix socket is no public address");
    }
    CORRAL_CO_TRY(auto address, unix_address(target.socket_path));
    addresses.push_back(address);
  } else {
    CORRAL_CO_TRY(addresses, co_await resolve(shard, resolver, target.host, target.port, until));
    CORRAL_CO_CHECK(within_reach(target, addresses));
  }
  CORRAL_CO_TRY(auto plain, co_await connect_any(shard, target, std::move(addresses), until));
  if (target.scheme == HttpTarget::Scheme::https) {
    auto secure = co_await hand_shake(shard, target, std::move(plain), until);
    co_return secure;
  }
  Connected connected;
  connected.plain = plain.get();
  connected.stream = std::move(plain);
  co_return connected;
}

}  // namespace corral::net
