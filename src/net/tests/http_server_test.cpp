#include "net/http_server.hpp"

#include <gtest/gtest.h>

#include "http_server_fixture.hpp"

namespace corral::net::http_server_test {
namespace {

using namespace testing;

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
}  // namespace corral::net::http_server_test
