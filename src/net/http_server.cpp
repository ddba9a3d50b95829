#include "net/http_server.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>

#include "base/text.hpp"
#include "net/http_connection.hpp"
#include "net/shard_impl.hpp"

namespace corral::net {
namespace asio = boost::asio;
namespace {

constexpr auto kAcceptPause = std::chrono::milliseconds(100);  // when descriptors ran out
constexpr int kAcceptsAtOnce = 64;
constexpr auto kStopPoll = std::chrono::milliseconds(5);
constexpr auto kCancelGrace = std::chrono::seconds(5);  // for cancelled handlers to return

constexpr std::string_view kFull =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    "Connection: close\r\nContent-Length: 70\r\n\r\n"
    R"({"error":{"message":"too many connections","type":"overloaded_error"}})";

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// Numeric addresses and "localhost"; a server does not ask the DNS where to listen.
Result<SocketAddress> resolve_local(const std::string& host, std::uint16_t port) {
  std::string name = host == "localhost" ? "127.0.0.1" : host;
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not an address", host))
        .hint("say an IP address of this machine, or localhost");
  }
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  ::freeaddrinfo(found);
  if (address.storage.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(address.storage).sin_port = htons(port);
  }
  return address;
}

std::uint16_t port_of(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in&>(address.storage).sin_port);
}

Result<sys::Fd> open_listener(const std::string& host, std::uint16_t port,
                              const SocketAddress& address) {
  auto refused = [&](int number) {
    auto code = number == EADDRINUSE ? ErrorCode::conflict : ErrorCode::io;
    return fail(code, fmt::format("cannot listen on {}:{}: {}", host, port, std::strerror(number)))
        .hint(number == EADDRINUSE ? "another program uses this port; stop it or choose another"
                                   : "choose an address of this machine and a port you may use");
  };
  int family = address.storage.ss_family;
  sys::Fd socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return refused(errno);
  int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) !=
      0) {
    return refused(errno);
  }
  if (::listen(socket.get(), 1024) != 0) return refused(errno);
  return socket;
}

bool out_of_resources(int number) {
  return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

}  // namespace

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  struct Listener : std::enable_shared_from_this<Listener> {
    Listener(Impl& owner, sys::Fd socket)
        : server(owner.weak_from_this()),
          descriptor(owner.shards.control().impl().context),
          pause(owner.shards.control().impl().context) {
      descriptor.assign(socket.release());
    }
    void accept_later();
    void accept_some();
    void close();

    std::weak_ptr<Impl> server;
    asio::posix::stream_descriptor descriptor;
    asio::steady_timer pause;
    std::shared_ptr<TlsContext> tls;
    std::uint16_t port = 0;
  };

  Impl(Shards& owner, std::shared_ptr<ServerState> shared)
      : shards(owner), state(std::move(shared)) {}

  Result<std::uint16_t> add(const std::string& host, std::uint16_t port,
                            std::shared_ptr<TlsContext> tls) {
    CORRAL_TRY(auto address, resolve_local(host, port));
    CORRAL_TRY(auto socket, open_listener(host, port, address));
    address.size = sizeof address.storage;
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.size);
    auto listener = std::make_shared<Listener>(*this, std::move(socket));
    listener->tls = std::move(tls);
    listener->port = port_of(address);
    listeners.push_back(listener);
    return listener->port;
  }

  // Of the serving shards; where there is none, the control shard serves.
  Shard& serving(std::size_t index) {
    return shards.serving_count() == 0 ? shards.control() : shards.serving(index);
  }

  std::size_t total(std::atomic<std::size_t> ServerState::PerShard::* counter) const {
    std::size_t sum = 0;
    for (const auto& shard : state->shards) sum += (shard.*counter).load();
    return sum;
  }

  void hand_over(sys::Fd socket, const Listener& listener) {
    std::size_t connections = 0;
    std::size_t least = 0;
    for (std::size_t i = 0; i < state->shards.size(); ++i) {
      connections += state->shards[i].connections;
      if (state->shards[i].connections < state->shards[least].connections) least = i;
    }
    if (connections >= state->options.max_connections) {
      // What the client sent stays unread; without shutdown the answer could be lost to a reset.
      if (!listener.tls) ::send(socket.get(), kFull.data(), kFull.size(), MSG_NOSIGNAL);
      ::shutdown(socket.get(), SHUT_WR);
      return;
    }
    AcceptedSocket accepted(state, least, std::move(socket));
    accepted.tls = listener.tls;
    accepted.local_port = listener.port;
    Shard& shard = serving(least);
    shard.impl().mailbox->post([&shard, accepted = std::move(accepted)]() mutable {
      HttpConnection::start(shard, std::move(accepted));
    });
  }

  // Runs `work` for every connection, on its shard.
  void each_connection(void (*work)(HttpConnection&)) {
    for (std::size_t i = 0; i < state->shards.size(); ++i) {
      serving(i).post([shared = state, i, work] {
        for (auto& node : shared->shards[i].list) work(static_cast<HttpConnection&>(node));
      });
    }
  }

  Shards& shards;
  std::shared_ptr<ServerState> state;
  std::vector<std::shared_ptr<Listener>> listeners;  // control shard, once started
};

void HttpServer::Impl::Listener::accept_later() {
  descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                        [self = shared_from_this()](const boost::system::error_code& error) {
                          if (!error) self->accept_some();
                        });
}

void HttpServer::Impl::Listener::accept_some() {
  auto owner = server.lock();
  if (!owner || !descriptor.is_open()) return;
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    sys::Fd socket(
        ::accept4(descriptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
      owner->hand_over(std::move(socket), *this);
      continue;
    }
    if (out_of_resources(errno)) {
      // The waiting connection keeps the listener readable: without a pause this would spin.
      pause.expires_after(kAcceptPause);
      pause.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (!error) self->accept_some();
      });
      return;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    // Anything else is about the one connection that was lost; take the next.
  }
  accept_later();
}

void HttpServer::Impl::Listener::close() {
  boost::system::error_code ignored;
  if (descriptor.is_open()) descriptor.close(ignored);
  pause.cancel();
}

HttpServer::HttpServer(Shards& shards, HttpServerOptions options, HttpHandler handler,
                       HttpObserver observer)
    : impl_(std::make_shared<Impl>(shards, std::make_shared<ServerState>(
                                               options, std::move(handler), std::move(observer),
                                               std::max<std::size_t>(shards.serving_count(), 1)))) {
}

HttpServer::~HttpServer() { drain(); }

Result<BoundAddress> HttpServer::listen(const std::string& host, std::uint16_t port,
                                        std::shared_ptr<TlsContext> tls) {
  CORRAL_TRY(auto bound, impl_->add(host, port, tls));
  if (host == "localhost") {
    // Clients may try ::1 first. It is a courtesy: machines without IPv6 have only the other.
    auto also = impl_->add("::1", bound, tls);
    if (!also && also.error().code == ErrorCode::conflict && port != 0) {
      impl_->listeners.pop_back();
      return std::unexpected(std::move(also).error());
    }
  }
  return BoundAddress{host, bound};
}

void HttpServer::start() {
  impl_->shards.control().post([impl = impl_] {
    for (auto& listener : impl->listeners) listener->accept_some();
  });
}

void HttpServer::drain() {
  if (impl_->state->draining.exchange(true)) return;
  impl_->shards.control().post([impl = impl_] {
    for (auto& listener : impl->listeners) listener->close();
  });
  impl_->each_connection([](HttpConnection& connection) { connection.close_if_idle(); });
}

Task<std::size_t> HttpServer::stop(std::chrono::milliseconds grace) {
  auto impl = impl_;
  drain();
  auto until = std::chrono::steady_clock::now() + grace;
  while (impl->total(&ServerState::PerShard::in_flight) != 0 &&
         std::chrono::steady_clock::now() < until) {
    auto slept = co_await sleep_for(kStopPoll);
    if (!slept) break;
  }
  std::size_t cut = impl->total(&ServerState::PerShard::in_flight);
  until = std::chrono::steady_clock::now() + kCancelGrace;
  while (impl->total(&ServerState::PerShard::connections) != 0 &&
         std::chrono::steady_clock::now() < until) {
    // Repeated, because a socket may still have been on its way to its shard.
    impl->each_connection([](HttpConnection& connection) { connection.cancel(); });
    auto slept = co_await sleep_for(kStopPoll);
    if (!slept) break;
  }
  co_return cut;
}

std::size_t HttpServer::connections() const {
  return impl_->total(&ServerState::PerShard::connections);
}
std::size_t HttpServer::requests_in_flight() const {
  return impl_->total(&ServerState::PerShard::in_flight);
}

// --- small helpers of the header -----------------------------------------------------------------

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text, char space) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == space && space != ' ') c = ' ';
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      int high = hex_value(text[i + 1]);
      int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    result += c;
  }
  return result;
}

}  // namespace

std::optional<std::string> decode_path(std::string_view path) { return percent_decode(path, ' '); }

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  for (auto pair : split(query, '&')) {
    auto equals = pair.find('=');
    auto key = percent_decode(pair.substr(0, equals), '+');
    if (!key || *key != name) continue;
    if (equals == std::string_view::npos) return std::string();
    return percent_decode(pair.substr(equals + 1), '+');
  }
  return std::nullopt;
}

}  // namespace corral::net
