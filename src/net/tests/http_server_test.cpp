#include "net/http_server.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "net/one_shot.hpp"
#include "test_support.hpp"

namespace corral::net {
namespace {

using namespace testing;

Task<void> answer(HttpExchange& exchange, int status, std::string body) {
  HttpReply reply;
  reply.status = status;
  reply.content_type = "text/plain";
  reply.body = std::move(body);
  auto ignored = co_await exchange.reply(std::move(reply));
}

Task<void> answer_error(HttpExchange& exchange, Error error) {
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

Task<void> stream_words(HttpExchange& exchange) {
  auto begun = exchange.begin(200, "text/event-stream");
  if (!begun) co_return;
  for (std::string_view word : {"one", "two", "three"}) {
    std::string_view parts[] = {"data: ", word, "\n\n"};
    auto sent = co_await exchange.send(parts);
    if (!sent) co_return;
  }
  auto ignored = co_await exchange.finish();
}

Task<void> stream_for_ever(HttpExchange& exchange, Seen& seen) {
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

Task<void> wait_long(HttpExchange& exchange, Seen& seen) {
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

Task<void> wait_one_shot(Seen& seen) {
  auto slot = OneShot<int>::create();
  ++seen.waiting;
  auto value = co_await slot->wait();
  if (!value) ++seen.cancelled;
  // Once cancelled, later waits fail at once.
  auto slept = co_await sleep_for(30s);
  if (!slept) ++seen.cancelled;
  --seen.waiting;
}

Task<void> handle(HttpExchange& exchange, Seen& seen) {
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
        loops.shards(), options,
        [this](HttpExchange& exchange) { return handle(exchange, seen); },
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

TEST(HttpServer, AnswersAndKeepsTheConnection) {
  Server server;
  RawClient client(server.port);
  for (int i = 0; i < 3; ++i) {
    client.send(kGet);
    auto answer = client.read_answer();
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_EQ(body_of(answer), "GET /a?b=1");
    EXPECT_TRUE(answer.contains("\r\nDate: ")) << answer;
    EXPECT_TRUE(answer.contains("\r\nx-request-id: ")) << answer;
    EXPECT_FALSE(answer.contains("Connection: close")) << answer;
  }
  EXPECT_EQ(server.server->connections(), 1u);
  EXPECT_EQ(server.seen.handled, 3);
}

TEST(HttpServer, ServesPipelinedRequestsInOrder) {
  Server server;
  RawClient client(server.port);
  std::string many;
  for (int i = 0; i < 20; ++i) {
    many += "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n" + std::to_string(10 + i);
  }
  client.send(many);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(body_of(client.read_answer()), std::to_string(10 + i));
}

TEST(HttpServer, ReadsOneByteAtATime) {
  Server server;
  RawClient client(server.port);
  std::string_view text =
      "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n";
  for (char c : text) client.send({&c, 1});
  EXPECT_EQ(body_of(client.read_answer()), "abcde");
  client.send(kGet);
  EXPECT_EQ(status_of(client.read_answer()), 200);
}

TEST(HttpServer, ReadsLargeBodies) {
  Server server;
  std::string body(3 << 20, 'b');
  RawClient client(server.port);
  std::thread writer([&] {
    client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n");
    client.send(body);
  });
  auto answer = client.read_answer();
  writer.join();
  EXPECT_EQ(body_of(answer), body);
  EXPECT_TRUE(eventually([&] { return server.seen.observed() == 1; }));
  auto outcome = server.seen.last();
  EXPECT_EQ(outcome.bytes_in, body.size());
  EXPECT_EQ(outcome.bytes_out, body.size());
  EXPECT_EQ(outcome.status, 200);
  EXPECT_FALSE(outcome.client_left);
}

TEST(HttpServer, SendsContinueOnlyWhenTheBodyIsWanted) {
  Server server;
  RawClient client(server.port);
  client.send(
      "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("body");
  auto answer = client.read_until("body");
  EXPECT_TRUE(answer.contains("HTTP/1.1 200 OK")) << answer;

  RawClient other(server.port);
  other.send(
      "POST /ignore-body HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  auto refused = other.read_answer();
  EXPECT_EQ(status_of(refused), 200);
  EXPECT_TRUE(refused.contains("Connection: close")) << refused;
}

TEST(HttpServer, AnswersHeadWithoutBody) {
  Server server;
  RawClient client(server.port);
  client.send("HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n");
  auto answer = client.read_answer(true);
  EXPECT_TRUE(answer.contains("Content-Length: 9")) << answer;
  client.send("HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(client.read_answer(true).contains("Transfer-Encoding: chunked"));
  client.send(kGet);
  EXPECT_EQ(body_of(client.read_answer()), "GET /a?b=1");
}

TEST(HttpServer, AnswersNoContentWithoutLength) {
  Server server;
  RawClient client(server.port);
  client.send("GET /empty HTTP/1.1\r\nHost: h\r\n\r\n");
  auto answer = client.read_answer();
  EXPECT_EQ(status_of(answer), 204);
  EXPECT_FALSE(answer.contains("Content-Length")) << answer;
}

TEST(HttpServer, StreamsInChunks) {
  Server server;
  RawClient client(server.port);
  client.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  auto answer = client.read_until("0\r\n\r\n");
  EXPECT_TRUE(answer.contains("Transfer-Encoding: chunked")) << answer;
  EXPECT_EQ(body_of(answer),
            "b\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\nd\r\ndata: three\n\n\r\n0\r\n\r\n");
}

TEST(HttpServer, StreamsToOldClientsUntilTheEnd) {
  Server server;
  auto answer = server.exchange_raw("GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(answer.contains("Connection: close")) << answer;
  RawClient client(server.port);
  client.send("GET /stream HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
  answer = client.read_all();
  EXPECT_FALSE(answer.contains("chunked")) << answer;
  EXPECT_TRUE(answer.contains("Connection: close")) << answer;
  EXPECT_EQ(body_of(answer), "data: one\n\ndata: two\n\ndata: three\n\n");
  RawClient kept(server.port);
  kept.send("GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(kept.read_answer().contains("Connection: keep-alive"));
  kept.send("GET /b HTTP/1.0\r\nHost: h\r\n\r\n");
  EXPECT_EQ(body_of(kept.read_answer()), "GET /b");
}

TEST(HttpServer, ClosesWhenAsked) {
  Server server;
  RawClient client(server.port);
  client.send("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.read_all().contains("Connection: close"));
  EXPECT_TRUE(client.ended());
}

TEST(HttpServer, PassesRequestIds) {
  Server server;
  RawClient client(server.port);
  client.send("GET /a HTTP/1.1\r\nHost: h\r\nX-Request-Id: abc-1._X\r\n\r\n");
  EXPECT_TRUE(client.read_answer().contains("x-request-id: abc-1._X\r\n"));
  client.send("GET /a HTTP/1.1\r\nHost: h\r\nX-Request-Id: bad id!\r\n\r\n");
  auto answer = client.read_answer();
  EXPECT_FALSE(answer.contains("bad id!")) << answer;
  auto at = answer.find("x-request-id: ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(answer.find("\r\n", at) - at, 14 + 16u);
}

TEST(HttpServer, HandlersCannotForgeHeaders) {
  Server server;
  RawClient client(server.port);
  client.send("GET /headers HTTP/1.1\r\nHost: h\r\n\r\n");
  auto answer = client.read_answer();
  EXPECT_TRUE(answer.contains("X-Extra: yes\r\n")) << answer;
  EXPECT_FALSE(answer.contains("Set-Cookie")) << answer;
  EXPECT_FALSE(answer.contains("chunked")) << answer;
  EXPECT_TRUE(answer.contains("Content-Length: 1\r\n")) << answer;
  EXPECT_FALSE(answer.contains("Content-Length: 5")) << answer;
}

TEST(HttpServer, SecondAnswerIsAnError) {
  Server server;
  RawClient client(server.port);
  client.send("GET /twice HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(body_of(client.read_answer()), "first");
  client.send(kGet);
  EXPECT_EQ(body_of(client.read_answer()), "GET /a?b=1");
}

TEST(HttpServer, UnansweredRequestIs500) {
  Server server;
  RawClient client(server.port);
  client.send("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(status_of(client.read_answer()), 500);
}

TEST(HttpServer, AbortedStreamIsSeenAsCut) {
  Server server;
  RawClient client(server.port);
  client.send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
  auto answer = client.read_all();
  EXPECT_TRUE(answer.contains("4\r\nhalf\r\n")) << answer;
  EXPECT_FALSE(answer.contains("0\r\n\r\n")) << answer;
  EXPECT_TRUE(client.ended());
  RawClient old(server.port);
  old.send("GET /half HTTP/1.0\r\nHost: h\r\n\r\n");
  old.read_all();
  EXPECT_TRUE(old.was_reset());
}

// --- limits --------------------------------------------------------------------------------------

TEST(HttpServer, RefusesLargeHeads) {
  HttpServerOptions options;
  options.max_header_bytes = 1024;
  Server server(options);
  RawClient client(server.port);
  client.send("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'x') + "\r\n\r\n");
  auto answer = client.read_all();
  EXPECT_EQ(status_of(answer), 431);
  EXPECT_TRUE(answer.contains("Connection: close")) << answer;
  RawClient endless(server.port);
  endless.send("GET /" + std::string(2000, 'x'));
  EXPECT_EQ(status_of(endless.read_all()), 431);
  EXPECT_EQ(server.seen.handled, 0);
}

TEST(HttpServer, RefusesLargeBodies) {
  HttpServerOptions options;
  options.max_body_bytes = 100;
  Server server(options);
  RawClient client(server.port);
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n");
  auto answer = client.read_answer();
  EXPECT_EQ(status_of(answer), 413);
  EXPECT_TRUE(answer.contains("Connection: close")) << answer;
  RawClient chunked(server.port);
  chunked.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n" +
               std::string(128, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(status_of(chunked.read_answer()), 413);
  RawClient small(server.port);
  small.send("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n01234567890");
  EXPECT_EQ(status_of(small.read_answer()), 413);
}

TEST(HttpServer, AnswerSurvivesAnUnreadBody) {
  HttpServerOptions options;
  options.max_body_bytes = 100;
  Server server(options);
  RawClient client(server.port);
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  client.send(std::string(1'000'000, 'x'));
  EXPECT_EQ(status_of(client.read_all()), 413);
}

TEST(HttpServer, DropsSlowHeads) {
  HttpServerOptions options;
  options.header_timeout = 200ms;
  Server server(options);
  RawClient client(server.port);
  client.send("GET / HT");
  auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(status_of(client.read_all()), 408);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s);
  RawClient silent(server.port);
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_TRUE(silent.ended());
}

TEST(HttpServer, DropsIdleConnections) {
  HttpServerOptions options;
  options.idle_timeout = 200ms;
  Server server(options);
  RawClient client(server.port);
  client.send(kGet);
  client.read_answer();
  EXPECT_EQ(client.read_all(), "");
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(eventually([&] { return server.server->connections() == 0; }));
}

TEST(HttpServer, DropsSlowBodies) {
  HttpServerOptions options;
  options.body_timeout = 200ms;
  Server server(options);
  RawClient client(server.port);
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(status_of(client.read_all()), 408);
}

TEST(HttpServer, DropsTricklingBodies) {
  HttpServerOptions options;
  options.body_timeout = 300ms;
  options.min_body_rate = 1000;
  Server server(options);
  RawClient client(server.port);
  client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
  auto begun = std::chrono::steady_clock::now();
  std::string got;
  for (int i = 0; i < 100 && got.empty(); ++i) {
    client.send("x");  // each byte comes well before body_timeout
    got = client.read_until("\r\n\r\n", 50ms);
  }
  EXPECT_EQ(status_of(got), 408);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s);
}

TEST(HttpServer, DropsReadersThatTakeNothing) {
  HttpServerOptions options;
  options.write_timeout = 200ms;
  Server server(options);
  RawClient client(server.port, 4096);
  client.send("GET /for-ever HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return server.seen.cancelled == 1; }));
  EXPECT_TRUE(eventually([&] { return server.seen.observed() == 1; }));
  EXPECT_TRUE(server.seen.last().client_left);
}

TEST(HttpServer, LimitsConnections) {
  HttpServerOptions options;
  options.max_connections = 2;
  Server server(options);
  RawClient one(server.port);
  RawClient two(server.port);
  EXPECT_TRUE(eventually([&] { return server.server->connections() == 2; }));
  RawClient three(server.port);
  EXPECT_EQ(status_of(three.read_all()), 503);
  one.close();
  EXPECT_TRUE(eventually([&] { return server.server->connections() == 1; }));
  RawClient four(server.port);
  four.send(kGet);
  EXPECT_EQ(status_of(four.read_answer()), 200);
}

TEST(HttpServer, SurvivesRunningOutOfDescriptors) {
  Server server;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  RawClient early(server.port);
  early.send(kGet);
  EXPECT_EQ(status_of(early.read_answer()), 200);
  // The client's socket takes the last descriptor that is allowed, so that accept() finds none.
  sys::Fd probe(::dup(0));
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(probe.get()) + 1;
  probe.reset();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  RawClient late(server.port);
  late.send(kGet);
  EXPECT_EQ(late.read_until("\r\n\r\n", 300ms), "");
  early.send(kGet);
  EXPECT_EQ(status_of(early.read_answer()), 200);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(status_of(late.read_answer()), 200);
}

// --- smuggling -----------------------------------------------------------------------------------

TEST(HttpServer, RefusesSmuggling) {
  struct Case {
    std::string_view head;
    int status;
  };
  const Case cases[] = {
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
  };
  Server server;
  for (const auto& each : cases) {
    RawClient client(server.port);
    client.send(each.head);
    client.send("0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    auto answer = client.read_all();
    EXPECT_EQ(status_of(answer), each.status) << each.head;
    EXPECT_TRUE(client.ended()) << each.head;
    EXPECT_EQ(answer.find("\r\nHTTP/1.1 "), std::string::npos) << answer;
  }
  EXPECT_EQ(server.seen.handled, 0);
  EXPECT_EQ(server.seen.observed(), std::size(cases));
}

TEST(HttpServer, RefusesBrokenChunks) {
  Server server;
  for (std::string_view chunks : {"zz\r\n", "3\r\nabcXYZ\r\n", "-1\r\n", "3\nabc\n\r\n", "0x3\r\nabc\r\n\r\n",
                                  "ffffffffffffffffff\r\n"}) {
    RawClient client(server.port);
    client.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(chunks);
    auto answer = client.read_answer();
    EXPECT_EQ(status_of(answer), 400) << chunks;
    EXPECT_TRUE(answer.contains("Connection: close")) << answer;
  }
}

// --- clients that leave --------------------------------------------------------------------------

void leaves(std::string_view target, bool reset, bool half) {
  Server server;
  RawClient client(server.port);
  client.send(fmt::format("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", target));
  ASSERT_TRUE(eventually([&] { return server.seen.waiting == 1; }));
  auto begun = std::chrono::steady_clock::now();
  if (reset) {
    client.reset();
  } else if (half) {
    client.finish_sending();
  } else {
    client.close();
  }
  EXPECT_TRUE(eventually([&] { return server.seen.waiting == 0; }, 3s));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 1s);
  EXPECT_GE(server.seen.cancelled, 1);
  EXPECT_TRUE(eventually([&] { return server.seen.observed() == 1; }));
  EXPECT_TRUE(server.seen.last().client_left);
  EXPECT_TRUE(eventually([&] { return server.server->connections() == 0; }));
}

TEST(HttpServer, NoticesAClientThatLeaves) { leaves("/wait", false, false); }
TEST(HttpServer, NoticesAClientThatResets) { leaves("/wait", true, false); }
TEST(HttpServer, NoticesAHalfClose) { leaves("/wait", false, true); }
TEST(HttpServer, NoticesALeaverDuringAStream) { leaves("/wait?stream", false, false); }
TEST(HttpServer, CancelsOneShots) { leaves("/one-shot", false, false); }

TEST(HttpServer, CancelsAStreamThatIsStuckInWriting) {
  Server server;
  RawClient client(server.port, 4096);
  client.send("GET /for-ever HTTP/1.1\r\nHost: h\r\n\r\n");
  client.read_until("xxxx");
  client.close();
  EXPECT_TRUE(eventually([&] { return server.seen.cancelled == 1; }));
}

TEST(HttpServer, PipelinedBytesDoNotCancelTheHandler) {
  Server server;
  RawClient client(server.port);
  client.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  client.send(kGet);
  auto answer = client.read_until("GET /a?b=1");
  EXPECT_TRUE(answer.contains("data: three"));
  EXPECT_TRUE(answer.contains("GET /a?b=1")) << answer;
}

// --- stopping ------------------------------------------------------------------------------------

TEST(HttpServer, DrainClosesIdleAndLetsRequestsFinish) {
  Server server;
  RawClient idle(server.port);
  idle.send(kGet);
  idle.read_answer();
  RawClient busy(server.port);
  busy.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
  ASSERT_TRUE(eventually([&] { return server.seen.handled == 2 && server.seen.observed() == 1; }));
  EXPECT_EQ(server.server->requests_in_flight(), 1u);
  server.server->drain();
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_TRUE(idle.ended());
  ASSERT_TRUE(eventually([&] { return !RawClient(server.port).connected(); }));
  busy.send("cd");
  auto answer = busy.read_answer();
  EXPECT_EQ(body_of(answer), "abcd");
  EXPECT_TRUE(answer.contains("Connection: close")) << answer;
  EXPECT_EQ(server.stop(1s), 0u);
  EXPECT_EQ(server.server->connections(), 0u);
}

TEST(HttpServer, StopCutsWhatDoesNotFinish) {
  Server server({}, 2);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port));
    clients.back()->send("GET /wait?stream HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  ASSERT_TRUE(eventually([&] { return server.seen.waiting == 10; }));
  EXPECT_EQ(server.stop(50ms), 10u);
  EXPECT_EQ(server.seen.cancelled, 10);
  EXPECT_EQ(server.server->connections(), 0u);
  EXPECT_FALSE(clients[0]->read_all().contains("0\r\n\r\n"));
}

TEST(HttpServer, LoopsMayEndWithStreamsUnderWay) {
  Server server({}, 2);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port));
    clients.back()->send(i % 2 == 0 ? "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"
                                    : "GET /one-shot HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  ASSERT_TRUE(eventually([&] { return server.seen.waiting == 8; }));
  server.loops.end();
  // Destroying the shards now unwinds every coroutine; the sanitizers say if one is lost.
  EXPECT_EQ(server.seen.waiting, 8);
}

TEST(HttpServer, TakenPortIsAConflict) {
  Server server;
  HttpServer other(server.loops.shards(), {}, [](HttpExchange& e) { return answer(e, 200, ""); },
                   {});
  auto bound = other.listen("127.0.0.1", server.port);
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(bound.error().code, ErrorCode::conflict);
  EXPECT_TRUE(bound.error().message.contains("127.0.0.1:" + std::to_string(server.port)))
      << bound.error().message;
  auto bad = other.listen("no.such.host.example", 0);
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().code, ErrorCode::invalid_argument);
  auto foreign = other.listen("192.0.2.1", 0);
  ASSERT_FALSE(foreign.has_value());
  EXPECT_EQ(foreign.error().code, ErrorCode::io);
  EXPECT_TRUE(other.listen("localhost", 0).has_value());
}

TEST(HttpServer, ServesAThousandConnections) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 2500) GTEST_SKIP() << "too few descriptors here";
  Server server({}, 2);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<RawClient>(server.port));
  for (auto& client : clients) client->send(kGet);
  int good = 0;
  for (auto& client : clients) good += status_of(client->read_answer()) == 200;
  EXPECT_EQ(good, 1000);
  EXPECT_EQ(server.server->connections(), 1000u);
  clients.clear();
  EXPECT_TRUE(eventually([&] { return server.server->connections() == 0; }));
}

// --- small helpers -------------------------------------------------------------------------------

TEST(HttpServer, DecodesPathsAndQueries) {
  EXPECT_EQ(decode_path("/a%20b%2Fc"), "/a b/c");
  EXPECT_EQ(decode_path("/a+b"), "/a+b");
  EXPECT_EQ(decode_path("/%"), std::nullopt);
  EXPECT_EQ(decode_path("/%4"), std::nullopt);
  EXPECT_EQ(decode_path("/%zz"), std::nullopt);
  EXPECT_EQ(decode_path("/a%00"), std::nullopt);
  EXPECT_EQ(query_value("a=1&b=2%203+4&c", "b"), "2 3 4");
  EXPECT_EQ(query_value("a=1&c", "c"), "");
  EXPECT_EQ(query_value("a=1", "x"), std::nullopt);
  EXPECT_EQ(query_value("a=%zz", "a"), std::nullopt);
}

}  // namespace
}  // namespace corral::net
