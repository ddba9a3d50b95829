#include "net/http_client.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>

#include "http_client_fixture.hpp"
#include "net/shard_impl.hpp"

namespace corral::net::http_client_failure_test {
namespace {

using namespace testing;

TEST_F(HttpClientTest, ReplacesAStaleConnection) {
  // Closes after each answer without saying so, and only once the next request is on its way.
  ScriptedServer server([](int number, int socket) {
    read_request(socket);
    write_text(socket, ok("answer " + std::to_string(number)));
    read_request(socket);
  });
  EXPECT_EQ(get(server.port)->body, "answer 0");
  EXPECT_EQ(pooled(), 1u);
  auto second = get(server.port);
  ASSERT_TRUE(second.has_value()) << second.error().message;
  EXPECT_EQ(second->body, "answer 1");
  EXPECT_EQ(server.accepted, 2);
}

TEST_F(HttpClientTest, DoesNotReuseAClosedConnection) {
  ScriptedServer server([](int number, int socket) {
    read_request(socket);
    write_text(socket, ok(std::to_string(number)));
  });
  EXPECT_EQ(get(server.port)->body, "0");
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(get(server.port)->body, "1");
}

TEST_F(HttpClientTest, DoesNotReuseAConnectionWithUnreadBytes) {
  ScriptedServer server([](int number, int socket) {
    read_request(socket);
    write_text(socket,
               ok(std::to_string(number)) + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL");
    read_request(socket);
  });
  EXPECT_EQ(get(server.port)->body, "0");
  EXPECT_EQ(get(server.port)->body, "1");
  EXPECT_EQ(server.accepted, 2);
}

TEST_F(HttpClientTest, AFreshConnectionIsNotRetried) {
  ScriptedServer server([](int, int socket) { read_request(socket); });
  auto answer = get(server.port);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
  EXPECT_EQ(server.accepted, 1);
}

TEST_F(HttpClientTest, CutAnswersAreErrors) {
  for (std::string_view cut :
       {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
    ScriptedServer server([cut](int, int socket) {
      read_request(socket);
      write_text(socket, cut);
    });
    auto answer = get(server.port);
    ASSERT_FALSE(answer.has_value()) << cut;
    EXPECT_EQ(answer.error().code, ErrorCode::upstream) << cut;
  }
  EXPECT_EQ(pooled(), 0u);
}

struct Short {
  bool reset = false;       // RST instead of FIN
  bool read_first = false;  // the client has read what there is when the connection ends
};

// Says 100 bytes, sends 10, and is gone.
ScriptedServer::Script short_of(Short how, std::future<void>* read) {
  return [how, read](int, int socket) {
    read_request(socket);
    write_text(socket, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    if (how.read_first) read->wait_for(10s);
    linger now{1, 0};
    if (how.reset) ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  };
}

Task<Result<std::string>> read_twice(HttpTarget target, std::promise<void>* read) {
  HttpTimeouts hours{.first_byte = 2h, .between_bytes = 2h};
  CORRAL_CO_TRY(auto response, co_await shard_client().send(target, {}, hours));
  CORRAL_CO_TRY(auto first, co_await response->read_some());
  std::string seen(first);
  read->set_value();
  while (true) {
    CORRAL_CO_TRY(auto more, co_await response->read_some());
    if (more.empty()) co_return seen;
    seen += more;
  }
}

// Hours are allowed between two bytes: were the end not noticed, this would take as long.
TEST_F(HttpClientTest, AnAnswerShorterThanItsLengthFailsWithItsConnection) {
  for (auto how : {Short{}, Short{.reset = true}, Short{.read_first = true}, Short{true, true}}) {
    std::promise<void> read;
    auto has_read = read.get_future();
    ScriptedServer server(short_of(how, &has_read));
    auto seen = loops.run(shard, read_twice(target(server.port), &read));
    ASSERT_FALSE(seen.has_value()) << *seen;
    // A reset throws away what was not read yet, the head too.
    if (how.reset && !how.read_first) {
      EXPECT_NE(seen.error().code, ErrorCode::timeout) << seen.error().message;
    } else {
      EXPECT_EQ(seen.error().code, ErrorCode::upstream);
      EXPECT_EQ(seen.error().message, "the upstream cut its answer short");
    }
    EXPECT_EQ(pooled(), 0u);
  }
}

TEST_F(HttpClientTest, MalformedAnswersAreErrors) {
  for (std::string_view bad :
       {"rubbish\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n"}) {
    ScriptedServer server(always(std::string(bad)));
    auto answer = get(server.port);
    ASSERT_FALSE(answer.has_value()) << bad;
    EXPECT_EQ(answer.error().code, ErrorCode::upstream) << bad;
  }
  ScriptedServer huge(always("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"));
  auto answer = get(huge.port);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::upstream);
}

TEST_F(HttpClientTest, TooLargeForTheCaller) {
  ScriptedServer server(always(ok(std::string(17 << 20, 'x'))));
  auto answer = get(server.port);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::too_large);
}

// The first read takes all there is and fills its block: only another one tells that it was all.
TEST_F(HttpClientTest, HearsOfWhatComesAfterAFullBlock) {
  ScriptedServer server([](int, int socket) {
    read_request(socket);
    std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n";
    std::string first = head + std::string(Block::kSize - head.size(), 'x');
    write_text(socket, first);
    std::this_thread::sleep_for(100ms);
    write_text(socket, std::string(20000 + head.size() - first.size(), 'y'));
    read_request(socket);  // until the client has gone
  });
  Ask ask;
  ask.target = target(server.port);
  ask.timeouts.between_bytes = 5s;
  auto answer = loops.run(shard, fetch(ask));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->body.size(), 20000u);
}

TEST_F(HttpClientTest, NobodyListens) {
  std::uint16_t port = 0;
  {
    ScriptedServer gone(always(ok("")));
    port = gone.port;
  }
  auto answer = get(port);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(answer.error().message.contains(std::to_string(port))) << answer.error().message;
}

TEST_F(HttpClientTest, UnknownNamesAreUnavailable) {
  Ask ask;
  ask.target.host = "no-such-host.invalid";
  ask.timeouts.connect = 10s;
  auto answer = loops.run(shard, fetch(ask));
  ASSERT_FALSE(answer.has_value());
  EXPECT_TRUE(answer.error().code == ErrorCode::unavailable ||
              answer.error().code == ErrorCode::timeout);
}

TEST_F(HttpClientTest, TimesOutWithoutAnAnswer) {
  ScriptedServer server([](int, int socket) {
    read_request(socket);
    read_request(socket);
  });
  Ask ask;
  ask.target = target(server.port);
  ask.timeouts.first_byte = 200ms;
  auto begun = std::chrono::steady_clock::now();
  auto answer = loops.run(shard, fetch(ask));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s);
}

TEST_F(HttpClientTest, TimesOutBetweenBytes) {
  ScriptedServer server([](int, int socket) {
    read_request(socket);
    write_text(socket, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    read_request(socket);
  });
  Ask ask;
  ask.target = target(server.port);
  ask.timeouts.between_bytes = 200ms;
  auto answer = loops.run(shard, fetch(ask));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::timeout);
}

TEST_F(HttpClientTest, SeesAnEarlyAnswerToALongBody) {
  ScriptedServer server([](int, int socket) {
    char buffer[1024];
    ::recv(socket, buffer, sizeof buffer, 0);
    write_text(socket, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    std::this_thread::sleep_for(300ms);  // the rest of the request is not read
  });
  Ask ask;
  ask.target = target(server.port);
  ask.method = "POST";
  ask.body.assign(32 << 20, 'x');
  auto answer = loops.run(shard, fetch(std::move(ask)));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 413);
  EXPECT_EQ(answer->body, "big");
  EXPECT_EQ(pooled(), 0u);
}

// Cancelling the coroutine ends the wait for the answer and closes the connection upstream.
TEST_F(HttpClientTest, CancelsARequest) {
  std::promise<bool> closed;
  ScriptedServer server([&](int, int socket) {
    read_request(socket);
    closed.set_value(read_request(socket).empty());
  });
  boost::asio::cancellation_signal signal;
  auto done = std::make_shared<std::promise<Result<Answer>>>();
  Ask ask;
  ask.target = target(server.port);
  boost::asio::co_spawn(shard.impl().context, fetch(ask),
                        boost::asio::bind_cancellation_slot(
                            signal.slot(), [done](std::exception_ptr, Result<Answer> answer) {
                              done->set_value(std::move(answer));
                            }));
  ASSERT_TRUE(eventually([&] { return server.accepted == 1; }));
  std::this_thread::sleep_for(50ms);
  loops.call(shard, [&] { signal.emit(boost::asio::cancellation_type::terminal); });
  auto answer = done->get_future().get();
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(closed.get_future().get());
}

Task<void> drop_midway(HttpTarget target) {
  auto response = co_await shard_client().send(target, {}, {});
  if (!response) co_return;
  auto piece = co_await (*response)->read_some();
}

TEST_F(HttpClientTest, DroppingAnAnswerClosesTheConnection) {
  std::promise<bool> closed;
  ScriptedServer server([&](int, int socket) {
    read_request(socket);
    write_text(socket, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    closed.set_value(read_request(socket).empty());
  });
  loops.run(shard, drop_midway(target(server.port)));
  EXPECT_TRUE(closed.get_future().get());
  EXPECT_EQ(pooled(), 0u);
}

TEST(HttpTargets, AreParsed) {
  auto plain = parse_target("http://example.com");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->port, 80);
  EXPECT_EQ(plain->authority(), "example.com");
  EXPECT_EQ(plain->key(), "http://example.com:80");
  auto secure = parse_target("https://example.com:8443/v1/");
  ASSERT_TRUE(secure.has_value());
  EXPECT_EQ(secure->scheme, HttpTarget::Scheme::https);
  EXPECT_EQ(secure->base_path, "/v1");
  EXPECT_EQ(secure->authority(), "example.com:8443");
  EXPECT_EQ(parse_target("https://example.com")->authority(), "example.com");
  auto six = parse_target("http://[::1]:80/");
  ASSERT_TRUE(six.has_value());
  EXPECT_EQ(six->host, "::1");
  EXPECT_EQ(six->authority(), "[::1]");
  EXPECT_EQ(six->base_path, "");
  auto path = parse_target("unix:///run/x.sock");
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->socket_path, "/run/x.sock");
  EXPECT_EQ(path->key(), "unix:/run/x.sock");
  for (std::string_view bad :
       {"", "example.com", "ftp://x", "http://", "http://:80", "http://x:0", "http://x:65536",
        "http://x:", "http://[::1", "http://[::1]x", "http://a b", "http://x/a b", "http://x/?q",
        "unix:relative", "http://user:secret@x"}) {
    auto target = parse_target(bad);
    ASSERT_FALSE(target.has_value()) << bad;
    EXPECT_EQ(target.error().code, ErrorCode::invalid_argument) << bad;
    EXPECT_FALSE(target.error().describe().contains("secret"));
  }
}

}  // namespace
}  // namespace corral::net::http_client_failure_test
