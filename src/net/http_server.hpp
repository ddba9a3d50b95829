// HTTP/1.1 server (RFC 9110, RFC 9112) over shards.
//
// Each connection is one coroutine on one shard. Accepted sockets go to the shard with the fewest
// connections. Before a handler sees a request it passed the hygiene step: refused are
// Transfer-Encoding together with Content-Length, a Transfer-Encoding that is not exactly
// "chunked", several Content-Length, none or two Hosts, HTTP/1.0 with chunked, bare CR/LF and NUL
// in fields, absolute or odd targets, oversized heads. Hop-by-hop headers are the server's own
// business. HEAD is answered from GET handlers without a body. Expect: 100-continue is answered
// when the handler starts to read the body. Every answer carries x-request-id (the client's, if it
// is 1..128 characters of [A-Za-z0-9._-], else a new one) and Date.
//
// When the client leaves while a handler runs, the handler's coroutine is cancelled: every wait
// inside fails with `cancelled`, and it should return.
// Limits (config::ServerSettings): 431 head too large, 413 body too large, 408 too slow, 503 too
// many connections; a reader that takes nothing is dropped after the write timeout.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/headers.hpp"
#include "net/shard.hpp"
#include "net/task.hpp"

namespace corral::net {

class TlsContext;
class WebSocket;

struct HttpServerOptions {
  std::uint64_t max_header_bytes = 32 * 1024;
  std::uint64_t max_body_bytes = 64u << 20;
  unsigned max_connections = 10000;
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{30'000};
  std::uint64_t min_body_rate = 100;  // bytes/s
  std::chrono::milliseconds idle_timeout{75'000};
  std::chrono::milliseconds write_timeout{30'000};
  bool compression = true;
};

struct HttpRequest {
  std::string method;      // upper case
  std::string target;      // as sent: path and query
  std::string_view path;   // of target, still percent-encoded
  std::string_view query;  // without '?'
  Headers headers;
  std::string request_id;
  std::string peer;              // address:port of the client
  std::uint16_t local_port = 0;  // of the listener (decides between surfaces)
  bool encrypted = false;
  std::chrono::steady_clock::time_point started;  // first byte of the head
};

// Percent-decoded; nullopt for bad escapes and NUL.
std::optional<std::string> decode_path(std::string_view path);
std::optional<std::string> query_value(std::string_view query, std::string_view name);

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  Headers headers;           // besides Content-Type, Content-Length, Date, x-request-id
  bool compressible = true;  // negotiated gzip, brotli or zstd from 1 KiB on
};

// What a handler did, for access log and metrics. Filled in by the server as it happens.
struct HttpOutcome {
  int status = 0;
  std::uint64_t bytes_in = 0;   // body
  std::uint64_t bytes_out = 0;  // body, as sent
  std::chrono::nanoseconds duration{0};
  bool client_left = false;
  bool handler_ran = false;  // false: refused before a handler saw it
};

// One request and its one answer. Lives while the handler runs.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const = 0;

  // The whole body; `too_large` past the limit (0: the server's), `invalid_argument` when the
  // framing is broken, `timeout` when too slow. The view lives as long as the exchange.
  virtual Task<Result<std::string_view>> read_body(std::uint64_t limit = 0) = 0;

  // The whole answer at once. Error `cancelled` when the client is gone.
  virtual Task<Result<void>> reply(HttpReply reply) = 0;

  // Headers that reply() and begin() add; for what is known before the answer is.
  virtual Headers& extra_headers() = 0;

  // A streamed answer: begin, any number of sends, finish. Every send goes out at once, as one
  // gathered write, and waits only while the client's socket is full. `begin` alone sends nothing:
  // the head leaves with the first send (or flush_head).
  virtual Result<void> begin(int status, std::string_view content_type) = 0;
  virtual Task<Result<void>> flush_head() = 0;
  virtual Task<Result<void>> send(std::span<const std::string_view> parts) = 0;
  virtual Task<Result<void>> finish() = 0;
  // Ends a begun stream so that the client sees it was cut: the connection is closed unfinished.
  virtual void abort() = 0;

  virtual bool begun() const = 0;  // a head was begun or sent
  virtual bool client_gone() const = 0;
  virtual const HttpOutcome& outcome() const = 0;

  // Takes the connection over as a WebSocket (RFC 6455). Only before any answer.
  virtual Task<Result<std::unique_ptr<WebSocket>>> upgrade() = 0;
};

using HttpHandler = std::function<Task<void>(HttpExchange&)>;
// Called on the shard after each answer, also for requests refused before a handler saw them (then
// `request` may be partial). Must not block.
using HttpObserver = std::function<void(const HttpRequest&, const HttpOutcome&)>;

struct BoundAddress {
  std::string host;
  std::uint16_t port = 0;
};

class HttpServer {
 public:
  HttpServer(Shards& shards, HttpServerOptions options, HttpHandler handler, HttpObserver observer);
  ~HttpServer();

  // Binds and listens; connections are accepted from start() on. conflict: the port is taken;
  // the message names host, port and reason.
  Result<BoundAddress> listen(const std::string& host, std::uint16_t port,
                              std::shared_ptr<TlsContext> tls = nullptr);
  void start();

  // Stops accepting and closes idle connections; requests under way go on and then close
  // ("Connection: close"). Thread-safe.
  void drain();
  // After drain(): waits until no request is under way, at most `grace`; then cancels the rest and
  // closes everything. Call on the control shard. Returns how many were cut.
  Task<std::size_t> stop(std::chrono::milliseconds grace);

  std::size_t connections() const;
  std::size_t requests_in_flight() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace corral::net
