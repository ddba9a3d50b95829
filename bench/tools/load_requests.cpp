#include "load_requests.hpp"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "common.hpp"

namespace bench {
namespace {

std::int64_t in_ns(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

}  // namespace

RequestLoad::RequestLoad(RequestPlan plan)
    : plan_(std::move(plan)),
      request_(chat_request(plan_.port, plan_.model, false, plan_.bytes)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      connections_(plan_.connections) {
  if (epoll_ < 0) die("epoll_create1");
  if (plan_.rate > 0) gap_ = in_ns(1.0 / plan_.rate);
}

void RequestLoad::open(Connection& c) {
  c.fd = connect_to(plan_.port);
  if (c.fd < 0) die("connect");
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &c}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event);
}

void RequestLoad::start(Connection& c, std::int64_t begun) {
  c.busy = true;
  c.begun = begun;
  c.sent = 0;
  c.answer.reset();
  if (c.fd < 0) {
    open(c);
    // The connection is not made yet: say when it can be written.
    epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.ptr = &c}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event);
    return;
  }
  push(c);
}

void RequestLoad::push(Connection& c) {
  const ssize_t sent = send(c.fd, request_.data() + c.sent, request_.size() - c.sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return finish(c, false);
  c.sent += static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
  const bool more = c.sent < request_.size();
  if (!more && sent == static_cast<ssize_t>(request_.size())) return;  // the common case: no MOD
  epoll_event event{.events = EPOLLIN | (more ? EPOLLOUT : 0u), .data = {.ptr = &c}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event);
}

void RequestLoad::readable(Connection& c) {
  std::array<char, 16 * 1024> buffer;
  const ssize_t got = recv(c.fd, buffer.data(), buffer.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    c.answer.closed();
    if (c.busy) return finish(c, c.answer.done() && c.answer.status() == 200);
    // A kept connection may be closed by the other side while nothing is asked.
    close(c.fd);
    c.fd = -1;
    return;
  }
  c.answer.feed({buffer.data(), static_cast<std::size_t>(got)}, [](std::string_view) {});
  if (c.answer.done() || c.answer.failed()) {
    finish(c, c.busy && c.answer.done() && c.answer.status() == 200);
  }
}

void RequestLoad::finish(Connection& c, bool good) {
  const std::int64_t now = now_ns();
  if (c.begun >= counting_from_ && now <= end_) {
    good ? ++good_ : ++errors_;
    if (good) latency_.add(now - c.begun);
  }
  c.busy = false;
  if (!good || !c.answer.keeps_alive()) {
    close(c.fd);
    c.fd = -1;
  }
  next(c);
}

void RequestLoad::next(Connection& c) {
  if (stopped_) return;
  if (gap_ == 0) return start(c, now_ns());
  if (waiting_.empty()) {
    idle_.push_back(&c);
    return;
  }
  const std::int64_t intended = waiting_.front();
  waiting_.pop_front();
  start(c, intended);
}

// Starts what is due. The clock of a request runs from when it should have been sent, so a stall
// counts for every request that it held up.
void RequestLoad::spend_due(std::int64_t now) {
  for (; next_due_ <= now; next_due_ += gap_) {
    if (idle_.empty()) {
      waiting_.push_back(next_due_);
      continue;
    }
    Connection& c = *idle_.back();
    idle_.pop_back();
    start(c, next_due_);
  }
}

void RequestLoad::run() {
  const std::int64_t begin = now_ns();
  counting_from_ = begin + in_ns(plan_.warm_up);
  end_ = counting_from_ + in_ns(plan_.seconds);
  next_due_ = begin;
  for (Connection& c : connections_) next(c);
  std::array<epoll_event, 256> events;
  for (std::int64_t now = begin; now < end_; now = now_ns()) {
    if (gap_ > 0) spend_due(now);
    const std::int64_t until = gap_ > 0 ? std::min(next_due_, end_) : end_;
    const std::int64_t left = std::max<std::int64_t>(0, until - now_ns());
    const timespec wait{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    const int count = epoll_pwait2(epoll_, events.data(), events.size(), &wait, nullptr);
    for (int i = 0; i < count; ++i) {
      Connection& c = *static_cast<Connection*>(events[i].data.ptr);
      if (c.fd >= 0 && (events[i].events & EPOLLOUT)) push(c);
      if (c.fd >= 0 && (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))) readable(c);
    }
  }
  stopped_ = true;
  // What was due and never got its turn is a failure, not a request that did not happen.
  for (const std::int64_t intended : waiting_) errors_ += intended >= counting_from_ ? 1 : 0;
  fmt::print(R"({{"requests":{},"errors":{},"per_second":{:.1f},"latency_us":{}}})"
             "\n",
             good_, errors_, static_cast<double>(good_) / plan_.seconds, latency_.json());
}

}  // namespace bench
