// One client connection of the HTTP server: a coroutine that reads a request, runs the handler, and
// reads the next. It is itself the exchange that the handler gets, so a kept-alive connection
// reuses all of its memory.
//
// One wait for readability is always pending between two requests' heads: while the handler runs it
// is how a client that leaves is noticed, afterwards it is the wait for the next request.
// Thread rule: belongs to its shard; the counters of ServerState are read from any thread.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/intrusive/list.hpp>
#include <memory>
#include <string>
#include <vector>

#include "net/deadline.hpp"
#include "net/http_parser.hpp"
#include "net/http_server.hpp"
#include "net/parked.hpp"
#include "net/plain_stream.hpp"
#include "net/tls.hpp"

namespace corral::net {

// How a server lists its connections; a connection that ends leaves by itself.
using ConnectionHook =
    boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
class ConnectionNode : public ConnectionHook {};

// What the connections of one server share.
struct ServerState {
  struct alignas(64) PerShard {
    std::atomic<std::size_t> connections{0};  // counted from the hand-over on
    std::atomic<std::size_t> in_flight{0};
    boost::intrusive::list<ConnectionNode, boost::intrusive::constant_time_size<false>> list;
  };

  ServerState(HttpServerOptions wanted, HttpHandler handle, HttpObserver observe,
              std::size_t shard_count)
      : options(wanted),
        handler(std::move(handle)),
        observer(std::move(observe)),
        shards(shard_count) {}

  HttpServerOptions options;
  HttpHandler handler;
  HttpObserver observer;
  std::atomic<bool> draining{false};
  std::vector<PerShard> shards;
};

// A socket on its way to a shard, counted there already.
struct AcceptedSocket {
  AcceptedSocket(std::shared_ptr<ServerState> server, std::size_t shard, sys::Fd fd);
  ~AcceptedSocket();
  AcceptedSocket(AcceptedSocket&& other) noexcept = default;
  AcceptedSocket& operator=(AcceptedSocket&&) = delete;

  std::shared_ptr<ServerState> state;
  std::size_t shard_index;
  sys::Fd socket;
  std::shared_ptr<TlsContext> tls;
  std::uint16_t local_port = 0;
};

class HttpConnection final : public HttpExchange,
                             public std::enable_shared_from_this<HttpConnection>,
                             public ConnectionNode,
                             private ReadWatcher {
 public:
  // Runs until the connection ends; it owns itself meanwhile.
  static void start(Shard& shard, AcceptedSocket accepted);

  HttpConnection(Shard& shard, AcceptedSocket accepted);
  ~HttpConnection() override;

  void close_if_idle();  // for drain()
  bool cancel();         // for stop(): true if a request was under way

  // HttpExchange
  const HttpRequest& request() const override { return request_; }
  Task<Result<std::string_view>> read_body(std::uint64_t limit) override;
  Task<Result<void>> reply(HttpReply reply) override;
  Headers& extra_headers() override { return extra_headers_; }
  Result<void> begin(int status, std::string_view content_type) override;
  Task<Result<void>> flush_head() override;
  Task<Result<void>> send(std::span<const std::string_view> parts) override;
  Task<Result<void>> finish() override;
  void abort() override;
  bool begun() const override { return answer_ != Answer::none; }
  bool client_gone() const override { return client_gone_; }
  const HttpOutcome& outcome() const override { return outcome_; }
  Task<Result<std::unique_ptr<WebSocket>>> upgrade() override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class Answer { none, begun, head_sent, finished, aborted };

  static Task<void> run(std::shared_ptr<HttpConnection> self);
  static Task<void> watch_stream(std::shared_ptr<HttpConnection> self);
  static void expired(void* self);

  // http_connection.cpp: reading and the life of the connection
  Task<bool> open_stream();
  Task<bool> serve_one();
  Task<bool> read_head();
  Task<bool> refuse(int status, std::string_view reason);
  Task<void> linger();
  Task<Result<void>> read_rest_of_body(std::uint64_t limit);
  Error body_failure() const;
  void begin_message();
  void begin_request();
  void end_request();
  Task<bool> readable();
  void watch();
  void watch_for_end();
  Task<void> end_watch();
  void on_readable() override { readable_event(true); }
  void readable_event(bool ready);
  IoResult receive();
  void consume(std::string_view input);
  void client_left();
  Error gone();

  // http_exchange.cpp: answering
  void build_head(int status, std::string_view content_type, const Headers* more);
  void add_length(std::uint64_t length);
  bool body_allowed(int status) const;
  void compress_reply(HttpReply& reply);
  Task<Result<void>> write(std::span<iovec> parts);
  Task<Result<void>> write_rest(std::span<iovec> parts);

  Shard& shard_;
  AcceptedSocket accepted_;
  ServerState& state_;
  ServerState::PerShard& mine_;
  std::unique_ptr<Stream> stream_;
  PlainStream* plain_ = nullptr;  // stream_, if it is one
  sys::Fd handshaking_;           // a second descriptor of the socket, to cut a slow hand-shake
  Parked reader_;
  Deadline deadline_;
  boost::asio::cancellation_signal signal_;        // of the coroutine
  boost::asio::cancellation_signal watch_signal_;  // of the watch on a stream that is not plain

  HttpRequest request_;
  std::string body_;
  std::string pending_;  // bytes received and not parsed yet
  RequestParser parser_;
  std::string peer_;
  Headers extra_headers_;
  HttpOutcome outcome_;
  std::string out_;  // the head of the answer
  std::vector<iovec> parts_;
  std::string chunk_head_;
  Clock::time_point head_begun_{};
  Answer answer_ = Answer::none;
  bool served_before_ = false;
  bool watching_ = false;
  bool ending_watch_ = false;
  bool handling_ = false;
  bool keep_alive_ = false;
  bool chunked_ = false;
  bool body_suppressed_ = false;
  bool continue_sent_ = false;
  bool client_gone_ = false;
  bool timed_out_ = false;
  bool linger_ = false;
  bool upgraded_ = false;
};

}  // namespace corral::net
