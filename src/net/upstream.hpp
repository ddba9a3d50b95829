// One connection of the HTTP client to a server, and one exchange at a time over it.
// Thread rule: belongs to its shard.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/deadline.hpp"
#include "net/http_client.hpp"
#include "net/http_parser.hpp"
#include "net/plain_stream.hpp"
#include "net/shard_impl.hpp"

namespace corral::net {

class UpstreamConnection {
 public:
  using Clock = std::chrono::steady_clock;

  UpstreamConnection(Shard& shard, std::unique_ptr<Stream> stream, PlainStream* plain);

  // Sends the request and reads up to the end of the answer's head.
  Task<Result<void>> exchange(const std::string& head, const ClientRequest& request,
                              const HttpTimeouts& timeouts);
  // True after a failed exchange() if not one byte of an answer came and the server had closed.
  bool stale() const { return stale_; }

  Task<Result<std::string_view>> read_some();
  void set_between_bytes(std::chrono::milliseconds limit) { between_bytes_ = limit; }
  bool answered() const { return parser_.done(); }
  // May it carry another request?
  bool reusable() const;
  // Still open, and silent? (For a pooled one, before it is used.)
  bool quiet();
  // Waits in a pool; `ended(owner, *this)` is called when `limit` has passed, and may destroy it.
  using Ended = void (*)(void* owner, UpstreamConnection& connection);
  void rest(std::chrono::milliseconds limit, Ended ended, void* owner);
  void wake();

  int status() const { return parser_.status(); }
  const Headers& headers() const { return headers_; }
  void close() { stream_->close(); }

 private:
  static void expired(void* self);
  bool begin_sending(const std::string& head, std::span<const std::string_view> body);
  IoResult send_some();
  Task<Result<void>> send_rest();
  Task<Result<void>> read_head();
  IoResult receive();
  bool early_answer();
  Task<Error> wait_failed(const char* what, std::string_view param);
  Error broken(std::string what);

  std::unique_ptr<Stream> stream_;
  PlainStream* plain_;
  Deadline deadline_;
  Block block_;
  Headers headers_;
  ResponseParser parser_;
  std::string pending_;      // received and not parsed yet
  std::string_view unread_;  // body bytes inside block_ that were not handed out
  std::vector<iovec> parts_;
  std::span<iovec> unsent_;  // of parts_
  std::chrono::milliseconds between_bytes_{0};
  Ended ended_ = nullptr;  // set while it rests
  void* pool_ = nullptr;
  unsigned reads_ = 0;
  bool event_stream_ = false;
  bool drained_ = false;  // the last read took all there was
  bool timed_out_ = false;
  bool stale_ = false;
  bool broken_ = false;
  bool half_sent_ = false;  // an answer came before the request was sent whole
  bool head_request_ = false;
};

// A connected stream to `target`, hand-shaken if it is https.
struct Connected {
  std::unique_ptr<Stream> stream;
  PlainStream* plain = nullptr;
};
class Resolver;
Task<Result<Connected>> connect_to(Shard& shard, Resolver& resolver, HttpTarget target,
                                   std::chrono::milliseconds timeout);

// Names to addresses, on a thread of its own that is made for the first name.
class Resolver {
 public:
  Resolver();
  ~Resolver();
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace corral::net
