#include "load_streams.hpp"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "common.hpp"

namespace bench {

void StreamReader::feed(std::string_view body, std::int64_t now) {
  while (!body.empty()) {
    const std::size_t end = body.find('\n');
    partial_ += body.substr(0, end);
    if (end == std::string_view::npos) return;
    body.remove_prefix(end + 1);
    if (partial_.starts_with("data:")) event(partial_, now);
    partial_.clear();
  }
}

void StreamReader::event(std::string_view line, std::int64_t now) {
  if (line.find("[DONE]") != std::string_view::npos) {
    ended = true;
    return;
  }
  if (line.find("\"error\"") != std::string_view::npos) error_event = true;
  if (line.find("\"content\":\"") != std::string_view::npos &&
      line.find("\"content\":\"\"") == std::string_view::npos) {
    ++contents;
  }
  // Scripted tokens are "#number@time ".
  const std::size_t hash = line.find("\"#");
  if (hash == std::string_view::npos) return;
  const char* end = line.data() + line.size();
  unsigned number = 0;
  std::int64_t sent = 0;
  const auto first = std::from_chars(line.data() + hash + 2, end, number);
  if (first.ptr == end || *first.ptr != '@') return;
  std::from_chars(first.ptr + 1, end, sent);
  if (number != received) ++out_of_order;
  if (received++ == 0) {
    first_token = now;
  } else {
    gap.add(now - last_token_);
  }
  last_token_ = now;
  delay.add(now - sent);
}

StreamLoad::StreamLoad(StreamPlan plan)
    : plan_(std::move(plan)),
      request_(chat_request(plan_.port, plan_.model, true, plan_.bytes)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      streams_(plan_.streams) {
  if (epoll_ < 0) die("epoll_create1");
}

void StreamLoad::begin(Stream& s) {
  s.begun = true;
  s.fd = connect_to(plan_.port);
  if (s.fd < 0) return finish(s);
  peak_ = std::max(peak_, ++open_);
  epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.ptr = &s}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, s.fd, &event);
}

void StreamLoad::push(Stream& s) {
  const ssize_t sent = send(s.fd, request_.data() + s.sent, request_.size() - s.sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return finish(s);
  s.sent += static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
  if (s.sent < request_.size()) return;
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &s}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, s.fd, &event);
}

void StreamLoad::readable(Stream& s) {
  std::array<char, 16 * 1024> buffer;
  const ssize_t got = recv(s.fd, buffer.data(), buffer.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    s.answer.closed();
    return finish(s);
  }
  const std::int64_t now = now_ns();
  s.answer.feed({buffer.data(), static_cast<std::size_t>(got)},
                [&](std::string_view body) { s.reader.feed(body, now); });
  if (s.answer.done() || s.answer.failed()) finish(s);
}

void StreamLoad::finish(Stream& s) {
  s.over = true;
  ++over_;
  if (s.fd < 0) return;
  --open_;
  close(s.fd);
  s.fd = -1;
}

void StreamLoad::run() {
  const std::int64_t begin_at = now_ns();
  const auto ramp = static_cast<std::int64_t>(plan_.ramp * 1e9);
  const std::int64_t deadline = begin_at + ramp + static_cast<std::int64_t>(plan_.patience * 1e9);
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    streams_[i].intended =
        begin_at + ramp * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(streams_.size());
  }
  std::size_t next = 0;
  std::array<epoll_event, 256> events;
  while (over_ < streams_.size() && now_ns() < deadline) {
    while (next < streams_.size() && streams_[next].intended <= now_ns()) begin(streams_[next++]);
    const std::int64_t until = next < streams_.size() ? streams_[next].intended : deadline;
    const std::int64_t left = std::max<std::int64_t>(0, until - now_ns());
    const timespec wait{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    const int count = epoll_pwait2(epoll_, events.data(), events.size(), &wait, nullptr);
    for (int i = 0; i < count; ++i) {
      Stream& s = *static_cast<Stream*>(events[i].data.ptr);
      if (s.fd >= 0 && (events[i].events & EPOLLOUT)) push(s);
      if (s.fd >= 0 && (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))) readable(s);
    }
  }
  report();
}

void StreamLoad::report() {
  Samples first;
  Samples gap;
  Samples delay;
  std::size_t whole = 0;
  std::size_t failed = 0;
  std::size_t reordered = 0;
  std::size_t lost = 0;
  for (const Stream& s : streams_) {
    if (s.reader.first_token != 0) first.add(s.reader.first_token - s.intended);
    gap.add_all(s.reader.gap);
    delay.add_all(s.reader.delay);
    reordered += s.reader.out_of_order;
    lost += plan_.tokens - std::min(plan_.tokens, s.reader.received);
    const bool good = s.over && s.answer.done() && s.answer.status() == 200 && s.reader.ended &&
                      !s.reader.error_event && s.reader.out_of_order == 0 &&
                      s.reader.received == plan_.tokens;
    good ? ++whole : ++failed;
  }
  fmt::print(R"({{"streams":{},"whole":{},"failed":{},"lost_tokens":{},"reordered_tokens":{},)"
             R"("most_at_once":{},"first_token_us":{},"gap_us":{},"delay_us":{}}})"
             "\n",
             streams_.size(), whole, failed, lost, reordered, peak_, first.json(), gap.json(),
             delay.json());
  if (!plan_.out.empty()) write_first_tokens();
}

// A line for each stream: when it was to begin, and how long its first token took (-1: none came).
void StreamLoad::write_first_tokens() {
  std::FILE* file = std::fopen(plan_.out.c_str(), "w");
  if (file == nullptr) die("cannot write --out");
  for (const Stream& s : streams_) {
    const std::int64_t first = s.reader.first_token;
    fmt::print(file, "{:.1f} {:.3f}\n",
               static_cast<double>(s.intended - streams_[0].intended) / 1e6,
               first == 0 ? -1.0 : static_cast<double>(first - s.intended) / 1e6);
  }
  std::fclose(file);
}

namespace {

// Tokens a second of one stream, read with plain blocking calls; 0 when it failed.
double one_stream(std::uint16_t port, const std::string& request) {
  const int fd = connect_to(port);
  if (fd < 0) return 0;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.fd = fd}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  AnswerParser answer;
  unsigned tokens = 0;
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::string partial;
  const auto on_body = [&](std::string_view body) {
    partial += body;
    for (std::size_t end = partial.find('\n'); end != std::string::npos; end = partial.find('\n')) {
      const std::string_view line = std::string_view(partial).substr(0, end);
      const bool token = line.starts_with("data:") &&
                         line.find("\"content\":\"") != std::string_view::npos &&
                         line.find("\"content\":\"\"") == std::string_view::npos;
      if (token) {
        last = now_ns();
        if (tokens++ == 0) first = last;
      }
      partial.erase(0, end + 1);
    }
  };
  std::array<char, 16 * 1024> buffer;
  bool sent = false;
  while (!answer.done() && !answer.failed()) {
    if (epoll_wait(epoll, &event, 1, 60'000) != 1) break;
    if (!sent) {
      if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) break;
      sent = true;
      epoll_event reading{.events = EPOLLIN, .data = {.fd = fd}};
      epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &reading);
      continue;
    }
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EAGAIN) continue;
    if (got <= 0) {
      answer.closed();
    } else {
      answer.feed({buffer.data(), static_cast<std::size_t>(got)}, on_body);
    }
  }
  close(epoll);
  close(fd);
  const bool good = answer.done() && answer.status() == 200 && tokens > 1;
  return good ? (tokens - 1) * 1e9 / static_cast<double>(last - first) : 0;
}

}  // namespace

void run_single(std::uint16_t port, const std::string& model, unsigned tokens, unsigned runs) {
  const std::string request = chat_request(
      port, model, true, 200,
      fmt::format(R"("max_tokens":{},"ignore_eos":true,"cache_prompt":false,)", tokens));
  std::string rates;
  for (unsigned i = 0; i < runs; ++i) {
    rates += fmt::format("{}{:.1f}", i == 0 ? "" : ",", one_stream(port, request));
  }
  fmt::print("{{\"tokens_per_second\":[{}]}}\n", rates);
}

}  // namespace bench
