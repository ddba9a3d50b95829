#include "net/http_connection.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstring>

#include "base/bug.hpp"
#include "net/shard_impl.hpp"

namespace corral::net {
namespace asio = boost::asio;
namespace {

constexpr auto kLinger = std::chrono::seconds(2);
constexpr std::size_t kKeptMemory =
    16 * 1024;                         // a buffer larger than this is freed between requests
constexpr unsigned kReadsInTurn = 16;  // before the others on the shard have theirs
constexpr std::size_t kEarlyBytes = 16 * 1024;  // read ahead at most while a handler runs

ParseLimits limits_of(const HttpServerOptions& options) {
  ParseLimits limits;
  // The unparsed part of a head and the next bytes have to fit into the scratch memory.
  limits.head_bytes =
      std::min<std::size_t>(options.max_header_bytes, Shard::Impl::kScratchSize - 4096);
  return limits;
}

void clear(std::string& text) {
  text.clear();
  if (text.capacity() > kKeptMemory) std::string().swap(text);
}

// A request id of the client's that is safe in logs and headers.
bool valid_request_id(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

}  // namespace

AcceptedSocket::AcceptedSocket(std::shared_ptr<ServerState> server, std::size_t shard, sys::Fd fd)
    : state(std::move(server)), shard_index(shard), socket(std::move(fd)) {
  ++state->shards[shard_index].connections;
}

AcceptedSocket::~AcceptedSocket() {
  if (state) --state->shards[shard_index].connections;
}

HttpConnection::HttpConnection(Shard& shard, AcceptedSocket accepted)
    : shard_(shard),
      accepted_(std::move(accepted)),
      state_(*accepted_.state),
      mine_(state_.shards[accepted_.shard_index]),
      reader_(shard.impl()),
      deadline_(shard.impl(), &HttpConnection::expired, this),
      parser_(request_, body_, limits_of(state_.options)) {
  mine_.list.push_back(*this);
}

HttpConnection::~HttpConnection() = default;

void HttpConnection::start(Shard& shard, AcceptedSocket accepted) {
  auto self = std::make_shared<HttpConnection>(shard, std::move(accepted));
  auto slot = self->signal_.slot();
  // Counted by the server, cancelled and awaited by stop(): the one place that needs no TaskGroup.
  asio::co_spawn(shard.impl().context, run(self),
                 asio::bind_cancellation_slot(slot, [self](std::exception_ptr error) {
                   if (error) BUG("an exception left a connection");
                 }));
}

Task<void> HttpConnection::run(std::shared_ptr<HttpConnection> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  bool more = co_await self->open_stream();
  while (more) more = co_await self->serve_one();
  if (self->linger_ && self->plain_ != nullptr) co_await self->linger();
  if (self->stream_) self->stream_->close();
}

Task<bool> HttpConnection::open_stream() {
  peer_ = peer_name(accepted_.socket.get());
  set_no_delay(accepted_.socket.get());
  if (!accepted_.tls) {
    auto plain = std::make_unique<PlainStream>(shard_, std::move(accepted_.socket));
    plain_ = plain.get();
    stream_ = std::move(plain);
    plain_->expect_bytes();  // most clients send right after they connected
    co_return stream_->is_open();
  }
  handshaking_ = sys::Fd(::fcntl(accepted_.socket.get(), F_DUPFD_CLOEXEC, 0));
  deadline_.after(state_.options.header_timeout);
  auto opened = co_await accepted_.tls->accept(std::move(accepted_.socket));
  deadline_.clear();
  handshaking_.reset();
  if (!opened) co_return false;
  stream_ = std::move(*opened);
  co_return true;
}

// --- one request ---------------------------------------------------------------------------------

Task<bool> HttpConnection::serve_one() {
  begin_message();
  bool head = co_await read_head();
  if (!head) co_return false;
  if (parser_.failed() && !parser_.head_done()) {
    ParseFailure failure = parser_.failure();
    co_return co_await refuse(failure.status, failure.reason);
  }
  begin_request();
  if (parser_.done()) watch();
  outcome_.handler_ran = true;
  try {
    co_await state_.handler(*this);
  } catch (const std::exception& error) {
    BUG(std::string("an exception left a handler: ") + error.what());
  }
  if (answer_ == Answer::none && !client_gone_) {
    HttpReply failed;
    failed.status = 500;
    failed.body = R"({"error":{"message":"the request was not answered","type":"server_error"}})";
    auto ignored = co_await reply(std::move(failed));
  }
  end_request();
  co_return answer_ == Answer::finished&& keep_alive_ && !client_gone_ && parser_.done();
}

void HttpConnection::begin_message() {
  parser_.reset();
  clear(body_);
  clear(out_);
  extra_headers_.clear();
  outcome_ = {};
  head_begun_ = {};
  answer_ = Answer::none;
  keep_alive_ = chunked_ = body_suppressed_ = continue_sent_ = timed_out_ = false;
}

// False: the connection is over. True: a head came, or what came is to be refused.
Task<bool> HttpConnection::read_head() {
  const auto& options = state_.options;
  if (!pending_.empty()) {
    head_begun_ = Clock::now();
    std::string input = std::exchange(pending_, {});
    consume(input);
  }
  while (!parser_.head_done() && !parser_.failed()) {
    bool begun = head_begun_ != Clock::time_point{};
    if (!begun && state_.draining.load(std::memory_order_relaxed)) {
      // A request that is there already is still served.
      if (receive().status != IoStatus::ok) co_return false;
      head_begun_ = Clock::now();
      continue;
    }
    if (begun) {
      deadline_.at(head_begun_ + options.header_timeout);
    } else {
      deadline_.after(served_before_ ? options.idle_timeout : options.header_timeout);
    }
    bool ready = co_await readable();
    deadline_.clear();
    if (!ready) {
      if (timed_out_ && begun) co_await refuse(408, "the request head came too slowly");
      if (timed_out_ || begun) co_return false;
      if (!state_.draining.load(std::memory_order_relaxed)) co_return false;
      continue;
    }
    auto now = Clock::now();
    auto result = receive();
    if (result.status == IoStatus::would_block) continue;
    if (result.status != IoStatus::ok) co_return false;
    if (!begun) head_begun_ = now;
  }
  co_return true;
}

void HttpConnection::begin_request() {
  ++mine_.in_flight;
  handling_ = true;
  served_before_ = true;
  request_.started = head_begun_;
  request_.encrypted = plain_ == nullptr;
  request_.local_port = accepted_.local_port;
  request_.peer = peer_;
  request_.request_id.clear();
  if (auto wanted = request_.headers.get("x-request-id"); wanted && valid_request_id(*wanted)) {
    request_.request_id.assign(*wanted);
  } else {
    shard_.impl().append_id(request_.request_id);
  }
  body_suppressed_ = request_.method == "HEAD";
}

void HttpConnection::end_request() {
  handling_ = false;
  if (answer_ == Answer::begun || answer_ == Answer::head_sent) abort();
  if (!upgraded_ && !parser_.done()) linger_ = true;
  outcome_.bytes_in = body_.size();
  outcome_.client_left = client_gone_;
  outcome_.duration = Clock::now() - request_.started;
  if (state_.observer) state_.observer(request_, outcome_);
  --mine_.in_flight;
}

// Answers what no handler saw. Always ends the connection.
Task<bool> HttpConnection::refuse(int status, std::string_view reason) {
  timed_out_ = false;
  begin_request();
  HttpReply refused;
  refused.status = status;
  refused.body =
      fmt::format(R"({{"error":{{"message":"{}","type":"invalid_request_error"}}}})", reason);
  auto ignored = co_await reply(std::move(refused));
  linger_ = true;
  end_request();
  co_return false;
}

// The peer may still be sending. Closing now would make the kernel answer with RST, which can
// destroy our answer before it was read; so we stop writing and drain for a moment.
Task<void> HttpConnection::linger() {
  if (!plain_->is_open() || client_gone_) co_return;
  plain_->shutdown_write();
  auto until = Clock::now() + kLinger;
  timed_out_ = false;
  while (!timed_out_ && Clock::now() < until) {
    auto result = plain_->try_read(std::span(shard_.impl().scratch(), Shard::Impl::kScratchSize));
    if (result.status == IoStatus::ok) {
      co_await yield_turn();
      continue;
    }
    if (result.status != IoStatus::would_block) co_return;
    deadline_.at(until);
    bool ready = co_await readable();
    deadline_.clear();
    if (!ready) co_return;
  }
}

// --- reading -------------------------------------------------------------------------------------

void HttpConnection::consume(std::string_view input) {
  // RFC 9112 section 2.2: an empty line before a request is ignored.
  if (!parser_.started() && input.starts_with("\r\n")) input.remove_prefix(2);
  std::size_t used = parser_.feed(input);
  pending_.assign(input.substr(used));
  if (pending_.empty()) clear(pending_);
}

IoResult HttpConnection::receive() {
  char* scratch = shard_.impl().scratch();
  std::size_t kept = pending_.size();
  if (kept >= Shard::Impl::kScratchSize) return {IoStatus::failed, 0, EMSGSIZE};
  std::memcpy(scratch, pending_.data(), kept);
  auto result = stream_->try_read(std::span(scratch + kept, Shard::Impl::kScratchSize - kept));
  if (result.status == IoStatus::ok) consume({scratch, kept + result.bytes});
  return result;
}

Task<Result<std::string_view>> HttpConnection::read_body(std::uint64_t limit) {
  parser_.set_body_limit(limit != 0 ? limit : state_.options.max_body_bytes);
  if (!parser_.done()) {
    auto rest = co_await read_rest_of_body(limit != 0 ? limit : state_.options.max_body_bytes);
    if (!rest) co_return std::unexpected(std::move(rest).error());
    watch();
  }
  outcome_.bytes_in = body_.size();
  co_return std::string_view(body_);
}

Task<Result<void>> HttpConnection::read_rest_of_body(std::uint64_t limit) {
  const auto& options = state_.options;
  if (auto length = parser_.content_length(); length && *length > limit) {
    co_return fail(ErrorCode::too_large, fmt::format("the body of {} bytes is larger than the {} "
                                                     "allowed",
                                                     *length, limit));
  }
  if (parser_.expects_continue() && body_.empty() && !std::exchange(continue_sent_, true)) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    iovec part{const_cast<char*>(kContinue.data()), kContinue.size()};
    CORRAL_CO_CHECK(co_await write(std::span(&part, 1)));
  }
  auto begun = Clock::now();
  unsigned reads = 0;
  while (!parser_.done() && !parser_.failed()) {
    if (!stream_) co_return fail(ErrorCode::conflict, "the connection was upgraded");
    auto result = receive();
    if (result.status == IoStatus::ok) {
      if (++reads % kReadsInTurn == 0) co_await yield_turn();
      continue;
    }
    if (result.status != IoStatus::would_block) co_return gone();
    auto earned = std::chrono::milliseconds(body_.size() * 1000 /
                                            std::max<std::uint64_t>(options.min_body_rate, 1));
    auto until =
        std::min(Clock::now() + options.body_timeout, begun + options.body_timeout + earned);
    deadline_.at(until);
    bool ready = co_await readable();
    deadline_.clear();
    if (timed_out_) {
      timed_out_ = false;
      co_return fail(ErrorCode::timeout, "the request body came too slowly");
    }
    if (!ready) co_return gone();
  }
  if (parser_.failed()) co_return body_failure();
  co_return Result<void>();
}

Error HttpConnection::body_failure() const {
  auto code = parser_.too_large() ? ErrorCode::too_large : ErrorCode::invalid_argument;
  return fail(code, std::string(parser_.failure().reason));
}

Error HttpConnection::gone() {
  client_gone_ = true;
  return fail(ErrorCode::cancelled, "the client left");
}

// --- the watch -----------------------------------------------------------------------------------

Task<bool> HttpConnection::readable() {
  if (plain_ != nullptr && plain_->is_open() && plain_->maybe_readable()) co_return true;
  watch();
  if (!watching_ || !stream_->is_open()) co_return false;
  bool ready = co_await reader_.park();
  co_return ready;
}

void HttpConnection::watch() {
  if (watching_ || upgraded_ || !stream_ || !stream_->is_open()) return;
  watching_ = true;
  if (plain_ != nullptr && !plain_->maybe_readable()) {
    plain_->watch(this);
    return;
  }
  if (plain_ != nullptr) {
    // The event came before the wish.
    asio::post(shard_.impl().context, [self = shared_from_this()] {
      if (self->watching_) self->readable_event(true);
    });
    return;
  }
  asio::co_spawn(shard_.impl().context, watch_stream(shared_from_this()),
                 asio::bind_cancellation_slot(watch_signal_.slot(), [](std::exception_ptr error) {
                   if (error) BUG("an exception left the watch of a connection");
                 }));
}

Task<void> HttpConnection::watch_stream(std::shared_ptr<HttpConnection> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  // Not within watch(): whoever called it parks right after, and would miss what is ready already.
  co_await yield_turn();
  bool ready = co_await self->stream_->wait(Direction::read);
  self->readable_event(ready);
}

void HttpConnection::readable_event(bool ready) {
  watching_ = false;
  if (reader_.occupied()) {
    reader_.resume_now(ready);
    return;
  }
  if (!handling_ || !ready || ending_watch_ || !stream_ || !stream_->is_open()) return;
  // A handler runs and its request is complete: either the next request begins, or the client left.
  // A half-closed connection counts as left, because most clients close that way.
  // The watch goes on behind requests that were sent ahead.
  if (pending_.size() >= kEarlyBytes) return watch_for_end();
  char* scratch = shard_.impl().scratch();
  auto result = stream_->try_read(std::span(scratch, kEarlyBytes - pending_.size()));
  switch (result.status) {
    case IoStatus::ok: pending_.append(scratch, result.bytes); [[fallthrough]];
    case IoStatus::would_block: watch(); break;
    case IoStatus::end:
    case IoStatus::failed: client_left(); break;
  }
}

// So much was sent ahead that no more is read until the handler is done: the peer's end shows all
// the same, unless the socket is encrypted.
void HttpConnection::watch_for_end() {
  if (plain_ == nullptr) return;
  if (plain_->peer_ended()) return client_left();
  watching_ = true;
  plain_->watch(this);
}

void HttpConnection::client_left() {
  client_gone_ = true;
  signal_.emit(asio::cancellation_type::terminal);
}

Task<void> HttpConnection::end_watch() {
  if (!watching_) co_return;
  if (plain_ != nullptr) {
    plain_->watch(nullptr);
    watching_ = false;
    co_return;
  }
  ending_watch_ = true;
  watch_signal_.emit(asio::cancellation_type::terminal);
  while (watching_) co_await reader_.park_uncancellable();
  ending_watch_ = false;
}

void HttpConnection::expired(void* owner) {
  auto& self = *static_cast<HttpConnection*>(owner);
  self.timed_out_ = true;
  if (self.handshaking_.valid()) {
    ::shutdown(self.handshaking_.get(), SHUT_RDWR);
  } else if (self.reader_.occupied()) {
    self.reader_.resume_later(false);
  } else if (self.stream_) {
    self.stream_->close();
  }
}

void HttpConnection::close_if_idle() {
  if (!handling_ && head_begun_ == Clock::time_point{}) reader_.resume_later(false);
}

bool HttpConnection::cancel() {
  bool busy = handling_;
  signal_.emit(asio::cancellation_type::terminal);
  return busy;
}

}  // namespace corral::net
