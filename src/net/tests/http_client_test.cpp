#include "net/http_client.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/this_coro.hpp>
#include <filesystem>

#include "test_support.hpp"

namespace corral::net {
namespace {

using namespace testing;

// A server of fixed behaviour on a thread of its own: `script(connection number, socket)`.
class ScriptedServer {
 public:
  using Script = std::function<void(int, int)>;

  explicit ScriptedServer(Script script, const std::string& unix_path = "")
      : script_(std::move(script)) {
    listener_ = sys::Fd(::socket(unix_path.empty() ? AF_INET : AF_UNIX, SOCK_STREAM, 0));
    if (unix_path.empty()) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
      socklen_t size = sizeof address;
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
      port = ntohs(address.sin_port);
    } else {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
      ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    }
    ::listen(listener_.get(), 16);
    thread_ = std::thread([this] { run(); });
  }
  ~ScriptedServer() {
    ending_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    for (auto& each : serving_) each.join();
  }

  std::uint16_t port = 0;
  std::atomic<int> accepted{0};

 private:
  void run() {
    while (!ending_) {
      int socket = ::accept(listener_.get(), nullptr, nullptr);
      if (socket < 0) return;
      int number = accepted++;
      serving_.emplace_back([this, number, socket] {
        sys::Fd owner(socket);
        timeval limit{10, 0};
        ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        script_(number, socket);
      });
    }
  }

  Script script_;
  sys::Fd listener_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
  std::vector<std::thread> serving_;
};

// The next request (head, and body by Content-Length); empty when the client closed.
std::string read_request(int socket) {
  std::string all;
  char buffer[65536];
  while (true) {
    auto end = all.find("\r\n\r\n");
    if (end != std::string::npos) {
      std::size_t size = end + 4;
      auto at = all.find("Content-Length: ");
      if (at < end) size += std::stoul(all.substr(at + 16));
      if (all.size() >= size) return all;
    }
    ssize_t got = ::recv(socket, buffer, sizeof buffer, 0);
    if (got <= 0) return {};
    all.append(buffer, static_cast<std::size_t>(got));
  }
}

void write_text(int socket, std::string_view text) {
  while (!text.empty()) {
    ssize_t sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string ok(std::string_view body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}

// Answers every request of every connection with `answer`.
ScriptedServer::Script always(std::string answer) {
  return [answer](int, int socket) {
    while (!read_request(socket).empty()) write_text(socket, answer);
  };
}

struct Answer {
  int status = 0;
  std::string body;
  std::string content_type;
};

struct Ask {
  HttpTarget target;
  std::string method = "GET";
  std::string path = "/";
  std::string body;
  Headers headers;
  HttpTimeouts timeouts;
  bool event_stream = false;
};

Task<Result<Answer>> fetch(Ask ask) {
  co_await boost::asio::this_coro::throw_if_cancelled(false);
  std::string_view parts[] = {ask.body};
  ClientRequest request;
  request.method = ask.method;
  request.path = ask.path;
  request.headers = &ask.headers;
  request.body = parts;
  request.event_stream = ask.event_stream;
  CORRAL_CO_TRY(auto response, co_await shard_client().send(ask.target, request, ask.timeouts));
  Answer answer;
  answer.status = response->status();
  answer.content_type = response->headers().get("content-type").value_or("");
  CORRAL_CO_TRY(answer.body, co_await response->read_all(16 << 20));
  co_return answer;
}

Task<Result<std::vector<std::string>>> fetch_pieces(HttpTarget target) {
  CORRAL_CO_TRY(auto response, co_await shard_client().send(target, {}, {}));
  std::vector<std::string> pieces;
  while (true) {
    CORRAL_CO_TRY(auto piece, co_await response->read_some());
    if (piece.empty()) break;
    pieces.emplace_back(piece);
  }
  co_return pieces;
}

class HttpClientTest : public ::testing::Test {
 protected:
  HttpClientTest() : shard(loops.shards().serving(0)) {}

  HttpTarget target(std::uint16_t port) {
    HttpTarget result;
    result.host = "127.0.0.1";
    result.port = port;
    return result;
  }
  Result<Answer> get(std::uint16_t port, std::string path = "/") {
    Ask ask;
    ask.target = target(port);
    ask.path = std::move(path);
    return loops.run(shard, fetch(std::move(ask)));
  }
  std::size_t pooled() {
    return loops.call(shard, [] { return shard_client().pooled(); });
  }

  Loops loops;
  Shard& shard;
};

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
}  // namespace corral::net
