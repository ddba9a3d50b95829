#include "load_http.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace bench {
namespace {

bool starts_with_name(std::string_view line, std::string_view name) {
  if (line.size() < name.size()) return false;
  return std::equal(name.begin(), name.end(), line.begin(), [](char want, char got) {
    return (got >= 'A' && got <= 'Z' ? got + 32 : got) == want;
  });
}

std::string_view value_of(std::string_view line, std::string_view name) {
  line.remove_prefix(name.size());
  while (line.starts_with(' ')) line.remove_prefix(1);
  return line;
}

}  // namespace

std::string chat_request(std::uint16_t port, std::string_view model, bool stream, std::size_t bytes,
                         std::string_view extra) {
  std::string body = fmt::format(
      R"({{"model":"{}","stream":{},"temperature":0,{}"messages":[{{"role":"system","content":)"
      R"("You are a helpful assistant."}},{{"role":"user","content":"Tell me a story. )",
      model, stream, extra);
  constexpr std::string_view kEnd = R"("}]})";
  while (body.size() + kEnd.size() < bytes) body += "Make it good. ";
  body += kEnd;
  return fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: bench\r\n"
      "Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      port, body.size(), body);
}

void AnswerParser::reset() { *this = AnswerParser(); }

void AnswerParser::closed() {
  if (state_ == State::until_close) state_ = State::done;
  if (state_ != State::done) state_ = State::failed;
}

void AnswerParser::feed(std::string_view bytes, const Body& body) {
  while (!bytes.empty() && !failed()) {
    if (done()) {
      state_ = State::failed;
      return;
    }
    step(bytes, body);
  }
}

bool AnswerParser::line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  const std::size_t count = end == std::string_view::npos ? bytes.size() : end + 1;
  text_ += bytes.substr(0, count);
  bytes.remove_prefix(count);
  if (text_.size() > 64 * 1024) state_ = State::failed;
  return end != std::string_view::npos;
}

void AnswerParser::step(std::string_view& bytes, const Body& body) {
  switch (state_) {
    case State::head:
      if (!line(bytes) || !text_.ends_with("\r\n\r\n")) return;
      read_head(text_);
      text_.clear();
      return;
    case State::sized:
    case State::until_close:
    case State::chunk: {
      const std::size_t count = state_ == State::until_close
                                    ? bytes.size()
                                    : std::min<std::uint64_t>(left_, bytes.size());
      body(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (state_ == State::until_close) return;
      left_ -= count;
      if (left_ == 0) state_ = state_ == State::sized ? State::done : State::chunk_end;
      return;
    }
    case State::chunk_end:
      if (!line(bytes)) return;
      state_ = text_ == "\r\n" ? State::chunk_size : State::failed;
      text_.clear();
      return;
    case State::chunk_size: {
      if (!line(bytes)) return;
      const auto read = std::from_chars(text_.data(), text_.data() + text_.size(), left_, 16);
      state_ = read.ec != std::errc{} ? State::failed : left_ == 0 ? State::trailer : State::chunk;
      text_.clear();
      return;
    }
    case State::trailer:
      if (!line(bytes)) return;
      if (text_ == "\r\n") state_ = State::done;
      text_.clear();
      return;
    case State::done:
    case State::failed: return;
  }
}

void AnswerParser::read_head(std::string_view head) {
  state_ = State::until_close;
  if (head.size() > 12 && head.starts_with("HTTP/1.")) status_ = std::atoi(head.data() + 9);
  bool sized = false;
  while (!head.empty()) {
    const std::size_t end = head.find("\r\n");
    const std::string_view one = head.substr(0, end);
    head.remove_prefix(end + 2);
    if (starts_with_name(one, "content-length:")) {
      const std::string_view value = value_of(one, "content-length:");
      std::from_chars(value.data(), value.data() + value.size(), left_);
      sized = true;
    } else if (starts_with_name(one, "transfer-encoding:")) {
      state_ = State::chunk_size;
    } else if (starts_with_name(one, "connection:")) {
      keeps_alive_ = !starts_with_name(value_of(one, "connection:"), "close");
    } else if (starts_with_name(one, "retry-after:")) {
      retry_after_ = true;
    } else if (starts_with_name(one, "x-corral-attempts:")) {
      const std::string_view value = value_of(one, "x-corral-attempts:");
      std::from_chars(value.data(), value.data() + value.size(), attempts_);
    }
  }
  if (state_ == State::until_close && sized) state_ = left_ == 0 ? State::done : State::sized;
  if (state_ == State::until_close) keeps_alive_ = false;
}

double Samples::percentile_us(double q) {
  if (ns_.empty()) return 0;
  if (!sorted_) std::ranges::sort(ns_);
  sorted_ = true;
  const auto at = static_cast<std::size_t>(q * static_cast<double>(ns_.size() - 1) + 0.5);
  return static_cast<double>(ns_[at]) / 1000.0;
}

std::string Samples::json() {
  return fmt::format(R"({{"count":{},"p50":{:.1f},"p90":{:.1f},"p99":{:.1f},"max":{:.1f}}})",
                     count(), percentile_us(0.5), percentile_us(0.9), percentile_us(0.99),
                     percentile_us(1));
}

}  // namespace bench
