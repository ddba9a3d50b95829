// A server whose handlers do what the tests of the HTTP server need, and tell what they saw.
#pragma once

#include <gtest/gtest.h>

#include <mutex>
#include <vector>

#include "net/one_shot.hpp"
#include "test_support.hpp"

namespace corral::net::testing {

inline Task<void> answer(HttpExchange& exchange, int status, std::string body) {
  HttpReply reply;
  reply.status = status;
  reply.content_type = "text/plain";
  reply.body = std::move(body);
  auto ignored = co_await exchange.reply(std::move(reply));
}

inline Task<void> answer_error(HttpExchange& exchange, Error error) {
  int status = error.code == ErrorCode::timeout ? 408 : http_status(error.code);
  co_await answer(exchange, status, error.message);
}

// What the handlers saw, for the tests' thread.
struct Seen {
  std::atomic<int> handled{0};
  std::atomic<int> cancelled{0};
  std::atomic<int> waiting{0};
  std::atomic<long> cancel_micros{-1};
  std::mutex mutex;
  std::vector<HttpOutcome> outcomes;
  std::vector<std::string> targets;

  HttpOutcome last() {
    std::lock_guard lock(mutex);
    return outcomes.empty() ? HttpOutcome{} : outcomes.back();
  }
  std::size_t observed() {
    std::lock_guard lock(mutex);
    return outcomes.size();
  }
};

inline Task<void> stream_words(HttpExchange& exchange) {
  auto begun = exchange.begin(200, "text/event-stream");
  if (!begun) co_return;
  for (std::string_view word : {"one", "two", "three"}) {
    std::string_view parts[] = {"data: ", word, "\n\n"};
    auto sent = co_await exchange.send(parts);
    if (!sent) co_return;
  }
  auto ignored = co_await exchange.finish();
}

inline Task<void> stream_for_ever(HttpExchange& exchange, Seen& seen) {
  auto begun = exchange.begin(200, "text/event-stream");
  if (!begun) co_return;
  std::string piece(64 * 1024, 'x');
  while (true) {
    std::string_view parts[] = {piece};
    auto sent = co_await exchange.send(parts);
    if (!sent) {
      if (sent.error().code == ErrorCode::cancelled) ++seen.cancelled;
      co_return;
    }
  }
}

inline Task<void> wait_long(HttpExchange& exchange, Seen& seen) {
  if (exchange.request().query == "stream") {
    auto begun = exchange.begin(200, "text/event-stream");
    auto flushed = co_await exchange.flush_head();
    if (!begun || !flushed) co_return;
  }
  ++seen.waiting;
  auto slept = co_await sleep_for(30s);
  if (!slept && slept.error().code == ErrorCode::cancelled) ++seen.cancelled;
  --seen.waiting;
}

inline Task<void> wait_one_shot(Seen& seen) {
  auto slot = OneShot<int>::create();
  ++seen.waiting;
  auto value = co_await slot->wait();
  if (!value) ++seen.cancelled;
  // Once cancelled, later waits fail at once.
  auto slept = co_await sleep_for(30s);
  if (!slept) ++seen.cancelled;
  --seen.waiting;
}

inline Task<void> handle(HttpExchange& exchange, Seen& seen) {
  ++seen.handled;
  const HttpRequest& request = exchange.request();
  std::string path(request.path);
  if (path == "/echo") {
    auto body = co_await exchange.read_body();
    if (!body) {
      co_await answer_error(exchange, body.error());
    } else {
      co_await answer(exchange, 200, std::string(*body));
    }
  } else if (path == "/small") {
    auto body = co_await exchange.read_body(10);
    if (!body) {
      co_await answer_error(exchange, body.error());
    } else {
      co_await answer(exchange, 200, std::string(*body));
    }
  } else if (path == "/ignore-body") {
    co_await answer(exchange, 200, "unread");
  } else if (path == "/stream") {
    co_await stream_words(exchange);
  } else if (path == "/for-ever") {
    co_await stream_for_ever(exchange, seen);
  } else if (path == "/wait") {
    co_await wait_long(exchange, seen);
  } else if (path == "/one-shot") {
    co_await wait_one_shot(seen);
  } else if (path == "/nothing") {
    co_return;
  } else if (path == "/empty") {
    co_await answer(exchange, 204, "");
  } else if (path == "/half") {
    auto begun = exchange.begin(200, "text/plain");
    std::string_view parts[] = {"half"};
    auto sent = co_await exchange.send(parts);
    if (begun && sent) exchange.abort();
  } else if (path == "/headers") {
    exchange.extra_headers().add("X-Extra", "yes");
    exchange.extra_headers().add("X-Evil", "a\r\nSet-Cookie: stolen");
    exchange.extra_headers().add("Content-Length", "5");
    exchange.extra_headers().add("Transfer-Encoding", "chunked");
    co_await answer(exchange, 200, "x");
  } else if (path == "/twice") {
    co_await answer(exchange, 200, "first");
    co_await answer(exchange, 200, "second");
  } else {
    co_await answer(exchange, 200, request.method + " " + request.target);
  }
}

class Server {
 public:
  explicit Server(HttpServerOptions options = {}, std::size_t shards = 1) : loops(shards) {
    server.emplace(
        loops.shards(), options, [this](HttpExchange& exchange) { return handle(exchange, seen); },
        [this](const HttpRequest& request, const HttpOutcome& outcome) {
          std::lock_guard lock(seen.mutex);
          seen.outcomes.push_back(outcome);
          seen.targets.push_back(request.target);
        });
    auto bound = server->listen("127.0.0.1", 0);
    EXPECT_TRUE(bound.has_value());
    port = bound->port;
    server->start();
  }
  ~Server() {
    if (!loops.ended()) stop(0ms);
    loops.end();
  }
  std::size_t stop(std::chrono::milliseconds grace) {
    return loops.run(loops.shards().control(), server->stop(grace));
  }
  // Sends text on a connection of its own and returns all that comes until the server closes.
  std::string exchange_raw(std::string_view text) {
    RawClient client(port);
    client.send(text);
    client.finish_sending();
    return client.read_all();
  }

  Seen seen;
  Loops loops;
  std::optional<HttpServer> server;
  std::uint16_t port = 0;
};

constexpr std::string_view kGet = "GET /a?b=1 HTTP/1.1\r\nHost: h\r\n\r\n";

}  // namespace corral::net::testing
