#include "api/openai/flight_exchange.hpp"

#include <utility>

#include "base/text.hpp"
#include "net/websocket.hpp"

namespace corral::api::openai {
namespace {

// Comments of a stream, such as a place in a queue, are for who reads them now.
bool only_comments(std::string_view text) {
  if (!text.starts_with(':')) return false;
  for (auto line : split(text, '\n')) {
    line = trim(line);
    if (!line.empty() && !line.starts_with(':')) return false;
  }
  return true;
}

// A stream without its terminator broke off or ended with an error.
bool is_whole_stream(std::string_view text) {
  text = trim(text);
  return text.ends_with("\ndata: [DONE]") || text.ends_with("\ndata:[DONE]");
}

Error nobody_left() { return fail(ErrorCode::cancelled, "nobody reads the answer any more"); }

}  // namespace

FlightExchange::FlightExchange(const net::HttpRequest& request, std::string_view body,
                               gateway::AnswerMaker& maker, std::size_t most_kept)
    : request_(request), body_(body), maker_(maker), most_kept_(most_kept) {
  // The views of the copy must point into it.
  const std::string& from = request.target;
  auto moved = [&](std::string_view part) -> std::string_view {
    if (part.empty()) return {};
    auto at = static_cast<std::size_t>(part.data() - from.data());
    return std::string_view(request_.target).substr(at, part.size());
  };
  request_.path = moved(request.path);
  request_.query = moved(request.query);
}

net::Task<Result<std::string_view>> FlightExchange::read_body(std::uint64_t limit) {
  if (limit != 0 && body_.size() > limit) {
    co_return std::unexpected(fail(ErrorCode::too_large, "the request body is too large"));
  }
  co_return std::string_view(body_);
}

net::Task<Result<void>> FlightExchange::reply(net::HttpReply reply) {
  auto begun = begin(reply.status, reply.content_type);
  if (!begun) co_return begun;
  stream_ = false;
  head_->document = true;
  head_->compressible = reply.compressible;
  for (std::size_t i = 0; i < reply.headers.size(); ++i) {
    head_->headers.set(reply.headers[i].name, reply.headers[i].value);
  }
  auto sent = co_await append(std::move(reply.body));
  if (!sent) co_return sent;
  finished_ = true;
  co_return Result<void>();
}

Result<void> FlightExchange::begin(int status, std::string_view content_type) {
  if (begun_) return fail(ErrorCode::internal, "the answer was begun already");
  begun_ = true;
  stream_ = true;
  outcome_.status = status;
  head_ = std::make_shared<gateway::AnswerHead>();
  head_->status = status;
  head_->content_type = content_type_ = content_type;
  head_->headers = extra_;
  head_->document = false;
  head_->age = age_;
  return {};
}

net::Task<Result<void>> FlightExchange::flush_head() {
  if (head_ == nullptr) co_return Result<void>();
  co_return co_await append({});
}

net::Task<Result<void>> FlightExchange::send(std::span<const std::string_view> parts) {
  std::string bytes;
  for (auto part : parts) bytes += part;
  if (bytes.empty() && head_ == nullptr) co_return Result<void>();
  co_return co_await append(std::move(bytes));
}

net::Task<Result<void>> FlightExchange::append(std::string bytes) {
  auto piece = std::make_shared<const gateway::AnswerPiece>(
      gateway::AnswerPiece{std::exchange(head_, nullptr), std::move(bytes)});
  auto appended = co_await maker_.append(piece);
  if (!appended) co_return appended;
  outcome_.bytes_out += piece->bytes.size();
  if (too_large_ || (stream_ && only_comments(piece->bytes))) co_return appended;
  pieces_bytes_ += piece->bytes.size();
  pieces_.push_back(std::move(piece));
  too_large_ = pieces_bytes_ > most_kept_;
  if (too_large_) pieces_.clear();
  co_return appended;
}

net::Task<Result<void>> FlightExchange::finish() {
  auto flushed = co_await flush_head();
  if (!flushed) co_return flushed;
  if (client_gone()) co_return std::unexpected(nobody_left());
  finished_ = true;
  co_return Result<void>();
}

net::Task<Result<std::unique_ptr<net::WebSocket>>> FlightExchange::upgrade() {
  co_return std::unexpected(fail(ErrorCode::unsupported, "an answer for many is no WebSocket"));
}

gateway::KeptAnswerPtr FlightExchange::kept() const {
  if (!finished() || outcome_.status != 200 || too_large_) return nullptr;
  auto answer = std::make_shared<gateway::KeptAnswer>();
  answer->content_type = content_type_;
  answer->body.reserve(pieces_bytes_);
  for (const auto& piece : pieces_) answer->body += piece->bytes;
  if (stream_ && !is_whole_stream(answer->body)) return nullptr;
  return answer;
}

}  // namespace corral::api::openai
