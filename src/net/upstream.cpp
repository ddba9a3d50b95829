#include "net/upstream.hpp"

#include <boost/asio/this_coro.hpp>
#include <cstring>

namespace corral::net {
namespace asio = boost::asio;
namespace {

constexpr unsigned kUpstreamReadsInTurn = 32;

ParseLimits answer_limits() {
  ParseLimits limits;
  limits.head_bytes = Block::kSize - 1024;
  limits.framing_bytes = Block::kSize - 1024;
  return limits;
}

}  // namespace

UpstreamConnection::UpstreamConnection(Shard& shard, std::unique_ptr<Stream> stream,
                                       PlainStream* plain)
    : stream_(std::move(stream)),
      plain_(plain),
      deadline_(shard.impl(), &UpstreamConnection::expired, this),
      block_(shard.impl()),
      parser_(headers_, answer_limits()) {}

void UpstreamConnection::expired(void* owner) {
  auto& self = *static_cast<UpstreamConnection*>(owner);
  if (self.ended_ != nullptr) {
    self.ended_(self.pool_, self);
    return;
  }
  self.timed_out_ = true;
  self.stream_->close();
}

bool UpstreamConnection::quiet() {
  if (!stream_->is_open()) return false;
  if (plain_ != nullptr && !plain_->maybe_readable()) return true;
  char byte;
  return stream_->try_read(std::span(&byte, 1)).status == IoStatus::would_block;
}

void UpstreamConnection::rest(std::chrono::milliseconds limit, Ended ended, void* owner) {
  block_.release();
  unread_ = {};
  ended_ = ended;
  pool_ = owner;
  deadline_.after(limit);
}

void UpstreamConnection::wake() {
  ended_ = nullptr;
  deadline_.clear();
}

bool UpstreamConnection::reusable() const {
  return parser_.done() && parser_.keep_alive() && pending_.empty() && !event_stream_ &&
         !half_sent_ && !broken_ && stream_->is_open();
}

Error UpstreamConnection::broken(std::string what) {
  broken_ = true;
  stream_->close();
  return fail(ErrorCode::upstream, std::move(what));
}

// Why a wait ended without the stream being ready.
Task<Error> UpstreamConnection::wait_failed(const char* what, std::string_view param) {
  auto state = co_await asio::this_coro::cancellation_state;
  broken_ = true;
  stream_->close();
  if (timed_out_) co_return fail(ErrorCode::timeout, what).field(std::string(param));
  if (state.cancelled() != asio::cancellation_type::none) {
    co_return fail(ErrorCode::cancelled, "the request to the upstream was cancelled");
  }
  co_return fail(ErrorCode::upstream, "the upstream connection failed");
}

Task<Result<void>> UpstreamConnection::exchange(const std::string& head,
                                                const ClientRequest& request,
                                                const HttpTimeouts& timeouts) {
  timed_out_ = stale_ = half_sent_ = false;
  event_stream_ = request.event_stream;
  drained_ = false;
  head_request_ = request.method == "HEAD";
  between_bytes_ = timeouts.between_bytes;
  unread_ = {};
  parser_.reset(head_request_);
  // Also a server that takes nothing is one that does not answer in time.
  deadline_.after(timeouts.first_byte);
  Result<void> sent;
  if (!begin_sending(head, request.body)) sent = co_await send_rest();
  if (sent) sent = co_await read_head();
  deadline_.clear();
  co_return sent;
}

// True when all went out at once, or nothing more can.
bool UpstreamConnection::begin_sending(const std::string& head,
                                       std::span<const std::string_view> body) {
  parts_.clear();
  parts_.push_back({const_cast<char*>(head.data()), head.size()});
  for (auto part : body) {
    if (!part.empty()) parts_.push_back({const_cast<char*>(part.data()), part.size()});
  }
  unsent_ = parts_;
  return send_some().status != IoStatus::would_block;
}

// Until all is sent (ok), the socket is full, or the server takes no more (ok as well: it may have
// answered before, a 413 say, which read_head() will see).
IoResult UpstreamConnection::send_some() {
  while (!unsent_.empty()) {
    auto result = stream_->try_write(unsent_);
    if (result.status == IoStatus::would_block) return result;
    if (result.status != IoStatus::ok) {
      half_sent_ = true;
      break;
    }
    std::size_t written = result.bytes;
    while (!unsent_.empty() && written >= unsent_.front().iov_len) {
      written -= unsent_.front().iov_len;
      unsent_ = unsent_.subspan(1);
    }
    if (!unsent_.empty()) {
      unsent_.front().iov_base = static_cast<char*>(unsent_.front().iov_base) + written;
      unsent_.front().iov_len -= written;
    }
  }
  return {IoStatus::ok, 0, 0};
}

Task<Result<void>> UpstreamConnection::send_rest() {
  do {
    bool ready = false;
    if (plain_ != nullptr) {
      ready = co_await plain_->wait_any();
      if (ready && early_answer()) break;
    } else {
      ready = co_await stream_->wait(Direction::write);
    }
    if (!ready)
      co_return co_await wait_failed("the upstream did not take the request in time",
                                     kFirstByteTimeout);
  } while (send_some().status == IoStatus::would_block);
  co_return Result<void>();
}

// While a long body is being sent: has a final answer come already?
bool UpstreamConnection::early_answer() {
  auto result = receive();
  if (result.status == IoStatus::would_block) return false;
  if (result.status == IoStatus::ok && !parser_.head_done() && !parser_.failed()) return false;
  if (parser_.head_done() && parser_.status() < 200) {
    parser_.reset(head_request_);
    return false;
  }
  half_sent_ = true;
  return true;
}

// Reads once and parses; a partly received element is kept until more comes.
IoResult UpstreamConnection::receive() {
  char* block = block_.acquire();
  std::size_t kept = pending_.size();
  std::memcpy(block, pending_.data(), kept);
  std::size_t filled = kept;
  if (kept < Block::kSize) {
    auto result = stream_->try_read(std::span(block + kept, Block::kSize - kept));
    // A read that found nothing says so itself; the wait after it must end in another read.
    drained_ = result.status == IoStatus::ok && plain_ != nullptr && !plain_->maybe_readable();
    if (result.status != IoStatus::ok) {
      if (result.status == IoStatus::would_block) block_.release();
      return result;
    }
    filled += result.bytes;
  }
  std::size_t used = parser_.feed(std::span(block, filled));
  pending_.assign(block + used, filled - used);
  unread_ = parser_.body();
  return {IoStatus::ok, filled - kept, 0};
}

Task<Result<void>> UpstreamConnection::read_head() {
  while (true) {
    while (parser_.head_done() && parser_.status() < 200) {
      if (parser_.status() == 101) co_return broken("the upstream switched protocols unasked");
      // An interim answer; the final one may lie behind it.
      parser_.reset(head_request_);
      std::string rest = std::exchange(pending_, {});
      char* block = block_.acquire();
      rest.copy(block, rest.size());
      std::size_t used = parser_.feed(std::span(block, rest.size()));
      pending_.assign(rest.data() + used, rest.size() - used);
      unread_ = parser_.body();
    }
    if (parser_.failed()) {
      co_return broken(fmt::format("the upstream's answer is malformed: {}", parser_.reason()));
    }
    if (parser_.head_done()) co_return Result<void>();
    bool ready = co_await stream_->wait(Direction::read);
    if (!ready && (timed_out_ || !stream_->is_open())) {
      co_return co_await wait_failed("the upstream did not begin to answer in time",
                                     kFirstByteTimeout);
    }
    auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      co_return co_await wait_failed("cancelled", {});
    }
    auto result = receive();
    if (result.status == IoStatus::ok || result.status == IoStatus::would_block) continue;
    stale_ = !parser_.started();
    Error error = broken(stale_ ? "the upstream closed the connection without an answer"
                                : "the upstream closed the connection within the answer's head");
    if (stale_) error.code = ErrorCode::unavailable;
    co_return error;
  }
}

Task<Result<std::string_view>> UpstreamConnection::read_some() {
  if (!unread_.empty()) co_return std::exchange(unread_, {});
  if (broken_) co_return fail(ErrorCode::upstream, "the upstream's answer was broken off");
  while (!parser_.done()) {
    // After a read that took all there was, trying again at once would only cost a system call.
    IoResult result{IoStatus::would_block, 0, 0};
    if (std::exchange(drained_, false)) {
      block_.release();
    } else {
      // A fast server and a fast client could keep this coroutine going for ever.
      if (++reads_ % kUpstreamReadsInTurn == 0) co_await yield_turn();
      result = receive();
    }
    if (result.status == IoStatus::ok) {
      if (parser_.failed()) {
        co_return broken(fmt::format("the upstream's answer is malformed: {}", parser_.reason()));
      }
      if (!unread_.empty()) co_return std::exchange(unread_, {});
      continue;
    }
    if (result.status == IoStatus::would_block) {
      deadline_.after(between_bytes_);
      bool ready = co_await stream_->wait(Direction::read);
      deadline_.clear();
      if (!ready)
        co_return co_await wait_failed("the upstream stopped in the middle of its answer",
                                       kBetweenBytesTimeout);
      continue;
    }
    if (result.status == IoStatus::end) parser_.end_of_input();
    if (!parser_.done()) co_return broken("the upstream cut its answer short");
    broken_ = true;  // ended by the end of the connection: nothing more comes from it
    break;
  }
  block_.release();
  co_return std::string_view();
}

}  // namespace corral::net
