// The only file with Beast's WebSocket: it takes long to compile. Beast sees one stream type, an
// adaptor over net::Stream whose completion handlers are erased.
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <sys/socket.h>

#include "net/shard_impl.hpp"
#include "net/websocket_accept.hpp"

namespace corral::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ws = boost::beast::websocket;
using ErrorCodeB = boost::system::error_code;

constexpr std::size_t kMostMessage = 1u << 20;
constexpr std::size_t kMostParts = 16;

using Moved = std::pair<ErrorCodeB, std::size_t>;
using Handler = asio::any_completion_handler<void(ErrorCodeB, std::size_t)>;

ErrorCodeB error_of(const IoResult& result) {
  if (result.status == IoStatus::end) return asio::error::eof;
  return {result.error, boost::system::system_category()};
}

Task<Moved> read_some(std::shared_ptr<Stream> stream, asio::mutable_buffer into) {
  while (true) {
    auto result = stream->try_read({static_cast<char*>(into.data()), into.size()});
    if (result.status == IoStatus::ok) co_return Moved{ErrorCodeB{}, result.bytes};
    if (result.status != IoStatus::would_block) co_return Moved{error_of(result), 0};
    bool ready = co_await stream->wait(Direction::read);
    if (!ready) co_return Moved{asio::error::operation_aborted, 0};
  }
}

Task<Moved> write_some(std::shared_ptr<Stream> stream, std::array<iovec, kMostParts> parts,
                       std::size_t count) {
  while (true) {
    auto result = stream->try_write(std::span(parts.data(), count));
    if (result.status == IoStatus::ok) co_return Moved{ErrorCodeB{}, result.bytes};
    if (result.status != IoStatus::would_block) co_return Moved{error_of(result), 0};
    bool ready = co_await stream->wait(Direction::write);
    if (!ready) co_return Moved{asio::error::operation_aborted, 0};
  }
}

// Runs `operation` and hands its outcome to `handler`, which may cancel it.
void start(asio::io_context& context, Task<Moved> operation, Handler handler) {
  auto slot = asio::get_associated_cancellation_slot(handler);
  auto done = [handler = std::move(handler)](std::exception_ptr failed, Moved moved) mutable {
    if (failed) moved = {asio::error::operation_aborted, 0};
    std::move(handler)(moved.first, moved.second);
  };
  asio::co_spawn(context, std::move(operation),
                 asio::bind_cancellation_slot(slot, std::move(done)));
}

// What Beast calls an AsyncStream. The bytes that came with the request's head are read first.
class BeastStream {
 public:
  using executor_type = asio::io_context::executor_type;

  BeastStream(asio::io_context& context, std::unique_ptr<Stream> stream, std::string early)
      : context_(&context), stream_(std::move(stream)), early_(std::move(early)) {}

  executor_type get_executor() const noexcept { return context_->get_executor(); }
  Stream& stream() { return *stream_; }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    asio::mutable_buffer into;
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers);
         ++at) {
      into = *at;
      if (into.size() > 0) break;
    }
    return asio::async_initiate<Token, void(ErrorCodeB, std::size_t)>(
        [this](auto handler, asio::mutable_buffer target) {
          begin_read(target, Handler(std::move(handler)));
        },
        token, into);
  }

  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    std::array<iovec, kMostParts> parts{};
    std::size_t count = 0;
    for (auto at = asio::buffer_sequence_begin(buffers);
         at != asio::buffer_sequence_end(buffers) && count < kMostParts; ++at) {
      asio::const_buffer part = *at;
      parts[count++] = {const_cast<void*>(part.data()), part.size()};
    }
    return asio::async_initiate<Token, void(ErrorCodeB, std::size_t)>(
        [this](auto handler, std::array<iovec, kMostParts> from, std::size_t size) {
          start(*context_, write_some(stream_, from, size), Handler(std::move(handler)));
        },
        token, parts, count);
  }

 private:
  void begin_read(asio::mutable_buffer into, Handler handler) {
    std::size_t ready = std::min(early_.size(), into.size());
    if (ready == 0) {
      start(*context_, read_some(stream_, into), std::move(handler));
      return;
    }
    std::copy_n(early_.data(), ready, static_cast<char*>(into.data()));
    early_.erase(0, ready);
    asio::post(*context_, [handler = std::move(handler), ready]() mutable {
      std::move(handler)(ErrorCodeB{}, ready);
    });
  }

  asio::io_context* context_;
  std::shared_ptr<Stream> stream_;  // shared with transfers under way
  std::string early_;
};

// Closing a socket with unread bytes resets the connection, and the peer would lose our last words.
void drain_and_close(Stream& stream) {
  constexpr std::size_t kMostDrained = 4 * kMostMessage;
  std::array<char, 4096> ignored;
  for (std::size_t drained = 0; drained < kMostDrained;) {
    auto result = stream.try_read(ignored);
    if (result.status != IoStatus::ok) break;
    drained += result.bytes;
  }
  stream.close();
}

// Beast finds these by their argument: how the connection ends after the closing handshake ...
template <class Handler>
void async_teardown(beast::role_type, BeastStream& stream, Handler&& handler) {
  if (stream.stream().is_open()) drain_and_close(stream.stream());
  asio::post(stream.get_executor(), [handler = std::forward<Handler>(handler)]() mutable {
    std::move(handler)(ErrorCodeB{});
  });
}

// ... and when a timeout passed.
void beast_close_socket(BeastStream& stream) { stream.stream().close(); }

Error translate(const ErrorCodeB& error) {
  if (error == ws::error::message_too_big || error == ws::error::buffer_overflow) {
    return fail(ErrorCode::too_large, "the WebSocket message is larger than 1 MiB");
  }
  if (error.category() == ErrorCodeB(ws::error::closed).category() && error != ws::error::closed) {
    return fail(ErrorCode::invalid_argument, "the peer broke the WebSocket protocol")
        .because(error.message());
  }
  return fail(ErrorCode::cancelled, "the WebSocket was closed").because(error.message());
}

class BeastWebSocket final : public WebSocket {
 public:
  explicit BeastWebSocket(BeastStream stream) : socket_(std::move(stream)) {
    // Bounds what a connection may hold: about 10 KiB for deflate and 4 KiB for writing.
    ws::permessage_deflate deflate;
    deflate.server_enable = true;
    deflate.server_max_window_bits = 10;
    deflate.client_max_window_bits = 10;
    deflate.server_no_context_takeover = true;
    deflate.client_no_context_takeover = true;
    deflate.memLevel = 4;
    deflate.compLevel = 3;
    deflate.msg_size_threshold = 1024;
    socket_.set_option(deflate);
    ws::stream_base::timeout timeout{};
    timeout.handshake_timeout = std::chrono::seconds(10);
    timeout.idle_timeout = std::chrono::seconds(120);
    timeout.keep_alive_pings = true;
    socket_.set_option(timeout);
    socket_.read_message_max(kMostMessage);
    socket_.auto_fragment(false);
  }
  ~BeastWebSocket() override { socket_.next_layer().stream().close(); }

  Task<Result<void>> accept(const HttpRequest& request) {
    beast::http::request<beast::http::empty_body> head;
    head.method(beast::http::verb::get);
    head.version(11);
    head.target(request.target);
    for (std::size_t i = 0; i < request.headers.size(); ++i) {
      auto [name, value] = request.headers[i];
      head.insert(beast::string_view(name.data(), name.size()),
                  beast::string_view(value.data(), value.size()));
    }
    auto [error] = co_await socket_.async_accept(head, asio::as_tuple(asio::deferred));
    if (error) {
      socket_.next_layer().stream().close();
      if (error == asio::error::operation_aborted) co_return translate(error);
      co_return fail(ErrorCode::invalid_argument, "this is no WebSocket request")
          .because(error.message());
    }
    co_return Result<void>();
  }

  Task<Result<Message>> receive() override {
    auto [error, size] = co_await socket_.async_read(buffer_, asio::as_tuple(asio::deferred));
    if (error) {
      Error translated = translate(error);
      socket_.next_layer().stream().close();
      co_return translated;
    }
    Message message{socket_.got_text(), beast::buffers_to_string(buffer_.cdata())};
    buffer_.consume(size);
    if (buffer_.capacity() > kKeptBuffer) buffer_ = beast::flat_buffer();
    co_return message;
  }

  Task<Result<void>> send_text(std::string_view text) override {
    socket_.text(true);
    auto [error, size] = co_await socket_.async_write(asio::buffer(text.data(), text.size()),
                                                      asio::as_tuple(asio::deferred));
    if (error) co_return translate(error);
    co_return Result<void>();
  }

  Task<void> close(std::uint16_t code, std::string_view reason) override {
    constexpr std::size_t kMostReason = 123;  // RFC 6455 section 5.5
    reason = reason.substr(0, kMostReason);
    ws::close_reason why(static_cast<ws::close_code>(code));
    why.reason.assign(reason.data(), reason.size());
    co_await socket_.async_close(why, asio::as_tuple(asio::deferred));
    socket_.next_layer().stream().close();
  }

 private:
  static constexpr std::size_t kKeptBuffer = 16 * 1024;

  ws::stream<BeastStream> socket_;
  beast::flat_buffer buffer_;  // bounded by read_message_max()
};

}  // namespace

Task<Result<std::unique_ptr<WebSocket>>> accept_websocket(std::unique_ptr<Stream> stream,
                                                          const HttpRequest& request,
                                                          std::string early_bytes) {
  // A cancelled wait gives an error here as everywhere; it does not throw.
  co_await asio::this_coro::throw_if_cancelled(false);
  auto& context = Shard::current()->impl().context;
  auto socket = std::make_unique<BeastWebSocket>(
      BeastStream(context, std::move(stream), std::move(early_bytes)));
  auto accepted = co_await socket->accept(request);
  if (!accepted) co_return std::unexpected(std::move(accepted).error());
  co_return std::unique_ptr<WebSocket>(std::move(socket));
}

}  // namespace corral::net
