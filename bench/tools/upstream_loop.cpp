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

// The number of the first token to say: that after the last one of the assistant's text so far,
// when the request ends with such a text.
unsigned first_token(std::string_view body) {
  const std::size_t last = body.rfind("\"role\"");
  if (last == std::string_view::npos) return 0;
  const std::size_t begun = body.substr(0, last).rfind('{');
  const std::string_view message = body.substr(begun == std::string_view::npos ? last : begun);
  if (message.find("\"assistant\"") == std::string_view::npos) return 0;
  const std::size_t hash = message.rfind('#');
  if (hash == std::string_view::npos) return 0;
  unsigned number = 0;
  std::from_chars(message.data() + hash + 1, message.data() + message.size(), number);
  return number + 1;
}

}  // namespace

std::string Counts::json() const {
  std::string seconds;
  for (const auto& [second, both] : per_second) {
    seconds +=
        fmt::format("{}[{},{},{}]", seconds.empty() ? "" : ",", second, both.first, both.second);
  }
  return fmt::format(
      R"({{"connections":{},"requests":{},"answered":{},"cancelled":{},"faulted":{},"in_flight":{},)"
      R"("most_in_flight":{},"per_second":[{}]}})",
      connections, requests, answered, cancelled, faulted, in_flight, most_in_flight, seconds);
}

UpstreamLoop::UpstreamLoop(int listener, int control, Script script)
    : listener_(listener),
      control_(control),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      script_(script) {
  if (epoll_ < 0) die("epoll_create1");
  watch(listener_);
  if (control_ >= 0) watch(control_);
  sharpen_timers();
}

void UpstreamLoop::watch(int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
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
      if (events[i].data.fd == listener_ || events[i].data.fd == control_) {
        accept_all(events[i].data.fd);
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

void UpstreamLoop::accept_all(int listener) {
  while (true) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    set_no_delay(fd);
    auto connection = std::make_unique<Connection>();
    connection->fd = fd;
    connection->serial = ++serial_;
    connection->control = listener == control_;
    watch(fd);
    Connection& c = *(connections_[fd] = std::move(connection));
    if (c.control) continue;
    ++counts_.connections;
    if (control_ >= 0) ++counts_.per_second[now_ns() / 1'000'000'000].first;
    if (book_.now().reset_on_accept) {
      c.resetting = true;
      drop(c);
    }
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
  if (header(head, "connection:").starts_with("close")) c.closing = true;
  const std::size_t space = std::min(head.find(' '), head.size() - 1);
  const std::string_view path = head.substr(space + 1, head.find(' ', space + 1) - space - 1);
  const Request request{head, path, std::string_view(c.in).substr(end + 4, length)};
  if (c.control) {
    serve_control(c, request);
  } else {
    serve(c, request);
  }
  if (c.fd >= 0) c.in.erase(0, end + 4 + length);
  return true;
}

void UpstreamLoop::serve(Connection& c, const Request& request) {
  begun(c);
  std::string_view status = "HTTP/1.1 200 OK\r\n";
  std::string_view whole = kNotFound;
  bool stream = false;
  if (request.head.starts_with("POST /v1/chat/completions ")) {
    stream = asks_for_stream(request.body);
    whole = kChat;
  } else if (request.head.starts_with("GET /v1/models ")) {
    whole = kModels;
  } else if (request.head.starts_with("GET /health ") || request.head.starts_with("OPTIONS / ")) {
    whole = kHealth;
  } else if (request.head.starts_with("GET /props ")) {
    whole = kProps;
  } else {
    status = "HTTP/1.1 404 Not Found\r\n";
  }
  if (control_ >= 0 && book_.hits(request.path)) return begin_faulty(c, request, whole, stream);
  if (stream) return begin_stream(c, first_token(request.body));
  over(c);
  answer(c, status, whole);
}

void UpstreamLoop::serve_control(Connection& c, const Request& request) {
  std::string_view status = "HTTP/1.1 200 OK\r\n";
  std::string body;
  if (request.path == "/__faults") {
    Faults wanted;
    if (!request.head.starts_with("POST ")) {
      body = json_of(book_.now());
    } else if (const std::string wrong = read_faults(request.body, wanted); !wrong.empty()) {
      status = "HTTP/1.1 400 Bad Request\r\n";
      body = fmt::format(R"({{"error":"{}"}})", wrong);
    } else {
      body = json_of(wanted);
      set_faults(std::move(wanted));
    }
  } else if (request.path == "/__stats") {
    if (request.head.starts_with("DELETE ")) {
      counts_ = {.in_flight = counts_.in_flight, .per_second = {}};
    }
    body = counts_.json();
  } else {
    status = "HTTP/1.1 404 Not Found\r\n";
    body = kNotFound;
  }
  answer(c, status, body);
}

void UpstreamLoop::set_faults(Faults faults) {
  const bool refused = book_.now().refuse;
  book_.set(std::move(faults));
  ++faults_serial_;
  const Faults& now = book_.now();
  if (now.for_ms > 0) due_.push({now_ns() + now.for_ms * 1'000'000, -1, faults_serial_});
  if (now.refuse && !refused) go_dark();
  if (!now.refuse && refused) {
    if (listen(listener_, 4096) != 0) die("listen");
    watch(listener_);
  }
  if (now.hold) return;
  for (const auto& [fd, c] : connections_) {
    if (c->faulty && c->faulty->held()) {
      c->faulty->release();
      due_.push({now_ns(), fd, c->serial});
    }
  }
}

// As after a killed process; but the port stays bound, so that nobody else takes it meanwhile.
void UpstreamLoop::go_dark() {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
  shutdown(listener_, SHUT_RDWR);
  std::vector<Connection*> all;
  for (const auto& [fd, c] : connections_) {
    if (!c->control) all.push_back(c.get());
  }
  for (Connection* c : all) {
    c->resetting = true;
    drop(*c);
  }
}

void UpstreamLoop::begin_faulty(Connection& c, const Request& request, std::string_view whole,
                                bool stream) {
  ++counts_.faulted;
  c.streaming = true;
  c.faulty = std::make_unique<FaultyAnswer>(book_.now(), Wanted{.stream = stream,
                                                                .whole = std::string(whole),
                                                                .first = first_token(request.body),
                                                                .tokens = script_.tokens,
                                                                .gap_ns = script_.gap_ns});
  if (c.faulty->silent() || c.faulty->held()) return;
  due_.push({now_ns() + c.faulty->delay_ns(random_()), c.fd, c.serial});
}

void UpstreamLoop::step_faulty(Connection& c, std::int64_t now) {
  while (true) {
    if (!c.faulty->next(now, c.out)) break;
    if (const std::int64_t gap = c.faulty->next_gap_ns(); gap > 0) {
      due_.push({now + gap, c.fd, c.serial});
      return flush(c);
    }
  }
  const FaultyAnswer::End end = c.faulty->end();
  if (end == FaultyAnswer::End::silence) return flush(c);  // until the client leaves
  c.streaming = false;
  over(c);
  if (end != FaultyAnswer::End::keep) --counts_.answered;
  c.faulty.reset();
  c.resetting = end == FaultyAnswer::End::reset;
  c.closing = c.closing || end != FaultyAnswer::End::keep;
  flush(c);
}

void UpstreamLoop::answer(Connection& c, std::string_view head, std::string_view body) {
  fmt::format_to(std::back_inserter(c.out),
                 "{}Content-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}", head,
                 body.size(), c.closing ? "Connection: close\r\n" : "", body);
  flush(c);
}

void UpstreamLoop::begin_stream(Connection& c, unsigned first) {
  c.streaming = true;
  c.next_token = std::min(first, script_.tokens);
  if (script_.close_streams) c.closing = true;
  c.out += stream_head(c.closing);
  due_.push({now_ns() + script_.delay_ns, c.fd, c.serial});
  flush(c);
}

void UpstreamLoop::send_due(std::int64_t now) {
  while (!due_.empty() && due_.top().at <= now) {
    const Due due = due_.top();
    due_.pop();
    if (due.fd < 0) {
      if (due.serial == faults_serial_) set_faults({});
      continue;
    }
    const auto found = connections_.find(due.fd);
    if (found == connections_.end() || found->second->serial != due.serial) continue;
    Connection& c = *found->second;
    if (c.faulty) {
      step_faulty(c, now);
    } else {
      send_tokens(c, due, now);
    }
    // What the client sent meanwhile.
    while (c.fd >= 0 && !c.streaming && !c.closing && serve_one(c)) {}
  }
}

void UpstreamLoop::send_tokens(Connection& c, const Due& due, std::int64_t now) {
  do {
    if (c.next_token < script_.tokens) c.out += token_chunk(c.next_token++, now);
    if (c.next_token == script_.tokens) {
      c.out += stream_end(script_.tokens, script_.gap_ns);
      c.streaming = false;
      over(c);
    }
  } while (c.streaming && script_.gap_ns == 0);
  // Paced from when it was due, not from when it was sent: the rate holds on average.
  if (c.streaming) due_.push({due.at + script_.gap_ns, due.fd, due.serial});
  flush(c);
}

void UpstreamLoop::begun(Connection& c) {
  c.in_flight = true;
  ++counts_.requests;
  counts_.most_in_flight = std::max(counts_.most_in_flight, ++counts_.in_flight);
  if (control_ >= 0) ++counts_.per_second[now_ns() / 1'000'000'000].second;
}

void UpstreamLoop::over(Connection& c) {
  c.in_flight = false;
  --counts_.in_flight;
  ++counts_.answered;
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
  if (c.in_flight) {
    --counts_.in_flight;
    if (!c.resetting) ++counts_.cancelled;
  }
  if (c.resetting) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  dropped_.push_back(std::move(found->second));
  connections_.erase(found);
  close(c.fd);
  c.fd = -1;
}

}  // namespace bench
