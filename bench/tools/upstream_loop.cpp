#include "upstream_loop.hpp"

#include <fmt/core.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <iterator>

#include "common.hpp"

namespace bench {
namespace {

constexpr std::string_view kChat =
    R"({"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench-model",)"
    R"("choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps )"
    R"(over the lazy dog, and then does it again."},"finish_reason":"stop"}],"usage":)"
    R"({"prompt_tokens":180,"completion_tokens":17,"total_tokens":197},"system_fingerprint":"bench"})";
constexpr std::string_view kModels =
    R"({"object":"list","data":[{"id":"bench-model","object":"model","created":1700000000,)"
    R"("owned_by":"bench"}]})";
constexpr std::string_view kHealth = R"({"status":"ok"})";
constexpr std::string_view kProps =
    R"({"total_slots":4096,"default_generation_settings":{"n_ctx":4096}})";
constexpr std::string_view kNotFound = R"({"error":{"message":"not found","code":404}})";

// The value of header `name` (lower case, with its colon) within a request head.
std::string_view header(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos;
       at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    if (line.size() < name.size()) continue;
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
    if (!std::equal(name.begin(), name.end(), line.begin(),
                    [&](char b, char a) { return same(a, b); })) {
      continue;
    }
    std::string_view value = line.substr(name.size());
    while (value.starts_with(' ')) value.remove_prefix(1);
    return value;
  }
  return {};
}

bool asks_for_stream(std::string_view body) {
  std::size_t at = body.find("\"stream\"");
  if (at == std::string_view::npos) return false;
  at += 8;
  while (at < body.size() && (body[at] == ' ' || body[at] == ':')) ++at;
  return body.substr(at).starts_with("true");
}

void append_chunk(std::string& out, std::string_view event) {
  fmt::format_to(std::back_inserter(out), "{:x}\r\n{}\r\n", event.size(), event);
}

}  // namespace

UpstreamLoop::UpstreamLoop(int listener, Script script)
    : listener_(listener), epoll_(epoll_create1(EPOLL_CLOEXEC)), script_(script) {
  if (epoll_ < 0) die("epoll_create1");
  epoll_event event{.events = EPOLLIN, .data = {.fd = listener_}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) die("epoll_ctl");
  sharpen_timers();
}

void UpstreamLoop::run() {
  std::array<epoll_event, 256> events;
  while (true) {
    timespec wait{};
    const timespec* timeout = nullptr;
    if (!due_.empty()) {
      const std::int64_t left = std::max<std::int64_t>(0, due_.top().at - now_ns());
      wait = {.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
      timeout = &wait;
    }
    const int count = epoll_pwait2(epoll_, events.data(), events.size(), timeout, nullptr);
    if (count < 0 && errno != EINTR) die("epoll_pwait2");
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == listener_) {
        accept_all();
        continue;
      }
      const auto found = connections_.find(events[i].data.fd);
      if (found == connections_.end()) continue;
      Connection& c = *found->second;
      if (events[i].events & EPOLLOUT) flush(c);
      if (c.fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) readable(c);
    }
    if (!due_.empty()) send_due(now_ns());
    dropped_.clear();
  }
}

void UpstreamLoop::accept_all() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    set_no_delay(fd);
    auto connection = std::make_unique<Connection>();
    connection->fd = fd;
    connection->serial = ++serial_;
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    connections_[fd] = std::move(connection);
  }
}

void UpstreamLoop::readable(Connection& c) {
  std::array<char, 16 * 1024> buffer;
  const ssize_t got = recv(c.fd, buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return drop(c);
  c.in.append(buffer.data(), static_cast<std::size_t>(got));
  while (c.fd >= 0 && !c.streaming && !c.closing && serve_one(c)) {}
}

bool UpstreamLoop::serve_one(Connection& c) {
  const std::size_t end = c.in.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const std::string_view head = std::string_view(c.in).substr(0, end + 2);
  std::size_t length = 0;
  const std::string_view said = header(head, "content-length:");
  std::from_chars(said.data(), said.data() + said.size(), length);
  if (c.in.size() < end + 4 + length) return false;
  if (!header(head, "transfer-encoding:").empty()) {
    c.closing = true;
    answer(c, "HTTP/1.1 411 Length Required\r\n", kNotFound);
    return true;
  }
  const std::string_view body = std::string_view(c.in).substr(end + 4, length);
  if (header(head, "connection:") == "close") c.closing = true;
  if (head.starts_with("POST /v1/chat/completions ")) {
    if (asks_for_stream(body)) {
      begin_stream(c);
    } else {
      answer(c, "HTTP/1.1 200 OK\r\n", kChat);
    }
  } else if (head.starts_with("GET /v1/models ")) {
    answer(c, "HTTP/1.1 200 OK\r\n", kModels);
  } else if (head.starts_with("GET /health ")) {
    answer(c, "HTTP/1.1 200 OK\r\n", kHealth);
  } else if (head.starts_with("GET /props ")) {
    answer(c, "HTTP/1.1 200 OK\r\n", kProps);
  } else {
    answer(c, "HTTP/1.1 404 Not Found\r\n", kNotFound);
  }
  if (c.fd >= 0) c.in.erase(0, end + 4 + length);
  return true;
}

void UpstreamLoop::answer(Connection& c, std::string_view head, std::string_view body) {
  fmt::format_to(std::back_inserter(c.out),
                 "{}Content-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}", head,
                 body.size(), c.closing ? "Connection: close\r\n" : "", body);
  flush(c);
}

void UpstreamLoop::begin_stream(Connection& c) {
  c.streaming = true;
  c.next_token = 0;
  if (script_.close_streams) c.closing = true;
  fmt::format_to(std::back_inserter(c.out),
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                 "Transfer-Encoding: chunked\r\n{}\r\n",
                 c.closing ? "Connection: close\r\n" : "");
  append_chunk(c.out, R"(data: {"id":"chatcmpl-bench","object":"chat.completion.chunk",)"
                      R"("created":1700000000,"model":"bench-model","choices":[{"index":0,"delta":)"
                      R"({"role":"assistant","content":null},"finish_reason":null}]})"
                      "\n\n");
  due_.push({now_ns() + script_.delay_ns, c.fd, c.serial});
  flush(c);
}

void UpstreamLoop::send_token(Connection& c, std::int64_t now) {
  append_chunk(
      c.out,
      fmt::format(R"(data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk",)"
                  R"("created":1700000000,"model":"bench-model","choices":[{{"index":0,"delta":)"
                  R"({{"content":"#{}@{} "}},"finish_reason":null}}]}})"
                  "\n\n",
                  c.next_token++, now));
}

void UpstreamLoop::end_stream(Connection& c) {
  append_chunk(
      c.out,
      fmt::format(
          R"(data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk",)"
          R"("created":1700000000,"model":"bench-model","choices":[{{"index":0,"delta":{{}},)"
          R"("finish_reason":"stop"}}],"usage":{{"prompt_tokens":180,"completion_tokens":{0},)"
          R"("total_tokens":{1}}},"timings":{{"prompt_n":180,"prompt_ms":1.0,)"
          R"("predicted_n":{0},"predicted_ms":{2}.0}}}})"
          "\n\n",
          script_.tokens, script_.tokens + 180, script_.gap_ns / 1'000'000 * script_.tokens));
  append_chunk(c.out, "data: [DONE]\n\n");
  c.out += "0\r\n\r\n";
  c.streaming = false;
}

void UpstreamLoop::send_due(std::int64_t now) {
  while (!due_.empty() && due_.top().at <= now) {
    const Due due = due_.top();
    due_.pop();
    const auto found = connections_.find(due.fd);
    if (found == connections_.end() || found->second->serial != due.serial) continue;
    Connection& c = *found->second;
    do {
      if (c.next_token < script_.tokens) send_token(c, now);
      if (c.next_token == script_.tokens) end_stream(c);
    } while (c.streaming && script_.gap_ns == 0);
    // Paced from when it was due, not from when it was sent: the rate holds on average.
    if (c.streaming) due_.push({due.at + script_.gap_ns, due.fd, due.serial});
    flush(c);
  }
}

void UpstreamLoop::flush(Connection& c) {
  if (!c.out.empty()) {
    const ssize_t sent = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return drop(c);
    if (sent > 0) c.out.erase(0, static_cast<std::size_t>(sent));
  }
  const bool more = !c.out.empty();
  if (more != c.wants_write) {
    epoll_event event{.events = EPOLLIN | (more ? EPOLLOUT : 0u), .data = {.fd = c.fd}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event);
    c.wants_write = more;
  }
  if (!more && c.closing && !c.streaming) drop(c);
}

void UpstreamLoop::drop(Connection& c) {
  const auto found = connections_.find(c.fd);
  if (found == connections_.end()) return;
  dropped_.push_back(std::move(found->second));
  connections_.erase(found);
  close(c.fd);
  c.fd = -1;
}

}  // namespace bench
