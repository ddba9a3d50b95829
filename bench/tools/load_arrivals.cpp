#include "load_arrivals.hpp"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <utility>

#include "common.hpp"

namespace bench {
namespace {

constexpr std::size_t kBodyKept = 64 * 1024;

std::int64_t in_ns(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

}  // namespace

ArrivalLoad::ArrivalLoad(ArrivalPlan plan)
    : plan_(std::move(plan)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) die("epoll_create1");
  if (plan_.bodies.empty()) return;
  std::ifstream file(plan_.bodies);
  for (std::string line; std::getline(file, line);) bodies_.push_back(line);
  if (bodies_.empty()) die(plan_.bodies);
}

// No two are alike, so that nothing between here and the backend can answer two with one.
std::string ArrivalLoad::request(std::uint64_t number, bool stream) const {
  if (bodies_.empty()) {
    return chat_request(plan_.port, plan_.model, stream, plan_.bytes,
                        fmt::format(R"("seed":{},)", number));
  }
  const std::string& body = bodies_[number % bodies_.size()];
  return fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: bench\r\n"
      "Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      plan_.port, body.size(), body);
}

void ArrivalLoad::arrive(std::int64_t intended) {
  if (idle_.empty()) {
    if (connections_.size() == plan_.connections) {
      waiting_.push_back(intended);
      return;
    }
    idle_.push_back(connections_.emplace_back(std::make_unique<Connection>()).get());
  }
  Connection& c = *idle_.back();
  idle_.pop_back();
  start(c, intended);
}

void ArrivalLoad::start(Connection& c, std::int64_t intended) {
  c.busy = true;
  ++c.serial;
  c.intended = intended;
  c.first = 0;
  c.sent = 0;
  c.stream = plan_.mixed ? number_ % 2 == 1 : plan_.stream;
  c.request = request(number_++, c.stream);
  c.body.clear();
  c.answer.reset();
  c.reader = StreamReader();
  ++open_;
  limits_.push_back({intended + in_ns(plan_.patience), &c, c.serial});
  if (c.fd >= 0) return push(c);
  c.fd = connect_to(plan_.port);
  if (c.fd < 0) return finish(c, Outcome::connect);
  epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.ptr = &c}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event);
}

void ArrivalLoad::push(Connection& c) {
  const ssize_t sent =
      send(c.fd, c.request.data() + c.sent, c.request.size() - c.sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) {
    return finish(c, errno == ECONNREFUSED ? Outcome::connect : Outcome::closed);
  }
  c.sent += static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
  const bool more = c.sent < c.request.size();
  epoll_event event{.events = EPOLLIN | (more ? EPOLLOUT : 0u), .data = {.ptr = &c}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event);
}

void ArrivalLoad::readable(Connection& c) {
  std::array<char, 16 * 1024> buffer;
  const ssize_t got = recv(c.fd, buffer.data(), buffer.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (!c.busy) {  // a kept connection ended while nothing was asked
    close(c.fd);
    c.fd = -1;
    return;
  }
  if (got <= 0) {
    const bool refused = got < 0 && errno == ECONNREFUSED;
    c.answer.closed();
    if (c.answer.done()) return finish(c, judge(c));
    return finish(c, refused ? Outcome::connect : Outcome::closed);
  }
  const std::int64_t now = now_ns();
  c.answer.feed({buffer.data(), static_cast<std::size_t>(got)}, [&](std::string_view body) {
    if (c.stream) {
      c.reader.feed(body, now);
      // A real model's tokens carry no number: there its first content counts.
      if (c.first == 0 && (c.reader.first_token != 0 || c.reader.contents > 0)) c.first = now;
      return;
    }
    if (c.first == 0) c.first = now;
    c.body += body.substr(0, kBodyKept - std::min(kBodyKept, c.body.size()));
  });
  if (c.answer.failed()) return finish(c, Outcome::rubbish);
  if (c.answer.done()) finish(c, judge(c));
}

ArrivalLoad::Outcome ArrivalLoad::judge(const Connection& c) const {
  if (c.answer.status() != 200) return Outcome::status;
  if (!c.stream) {
    return c.body.find("\"choices\"") == std::string::npos ? Outcome::broken : Outcome::ok;
  }
  const bool tokens =
      plan_.tokens == 0 || (c.reader.received == plan_.tokens && c.reader.out_of_order == 0);
  return tokens && c.reader.ended && !c.reader.error_event ? Outcome::ok : Outcome::broken;
}

void ArrivalLoad::finish(Connection& c, Outcome outcome) {
  records_.push_back({.intended = c.intended,
                      .latency = now_ns() - c.intended,
                      .first = c.first == 0 ? 0 : c.first - c.intended,
                      .status = c.answer.status(),
                      .outcome = outcome,
                      .retry_after = c.answer.has_retry_after(),
                      .attempts = c.answer.attempts(),
                      .stream = c.stream});
  c.busy = false;
  --open_;
  const bool kept = c.answer.done() && c.answer.keeps_alive();
  if (!kept && c.fd >= 0) {
    close(c.fd);
    c.fd = -1;
  }
  idle_.push_back(&c);
  if (waiting_.empty()) return;
  const std::int64_t intended = waiting_.front();
  waiting_.pop_front();
  arrive(intended);
}

void ArrivalLoad::give_up(std::int64_t now) {
  while (!limits_.empty() && limits_.front().at <= now) {
    const Limit limit = limits_.front();
    limits_.pop_front();
    Connection& c = *limit.connection;
    if (c.busy && c.serial == limit.serial) finish(c, Outcome::timeout);
  }
}

void ArrivalLoad::run() {
  const std::int64_t begin = now_ns();
  const std::int64_t end = begin + in_ns(plan_.seconds);
  const std::int64_t gap = in_ns(1.0 / plan_.rate);
  std::int64_t next = begin;
  std::array<epoll_event, 256> events;
  while (next < end || open_ > 0) {
    for (const std::int64_t now = now_ns(); next <= now && next < end; next += gap) arrive(next);
    give_up(now_ns());
    std::int64_t until = next < end ? next : now_ns() + in_ns(1);
    if (!limits_.empty()) until = std::min(until, limits_.front().at);
    const std::int64_t left = std::max<std::int64_t>(0, until - now_ns());
    const timespec wait{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    const int count = epoll_pwait2(epoll_, events.data(), events.size(), &wait, nullptr);
    for (int i = 0; i < count; ++i) {
      Connection& c = *static_cast<Connection*>(events[i].data.ptr);
      if (c.fd >= 0 && c.busy && (events[i].events & EPOLLOUT)) push(c);
      if (c.fd >= 0 && (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))) readable(c);
    }
  }
  report();
}

std::string_view ArrivalLoad::name(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok: return "ok";
    case Outcome::connect: return "connect";
    case Outcome::closed: return "closed";
    case Outcome::rubbish: return "rubbish";
    case Outcome::status: return "status";
    case Outcome::broken: return "broken";
    case Outcome::timeout: return "timeout";
  }
  return "?";
}

void ArrivalLoad::report() {
  Samples latency;
  Samples first;
  std::size_t good = 0;
  std::FILE* file = plan_.out.empty() ? nullptr : std::fopen(plan_.out.c_str(), "w");
  if (file == nullptr && !plan_.out.empty()) die(plan_.out);
  for (const Record& one : records_) {
    if (one.outcome == Outcome::ok) {
      ++good;
      latency.add(one.latency);
      first.add(one.first);
    }
    if (file == nullptr) continue;
    fmt::print(file, "{} {} {} {} {} {} {} {}\n", one.intended, one.latency, one.first, one.status,
               name(one.outcome), one.retry_after ? 1 : 0, one.attempts, one.stream ? 1 : 0);
  }
  if (file != nullptr && std::fclose(file) != 0) die(plan_.out);
  fmt::print(R"({{"requests":{},"good":{},"failed":{},"latency_us":{},"first_us":{}}})"
             "\n",
             records_.size(), good, records_.size() - good, latency.json(), first.json());
}

}  // namespace bench
