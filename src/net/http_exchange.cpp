// How a connection answers: one gathered write a message, tried at once.
#include <boost/asio/this_coro.hpp>
#include <charconv>

#include "base/bug.hpp"
#include "base/cursor.hpp"
#include "base/text.hpp"
#include "net/compression.hpp"
#include "net/http_connection.hpp"
#include "net/shard_impl.hpp"
#include "net/websocket.hpp"
#include "net/websocket_accept.hpp"

namespace corral::net {
namespace {

constexpr std::size_t kCompressFrom = 1024;

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

void append_number(std::string& to, std::uint64_t value, int base = 10) {
  char digits[24];
  auto end = std::to_chars(digits, digits + sizeof digits, value, base).ptr;
  to.append(digits, end);
}

bool compressible_type(std::string_view type) {
  type = trim(type.substr(0, type.find(';')));
  if (type.starts_with("text/")) return type != "text/event-stream";
  for (std::string_view known :
       {"application/json", "application/javascript", "application/xml", "application/yaml",
        "application/problem+json", "application/manifest+json", "application/wasm",
        "image/svg+xml"}) {
    if (iequals(type, known)) return true;
  }
  return false;
}

iovec part_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

// Drops what was written; true when nothing is left.
bool advance(std::span<iovec>& parts, std::size_t written) {
  while (!parts.empty() && written >= parts.front().iov_len) {
    written -= parts.front().iov_len;
    parts = parts.subspan(1);
  }
  if (parts.empty()) return true;
  parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + written;
  parts.front().iov_len -= written;
  return false;
}

}  // namespace

bool HttpConnection::body_allowed(int status) const {
  return !body_suppressed_ && status != 204 && status != 304;
}

namespace {

// Of a head, besides what is counted; of a field, besides its name and value.
constexpr std::size_t kHeadFrame = 256, kFieldFrame = 4;

void put_field(Cursor& out, std::string_view name, std::string_view value) {
  out.put(name);
  out.put(": ");
  out.put(value);
  out.put("\r\n");
}

// Fields that a handler gave: never those we manage, never one that would forge another.
void put_fields(Cursor& out, const Headers& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    auto [name, value] = fields[i];
    if (is_connection_field(name) || iequals(name, "date") || iequals(name, "x-request-id")) {
      continue;
    }
    if (valid_token(name) && valid_field_value(value)) put_field(out, name, value);
  }
}

std::size_t bytes_of(const Headers& fields) {
  return fields.text_bytes() + fields.size() * kFieldFrame;
}

}  // namespace

// All of the head but the length (or coding) and the empty line.
void HttpConnection::build_head(int status, std::string_view content_type, const Headers* more) {
  keep_alive_ =
      parser_.keep_alive() && parser_.done() && !state_.draining.load(std::memory_order_relaxed);
  outcome_.status = status;
  std::string_view date = shard_.impl().http_date(), id = request_.request_id;
  std::string_view reason = reason_phrase(status);
  std::size_t bound = kHeadFrame + reason.size() + date.size() + id.size() + content_type.size() +
                      bytes_of(extra_headers_) + (more == nullptr ? 0 : bytes_of(*more));
  out_.resize_and_overwrite(bound, [&](char* begin, std::size_t) {
    Cursor out{begin};
    out.put("HTTP/1.1 ");
    out.put_number(std::clamp(status, 100, 999));
    out.put(' ');
    out.put(reason);
    out.put("\r\n");
    put_field(out, "Date", date);
    put_field(out, "x-request-id", id);
    if (!content_type.empty() && valid_field_value(content_type)) {
      put_field(out, "Content-Type", content_type);
    }
    if (!keep_alive_) {
      out.put("Connection: close\r\n");
    } else if (parser_.http_1_0()) {
      out.put("Connection: keep-alive\r\n");
    }
    put_fields(out, extra_headers_);
    if (more != nullptr) put_fields(out, *more);
    return out.size_since(begin);
  });
}

void HttpConnection::add_length(std::uint64_t length) {
  out_.append("Content-Length: ");
  append_number(out_, length);
  out_.append("\r\n\r\n");
}

void HttpConnection::compress_reply(HttpReply& reply) {
  if (!state_.options.compression || !reply.compressible || reply.body.size() < kCompressFrom ||
      !body_allowed(reply.status) || !compressible_type(reply.content_type) ||
      reply.headers.get("content-encoding")) {
    return;
  }
  reply.headers.add("Vary", "Accept-Encoding");
  auto accepted = request_.headers.get("accept-encoding");
  if (!accepted) return;
  auto coding = negotiate(*accepted);
  if (coding == Coding::identity) return;
  auto packed = compress(coding, reply.body);
  if (!packed || packed->size() >= reply.body.size()) return;
  reply.body = std::move(*packed);
  reply.headers.add("Content-Encoding", to_string(coding));
}

Task<Result<void>> HttpConnection::reply(HttpReply reply) {
  if (answer_ != Answer::none) {
    co_return fail(ErrorCode::conflict, "the request was answered already");
  }
  if (client_gone_) co_return gone();
  compress_reply(reply);
  build_head(reply.status, reply.content_type, &reply.headers);
  if (reply.status == 204 || reply.status == 304) {
    out_.append("\r\n");
  } else {
    add_length(reply.body.size());
  }
  answer_ = Answer::head_sent;
  bool with_body = body_allowed(reply.status) && !reply.body.empty();
  iovec parts[2] = {part_of(out_), part_of(reply.body)};
  auto written = co_await write(std::span(parts, with_body ? 2 : 1));
  if (!written) co_return written;
  if (with_body) outcome_.bytes_out = reply.body.size();
  answer_ = Answer::finished;
  co_return written;
}

Result<void> HttpConnection::begin(int status, std::string_view content_type) {
  if (answer_ != Answer::none) return fail(ErrorCode::conflict, "an answer was begun already");
  build_head(status, content_type, nullptr);
  answer_ = Answer::begun;
  chunked_ = !parser_.http_1_0() && status != 204 && status != 304;
  if (parser_.http_1_0()) {
    // Only the end of the connection marks the end of the body.
    if (std::exchange(keep_alive_, false)) {
      auto at = out_.find("Connection: keep-alive\r\n");
      out_.replace(at, 24, "Connection: close\r\n");
    }
  }
  out_.append(chunked_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
  if (!body_allowed(status)) body_suppressed_ = true;
  return {};
}

Task<Result<void>> HttpConnection::flush_head() {
  if (answer_ != Answer::begun) {
    if (answer_ == Answer::head_sent) co_return Result<void>();
    co_return fail(ErrorCode::conflict, "no answer was begun");
  }
  answer_ = Answer::head_sent;
  iovec part = part_of(out_);
  auto written = co_await write(std::span(&part, 1));
  co_return written;
}

Task<Result<void>> HttpConnection::send(std::span<const std::string_view> parts) {
  if (answer_ != Answer::begun && answer_ != Answer::head_sent) {
    co_return fail(ErrorCode::conflict, "no answer was begun");
  }
  std::uint64_t size = 0;
  for (auto part : parts) size += part.size();
  parts_.clear();
  if (answer_ == Answer::begun) parts_.push_back(part_of(out_));
  answer_ = Answer::head_sent;
  if (size > 0 && !body_suppressed_) {
    if (chunked_) {
      chunk_head_.clear();
      append_number(chunk_head_, size, 16);
      chunk_head_.append("\r\n");
      parts_.push_back(part_of(chunk_head_));
    }
    for (auto part : parts) {
      if (!part.empty()) parts_.push_back(part_of(part));
    }
    if (chunked_) parts_.push_back(part_of("\r\n"));
  }
  if (parts_.empty()) co_return Result<void>();
  auto written = co_await write(parts_);
  if (written && !body_suppressed_) outcome_.bytes_out += size;
  co_return written;
}

Task<Result<void>> HttpConnection::finish() {
  if (answer_ != Answer::begun && answer_ != Answer::head_sent) {
    co_return fail(ErrorCode::conflict, "no answer was begun");
  }
  parts_.clear();
  if (answer_ == Answer::begun) parts_.push_back(part_of(out_));
  if (chunked_ && !body_suppressed_) parts_.push_back(part_of("0\r\n\r\n"));
  if (!parts_.empty()) {
    answer_ = Answer::head_sent;
    auto written = co_await write(parts_);
    if (!written) co_return written;
  }
  answer_ = Answer::finished;
  co_return Result<void>();
}

void HttpConnection::abort() {
  if (answer_ != Answer::begun && answer_ != Answer::head_sent) return;
  answer_ = Answer::aborted;
  keep_alive_ = false;
  // Without chunks a plain close would look like the end of the body.
  if (!chunked_ && plain_ != nullptr && plain_->is_open()) plain_->reset_on_close();
}

Task<Result<void>> HttpConnection::write(std::span<iovec> parts) {
  if (client_gone_ || !stream_ || !stream_->is_open()) co_return gone();
  auto result = stream_->try_write(parts);
  if (result.status == IoStatus::ok && advance(parts, result.bytes)) co_return Result<void>();
  if (result.status != IoStatus::ok && result.status != IoStatus::would_block) co_return gone();
  auto written = co_await write_rest(parts);
  co_return written;
}

// The socket is full: the caller waits, and with it whoever produces the bytes.
Task<Result<void>> HttpConnection::write_rest(std::span<iovec> parts) {
  while (true) {
    deadline_.after(state_.options.write_timeout);
    bool ready = co_await stream_->wait(Direction::write);
    deadline_.clear();
    if (!ready || client_gone_ || !stream_->is_open()) co_return gone();
    auto result = stream_->try_write(parts);
    if (result.status == IoStatus::ok && advance(parts, result.bytes)) co_return Result<void>();
    if (result.status != IoStatus::ok && result.status != IoStatus::would_block) co_return gone();
  }
}

// --- WebSocket -----------------------------------------------------------------------------------

Task<Result<std::unique_ptr<WebSocket>>> HttpConnection::upgrade() {
  if (answer_ != Answer::none || !stream_) {
    co_return fail(ErrorCode::conflict, "the request was answered already");
  }
  const Headers& headers = request_.headers;
  if (request_.method != "GET" || !parser_.done() || !headers.has_token("upgrade", "websocket") ||
      !headers.has_token("connection", "upgrade") || headers.count("sec-websocket-key") != 1 ||
      headers.get("sec-websocket-version") != "13") {
    co_return fail(ErrorCode::invalid_argument, "this is no WebSocket request")
        .hint("send Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Version: 13 and a key");
  }
  co_await end_watch();
  if (client_gone_) co_return gone();
  upgraded_ = true;
  answer_ = Answer::finished;
  keep_alive_ = false;
  outcome_.status = 101;
  plain_ = nullptr;
  auto socket = co_await accept_websocket(std::move(stream_), request_,
                                          std::exchange(pending_, std::string()));
  if (!socket) outcome_.status = 400;
  co_return std::move(socket);
}

}  // namespace corral::net
