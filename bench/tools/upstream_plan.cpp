#include "upstream_plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace bench {
namespace {

constexpr std::int64_t kMillisecond = 1'000'000;

std::string chunk(std::string_view event) {
  return fmt::format("{:x}\r\n{}\r\n", event.size(), event);
}

std::string_view reason(std::int64_t status) {
  switch (status) {
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Scripted";
  }
}

std::string error_answer(const Faults& faults) {
  const std::string body = fmt::format(
      R"({{"error":{{"message":"scripted {0}","type":"scripted","code":{0}}}}})", faults.status);
  const std::string retry =
      faults.retry_after < 0 ? "" : fmt::format("Retry-After: {}\r\n", faults.retry_after);
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}",
      faults.status, reason(faults.status), body.size(), retry, body);
}

std::string whole_answer(std::string_view body, const Faults& faults) {
  const std::int64_t said = static_cast<std::int64_t>(body.size()) + faults.content_length;
  const std::string length =
      faults.never_close ? ""
                         : fmt::format("Content-Length: {}\r\n", std::max<std::int64_t>(0, said));
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{}\r\n{}", length, body);
}

}  // namespace

std::string token_chunk(std::int64_t number, std::int64_t now) {
  return chunk(
      fmt::format(R"(data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk",)"
                  R"("created":1700000000,"model":"bench-model","choices":[{{"index":0,"delta":)"
                  R"({{"content":"#{}@{} "}},"finish_reason":null}}]}})"
                  "\n\n",
                  number, now));
}

std::string stream_head(bool close) {
  return fmt::format(
             "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
             "Transfer-Encoding: chunked\r\n{}\r\n",
             close ? "Connection: close\r\n" : "") +
         chunk(R"(data: {"id":"chatcmpl-bench","object":"chat.completion.chunk",)"
               R"("created":1700000000,"model":"bench-model","choices":[{"index":0,"delta":)"
               R"({"role":"assistant","content":null},"finish_reason":null}]})"
               "\n\n");
}

std::string stream_end(std::int64_t tokens, std::int64_t gap_ns) {
  return chunk(fmt::format(
             R"(data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk",)"
             R"("created":1700000000,"model":"bench-model","choices":[{{"index":0,"delta":{{}},)"
             R"("finish_reason":"stop"}}],"usage":{{"prompt_tokens":180,"completion_tokens":{0},)"
             R"("total_tokens":{1}}},"timings":{{"prompt_n":180,"prompt_ms":1.0,)"
             R"("predicted_n":{0},"predicted_ms":{2}.0}}}})"
             "\n\n",
             tokens, tokens + 180, gap_ns / kMillisecond * tokens)) +
         chunk("data: [DONE]\n\n") + "0\r\n\r\n";
}

FaultyAnswer::FaultyAnswer(const Faults& faults, const Wanted& wanted) : faults_(faults) {
  if (faults_.rubbish == "not_http") {
    pieces_.push_back({.bytes = "\x16\x03\x01 this is not HTTP at all\r\n\r\n"});
    end_ = End::close;
  } else if (faults_.status != 0) {
    pieces_.push_back({.bytes = error_answer(faults_)});
  } else if (faults_.rubbish == "broken_sse") {
    pieces_.push_back({.bytes = stream_head(false) + chunk("data: {this is no JSON\n\n") +
                                "zz\r\nno chunk size\r\n"});
    end_ = End::close;
  } else if (faults_.rubbish == "not_json") {
    pieces_.push_back({.bytes = whole_answer("this is no JSON {{{", Faults{})});
    end_ = End::close;
  } else if (wanted.stream) {
    plan_stream(wanted);
  } else {
    plan_whole(wanted);
  }
  limit_bytes();
}

void FaultyAnswer::plan_whole(const Wanted& wanted) {
  if (faults_.stall_after_tokens >= 0) {
    end_ = End::silence;
    return;
  }
  pieces_.push_back({.bytes = whole_answer(wanted.whole, faults_)});
  if (faults_.content_length != 0) end_ = End::close;
  if (faults_.never_close) end_ = End::silence;
}

void FaultyAnswer::plan_stream(const Wanted& wanted) {
  const std::int64_t gap =
      faults_.token_gap_ms < 0 ? wanted.gap_ns : faults_.token_gap_ms * kMillisecond;
  pieces_.push_back({.bytes = stream_head(false)});
  std::deque<std::int64_t> order;
  for (std::int64_t i = wanted.first; i < wanted.tokens; ++i) {
    order.push_back(i);
    if (i == faults_.duplicate_token) order.push_back(i);
  }
  const std::int64_t swap = faults_.swap_tokens;
  const auto size = static_cast<std::int64_t>(order.size());
  if (swap >= 0 && swap + 1 < size) {
    std::swap(order[static_cast<std::size_t>(swap)], order[static_cast<std::size_t>(swap) + 1]);
  }
  for (std::int64_t i = 0; i <= size; ++i) {
    if (i == faults_.stall_after_tokens) end_ = End::silence;
    if (i == faults_.reset_after_tokens) end_ = End::reset;
    if (i == faults_.close_after_tokens || i == faults_.error_after_tokens) end_ = End::close;
    if (i == faults_.error_after_tokens) {
      pieces_.push_back(
          {.bytes = chunk("data: {\"error\":{\"message\":\"the engine died\",\"code\":500}}\n\n") +
                    "0\r\n\r\n"});
    }
    if (end_ != End::keep) return;
    if (i < size) {
      pieces_.push_back(
          {.gap_ns = i == 0 ? 0 : gap, .bytes = {}, .token = order[static_cast<std::size_t>(i)]});
    }
  }
  if (faults_.never_close) {
    end_ = End::silence;
    return;
  }
  pieces_.push_back({.bytes = stream_end(size, gap)});
}

void FaultyAnswer::limit_bytes() {
  const auto limit = [&](std::int64_t bytes, End end) {
    if (bytes < 0 || (budget_ >= 0 && bytes >= budget_)) return;
    budget_ = bytes;
    end_at_budget_ = end;
  };
  limit(faults_.reset_after_bytes, End::reset);
  limit(faults_.close_after_bytes, End::close);
  limit(faults_.stall_after_bytes, End::silence);
}

std::int64_t FaultyAnswer::delay_ns(std::uint64_t random) const {
  std::int64_t delay = faults_.delay_ms * kMillisecond;
  if (faults_.jitter_ms > 0) {
    delay += static_cast<std::int64_t>(
        random % static_cast<std::uint64_t>(faults_.jitter_ms * kMillisecond));
  }
  return delay;
}

std::string FaultyAnswer::render(const Piece& piece, std::int64_t now) const {
  return piece.token < 0 ? piece.bytes : token_chunk(piece.token, now);
}

bool FaultyAnswer::next(std::int64_t now, std::string& out) {
  if (budget_ == 0) {
    end_ = end_at_budget_;
    return false;
  }
  if (dripping_.empty()) {
    if (pieces_.empty()) return false;
    dripping_ = render(pieces_.front(), now);
    pieces_.pop_front();
  }
  std::size_t count = faults_.drip_ms > 0 ? 1 : dripping_.size();
  if (budget_ >= 0) {
    count = std::min(count, static_cast<std::size_t>(budget_));
    budget_ -= static_cast<std::int64_t>(count);
  }
  out.append(dripping_, 0, count);
  dripping_.erase(0, count);
  return true;
}

std::int64_t FaultyAnswer::next_gap_ns() const {
  if (budget_ == 0) return 0;
  if (!dripping_.empty()) return faults_.drip_ms * kMillisecond;
  return pieces_.empty() ? 0 : pieces_.front().gap_ns + faults_.drip_ms * kMillisecond;
}

}  // namespace bench
