#include "net/http_server.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "http_server_fixture.hpp"

namespace corral::net::http_server_limits_test {
namespace {

using namespace testing;

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
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
       400},
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
  for (std::string_view chunks : {"zz\r\n\r\n", "3\r\nabcXYZ\r\n", "-1\r\n\r\n", "3\nabc\n\r\n",
                                  "0x3\r\nabc\r\n\r\n", "ffffffffffffffffff\r\n"}) {
    RawClient client(server.port);
    client.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(chunks);
    auto answer = client.read_answer();
    EXPECT_EQ(status_of(answer), 400) << chunks;
    EXPECT_TRUE(answer.contains("Connection: close")) << answer;
  }
}

}  // namespace
}  // namespace corral::net::http_server_limits_test
