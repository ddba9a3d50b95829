// HTTP/1.1 client with pooled connections. One client a shard.
//
// A pooled connection is used only if it is younger than the target's idle limit and has no
// unread byte or EOF; if it still turns out stale (no byte of an answer came), the request is sent
// once more on a new connection without the caller noticing. A connection goes back to the pool
// only when its answer was read to the end and the server allows it; an event stream's never does
// (llama-server closes those although it says keep-alive).
// Answers pass the same hygiene as requests: Content-Length with Transfer-Encoding, several
// lengths, oversized heads and broken chunks are `upstream` errors. Thread rule: belongs to its
// shard.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/headers.hpp"
#include "net/task.hpp"

namespace corral::net {

class TlsContext;

// Which addresses a name may lead to. Decided on the address that is connected to, so that a name
// which resolves differently from one moment to the next gains nothing.
enum class Reach {
  anywhere,
  public_only,  // not this machine, its networks, nor what is reserved (IANA special-purpose lists)
};

// Where requests go.
struct HttpTarget {
  enum class Scheme { http, https, unix_socket };
  Scheme scheme = Scheme::http;
  std::string host;  // name or address; empty for unix sockets
  std::uint16_t port = 80;
  std::string socket_path;
  std::string base_path;                        // put before request targets; no trailing slash
  std::chrono::milliseconds idle_limit{4'000};  // pooled connections older than this are closed
  std::shared_ptr<TlsContext> tls;              // for https
  Reach reach = Reach::anywhere;                // else `forbidden` for a private address

  std::string key() const;        // pool key
  std::string authority() const;  // Host header
};

// "http://host:port/base", "https://...", "unix:/path.sock". invalid_argument with a hint.
Result<HttpTarget> parse_target(std::string_view url);

struct HttpTimeouts {
  std::chrono::milliseconds connect{2'000};       // name look-up, connect and TLS
  std::chrono::milliseconds first_byte{120'000};  // from request sent to the answer's head
  std::chrono::milliseconds between_bytes{60'000};
};

struct ClientRequest {
  std::string_view method = "GET";
  std::string_view path = "/";
  const Headers* headers = nullptr;        // besides Host, Content-Length
  std::span<const std::string_view> body;  // gathered; must live until the answer's head is in
  bool event_stream = false;               // the connection will not be pooled afterwards
};

// What a `timeout` error's param says.
inline constexpr std::string_view kConnectTimeout = "connect";
inline constexpr std::string_view kFirstByteTimeout = "first_byte";
inline constexpr std::string_view kBetweenBytesTimeout = "between_bytes";

// One answer under way. Destroying it before the end closes the connection, which is how a request
// is cancelled upstream.
class ClientResponse {
 public:
  virtual ~ClientResponse() = default;
  virtual int status() const = 0;
  virtual const Headers& headers() const = 0;
  // From the next wait on, instead of HttpTimeouts::between_bytes.
  virtual void set_between_bytes(std::chrono::milliseconds limit) = 0;
  // The next body bytes as soon as any are there; empty at the end; valid until the next call.
  // upstream: cut short or broken framing; timeout: nothing for `between_bytes`; cancelled.
  virtual Task<Result<std::string_view>> read_some() = 0;
  // The rest of the body; too_large past `limit`.
  virtual Task<Result<std::string>> read_all(std::uint64_t limit) = 0;
};

class HttpClient {
 public:
  HttpClient();  // on its shard
  ~HttpClient();

  // Sends and returns when the answer's head is in. unavailable: nobody listens, the name does not
  // resolve, or the connection was closed without a byte of an answer; timeout: says which;
  // upstream: rubbish or cut; cancelled.
  Task<Result<std::unique_ptr<ClientResponse>>> send(const HttpTarget& target,
                                                     const ClientRequest& request,
                                                     const HttpTimeouts& timeouts);
  // Closes pooled connections to `target` (its instance stopped).
  void forget(const HttpTarget& target);
  std::size_t pooled() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with the answers under way
};

// The client of the calling shard; made on first use, closed with the shard.
HttpClient& shard_client();

}  // namespace corral::net
