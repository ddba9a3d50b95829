#include "net/http_client.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "http_client_fixture.hpp"

namespace corral::net::http_client_test {
namespace {

using namespace testing;

TEST_F(HttpClientTest, ReadsAnswersAndPoolsTheConnection) {
  ScriptedServer server(always(ok("hello")));
  for (int i = 0; i < 3; ++i) {
    auto answer = get(server.port);
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "hello");
  }
  EXPECT_EQ(server.accepted, 1);
  EXPECT_EQ(pooled(), 1u);
  loops.call(shard, [&] { shard_client().forget(target(server.port)); });
  EXPECT_EQ(pooled(), 0u);
}

TEST_F(HttpClientTest, SendsTheRequestAsAsked) {
  std::promise<std::string> seen;
  ScriptedServer server([&](int, int socket) {
    seen.set_value(read_request(socket));
    write_text(socket, ok(""));
  });
  Ask ask;
  ask.target = *parse_target(fmt::format("http://127.0.0.1:{}/base/", server.port));
  ask.method = "POST";
  ask.path = "/path?x=1";
  ask.body = "the body";
  ask.headers.add("X-One", "1");
  ask.headers.add("Host", "evil");
  ask.headers.add("Content-Length", "999");
  ask.headers.add("Transfer-Encoding", "chunked");
  auto answer = loops.run(shard, fetch(std::move(ask)));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(seen.get_future().get(),
            fmt::format("POST /base/path?x=1 HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nX-One: 1\r\n"
                        "Content-Length: 8\r\n\r\nthe body",
                        server.port));
}

TEST_F(HttpClientTest, RefusesToSendForgedHeads) {
  ScriptedServer server(always(ok("")));
  Ask ask;
  ask.target = target(server.port);
  ask.headers.add("X", "a\r\nEvil: 1");
  auto answer = loops.run(shard, fetch(ask));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument);
  ask.headers.clear();
  ask.path = "/a b";
  answer = loops.run(shard, fetch(ask));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(server.accepted, 0);
}

TEST_F(HttpClientTest, ReadsChunksTogetherAndApart) {
  ScriptedServer server([](int, int socket) {
    read_request(socket);
    write_text(socket,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e\r\nde\r\n");
    std::this_thread::sleep_for(20ms);
    for (char c : std::string_view("1\r\nf\r\n0\r\nT: x\r\n\r\n")) write_text(socket, {&c, 1});
    read_request(socket);
  });
  auto pieces = loops.run(shard, fetch_pieces(target(server.port)));
  ASSERT_TRUE(pieces.has_value()) << pieces.error().message;
  std::string all;
  for (const auto& piece : *pieces) all += piece;
  EXPECT_EQ(all, "abcdef");
  EXPECT_EQ(pooled(), 1u);
}

TEST_F(HttpClientTest, ReadsLargeBodies) {
  std::string body(5 << 20, 'q');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += 7001) {
    auto part = body.substr(at, 7001);
    chunked += fmt::format("{:x}\r\n{}\r\n", part.size(), part);
  }
  chunked += "0\r\n\r\n";
  ScriptedServer plain(always(ok(body)));
  ScriptedServer pieces(always(chunked));
  auto one = get(plain.port);
  ASSERT_TRUE(one.has_value()) << one.error().message;
  EXPECT_EQ(one->body, body);
  auto two = get(pieces.port);
  ASSERT_TRUE(two.has_value()) << two.error().message;
  EXPECT_EQ(two->body, body);
}

TEST_F(HttpClientTest, ReadsUntilTheEndOfTheConnection) {
  ScriptedServer server([](int, int socket) {
    read_request(socket);
    write_text(socket, "HTTP/1.1 200 OK\r\n\r\nall of it");
  });
  auto answer = get(server.port);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->body, "all of it");
  EXPECT_EQ(pooled(), 0u);
}

TEST_F(HttpClientTest, SkipsInterimAnswers) {
  ScriptedServer server(
      always("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok("x")));
  auto answer = get(server.port);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "x");
}

TEST_F(HttpClientTest, HeadAndNoContentHaveNoBody) {
  ScriptedServer head(always("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"));
  Ask ask;
  ask.target = target(head.port);
  ask.method = "HEAD";
  auto answer = loops.run(shard, fetch(ask));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->body, "");
  ScriptedServer empty(always("HTTP/1.1 204 No Content\r\n\r\n"));
  EXPECT_EQ(get(empty.port)->status, 204);
  EXPECT_EQ(get(empty.port)->status, 204);
  EXPECT_EQ(empty.accepted, 1);
}

TEST_F(HttpClientTest, HonoursConnectionClose) {
  ScriptedServer server(
      always("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"));
  EXPECT_EQ(get(server.port)->body, "x");
  EXPECT_EQ(pooled(), 0u);
}

TEST_F(HttpClientTest, EventStreamsAreNotPooled) {
  ScriptedServer server(always(ok("x")));
  Ask ask;
  ask.target = target(server.port);
  ask.event_stream = true;
  EXPECT_EQ(loops.run(shard, fetch(ask))->body, "x");
  EXPECT_EQ(pooled(), 0u);
}

TEST_F(HttpClientTest, ClosesIdleConnections) {
  ScriptedServer server(always(ok("x")));
  Ask ask;
  ask.target = target(server.port);
  ask.target.idle_limit = 150ms;
  EXPECT_EQ(loops.run(shard, fetch(ask))->body, "x");
  EXPECT_EQ(pooled(), 1u);
  EXPECT_TRUE(eventually([&] { return pooled() == 0; }));
}

TEST_F(HttpClientTest, TalksToLocalhostByName) {
  ScriptedServer server(always(ok("here")));
  Ask ask;
  ask.target.host = "localhost";
  ask.target.port = server.port;
  auto answer = loops.run(shard, fetch(ask));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->body, "here");
}

TEST_F(HttpClientTest, TalksToUnixSockets) {
  auto path =
      (std::filesystem::temp_directory_path() / fmt::format("corral-net-{}.sock", ::getpid()))
          .string();
  ::unlink(path.c_str());
  {
    ScriptedServer server(always(ok("unix")), path);
    Ask ask;
    ask.target = *parse_target("unix:" + path);
    EXPECT_EQ(loops.run(shard, fetch(ask))->body, "unix");
    EXPECT_EQ(loops.run(shard, fetch(ask))->body, "unix");
    EXPECT_EQ(server.accepted, 1);
    loops.call(shard, [&] { shard_client().forget(ask.target); });
  }
  ::unlink(path.c_str());
  Ask ask;
  ask.target = *parse_target("unix:" + path);
  auto answer = loops.run(shard, fetch(ask));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
}

TEST_F(HttpClientTest, SendsLongBodiesWhole) {
  std::promise<std::size_t> seen;
  ScriptedServer server([&](int, int socket) {
    seen.set_value(read_request(socket).size());
    write_text(socket, ok("done"));
  });
  Ask ask;
  ask.target = target(server.port);
  ask.method = "POST";
  ask.body.assign(8 << 20, 'x');
  auto answer = loops.run(shard, fetch(std::move(ask)));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->body, "done");
  EXPECT_GT(seen.get_future().get(), 8u << 20);
}

}  // namespace
}  // namespace corral::net::http_client_test
