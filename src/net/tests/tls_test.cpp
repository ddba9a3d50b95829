#include "net/tls.hpp"

#include <gtest/gtest.h>
#include <fstream>

#include "certificates.hpp"
#include "net/http_client.hpp"
#include "test_support.hpp"

namespace corral::net::tls_test {
namespace {

using namespace testing;
namespace fs = std::filesystem;

using StreamPtr = std::unique_ptr<Stream>;
using Opened = Result<StreamPtr>;

struct Pair {
  sys::Fd server, client;
};

Pair socket_pair() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  return {sys::Fd(ends[0]), sys::Fd(ends[1])};
}

class Tls : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              (std::string("corral_tls_") +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    authority_ = make_certificate("Test authority", "", nullptr);
    ca_file_ = save(folder_ / "ca.pem", authority_);
    server_ = identity("DNS:localhost,IP:127.0.0.1");
    ASSERT_TRUE(server_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::shared_ptr<TlsContext> identity(const std::string& names, long valid_seconds = 3600) {
    auto leaf = make_certificate("leaf", names, &authority_, valid_seconds);
    auto made = TlsContext::server({.certificate_file = save(folder_ / "leaf.pem", leaf),
                                    .key_file = save(folder_ / "leaf.key", leaf.key)});
    EXPECT_TRUE(made) << made.error().describe();
    return made ? *made : nullptr;
  }

  std::shared_ptr<TlsContext> trusting(const std::string& ca_file) {
    auto made = TlsContext::client({.ca_file = ca_file});
    EXPECT_TRUE(made) << made.error().describe();
    return *made;
  }

  fs::path folder_;
  Certificate authority_;
  std::string ca_file_;
  std::shared_ptr<TlsContext> server_;
  Loops loops_{2};
};

Task<Opened> accept_one(std::shared_ptr<TlsContext> context, int socket) {
  auto opened = co_await context->accept(sys::Fd(socket));
  co_return opened;
}

// Sends back what comes until the peer ends; then the stream's status is the verdict.
Task<IoStatus> echo(std::shared_ptr<TlsContext> context, int socket) {
  auto opened = co_await context->accept(sys::Fd(socket));
  if (!opened) co_return IoStatus::failed;
  Stream& stream = **opened;
  std::array<char, 5000> buffer;
  while (true) {
    auto got = stream.try_read(buffer);
    if (got.status == IoStatus::would_block) {
      bool ready = co_await stream.wait(Direction::read);
      if (!ready) co_return IoStatus::failed;
      continue;
    }
    if (got.status != IoStatus::ok) co_return got.status;
    iovec part{buffer.data(), got.bytes};
    auto written = co_await write_all(stream, std::span(&part, 1));
    if (!written) co_return IoStatus::failed;
  }
}

Task<Opened> connect_to(std::shared_ptr<TlsContext> context, int socket, std::string host) {
  auto opened = co_await context->connect(sys::Fd(socket), std::move(host));
  co_return opened;
}

Task<Result<std::string>> read_exactly(Stream& stream, std::size_t size) {
  std::string all;
  std::array<char, 30000> buffer;
  while (all.size() < size) {
    auto got =
        stream.try_read(std::span(buffer.data(), std::min(buffer.size(), size - all.size())));
    if (got.status == IoStatus::would_block) {
      bool ready = co_await stream.wait(Direction::read);
      if (!ready) co_return fail(ErrorCode::cancelled, "closed");
      continue;
    }
    if (got.status != IoStatus::ok) co_return fail(ErrorCode::io, "ended early");
    all.append(buffer.data(), got.bytes);
  }
  co_return all;
}

Task<void> write_then_hold(Stream& stream, std::string& text, Result<void>& outcome) {
  iovec part{text.data(), text.size()};
  outcome = co_await write_all(stream, std::span(&part, 1));
}

// Connects, sends `text` in many parts while reading it back, and returns what came back.
Task<Result<std::string>> talk(std::shared_ptr<TlsContext> context, int socket, std::string host,
                               std::string text) {
  auto opened = co_await context->connect(sys::Fd(socket), std::move(host));
  if (!opened) co_return std::unexpected(opened.error());
  Stream& stream = **opened;
  EXPECT_TRUE(stream.encrypted());
  EXPECT_TRUE(stream.is_open());
  EXPECT_EQ(stream.peer(), "unix");
  // Reading and writing at once: otherwise both sides could wait for room.
  Result<void> written;
  TaskGroup writers(*Shard::current());
  writers.spawn(write_then_hold(stream, text, written));
  auto back = co_await read_exactly(stream, text.size());
  co_await writers.close();
  if (!written) co_return std::unexpected(written.error());
  stream.close();
  EXPECT_FALSE(stream.is_open());
  co_return back;
}

std::string sample(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7919 >> 3);
  return text;
}

TEST_F(Tls, CarriesBytesBothWays) {
  for (std::size_t size : {1u, 16384u, 16385u, 3'000'000u}) {
    auto [server, client] = socket_pair();
    auto verdict = std::async(std::launch::async, [&, fd = server.release()] {
      return loops_.run(loops_.shards().serving(0), echo(server_, fd));
    });
    auto back = loops_.run(loops_.shards().serving(1),
                           talk(trusting(ca_file_), client.release(), "localhost", sample(size)));
    ASSERT_TRUE(back) << back.error().describe();
    EXPECT_TRUE(*back == sample(size)) << size;
    EXPECT_EQ(verdict.get(), IoStatus::end) << "close() says goodbye";
  }
}

TEST_F(Tls, AcceptsTheNamesAndAddressesOfTheCertificate) {
  for (const char* host : {"localhost", "127.0.0.1"}) {
    auto [server, client] = socket_pair();
    auto verdict = std::async(std::launch::async, [&, fd = server.release()] {
      return loops_.run(loops_.shards().serving(0), echo(server_, fd));
    });
    auto back = loops_.run(loops_.shards().serving(1),
                           talk(trusting(ca_file_), client.release(), host, "hello"));
    EXPECT_TRUE(back) << host;
    verdict.get();
  }
}

// What the client says when it connects as `host`.
std::string refusal(Loops& loops, const std::shared_ptr<TlsContext>& server,
                    std::shared_ptr<TlsContext> client, std::string host) {
  auto [server_end, client_end] = socket_pair();
  auto verdict = std::async(std::launch::async, [&, fd = server_end.release()] {
    return loops.run(loops.shards().serving(0), echo(server, fd));
  });
  auto opened = loops.run(loops.shards().serving(1),
                          connect_to(std::move(client), client_end.release(), std::move(host)));
  std::string text = opened ? "accepted" : opened.error().describe();
  if (opened) loops.call(loops.shards().serving(1), [&] { opened->reset(); });
  verdict.get();
  return text;
}

TEST_F(Tls, RefusesOtherNames) {
  EXPECT_EQ(refusal(loops_, server_, trusting(ca_file_), "example.org"),
            "the certificate of the server is not accepted: hostname mismatch (use the name that "
            "the certificate was made for)");
  EXPECT_NE(refusal(loops_, server_, trusting(ca_file_), "127.0.0.2").find("IP address mismatch"),
            std::string::npos);
  EXPECT_NE(refusal(loops_, server_, trusting(ca_file_), "[::1]").find("IP address mismatch"),
            std::string::npos);
  EXPECT_EQ(refusal(loops_, server_, trusting(ca_file_), ""), "the server has no proper host name");
}

TEST_F(Tls, RefusesUnknownAuthorities) {
  auto other = make_certificate("Other authority", "", nullptr);
  auto client = trusting(save(folder_ / "other.pem", other));
  std::string text = refusal(loops_, server_, client, "localhost");
  EXPECT_NE(text.find("the certificate of the server is not accepted: unable to get local issuer"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("name a PEM file with the authority"), std::string::npos);
  auto system = TlsContext::client({});
  ASSERT_TRUE(system);
  EXPECT_NE(refusal(loops_, server_, *system, "localhost").find("not accepted"), std::string::npos);
}

TEST_F(Tls, RefusesExpiredCertificates) {
  auto old = identity("DNS:localhost", -60);
  EXPECT_EQ(refusal(loops_, old, trusting(ca_file_), "localhost"),
            "the certificate of the server is not accepted: certificate has expired (renew it, or "
            "set the clock right)");
}

TEST_F(Tls, VerifiesNothingWhenToldSo) {
  auto client = TlsContext::client({.verify = false});
  ASSERT_TRUE(client);
  EXPECT_EQ(refusal(loops_, server_, *client, "example.org"), "accepted");
}

TEST_F(Tls, SaysThatTheClientSpokePlainHttp) {
  auto [server, client] = socket_pair();
  std::string_view request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_GT(::send(client.get(), request.data(), request.size(), MSG_NOSIGNAL), 0);
  auto opened = loops_.run(loops_.shards().serving(0), accept_one(server_, server.release()));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().describe(),
            "the TLS handshake failed: http request (the client spoke plain HTTP; use https://)");
}

TEST_F(Tls, SaysThatTheServerSpokePlainHttp) {
  auto [server, client] = socket_pair();
  std::string_view answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
  ASSERT_GT(::send(server.get(), answer.data(), answer.size(), MSG_NOSIGNAL), 0);
  auto opened = loops_.run(loops_.shards().serving(0),
                           connect_to(trusting(ca_file_), client.release(), "localhost"));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::upstream);
  EXPECT_NE(opened.error().hint_text.find("plain HTTP"), std::string::npos)
      << opened.error().describe();
}

TEST_F(Tls, APeerThatLeavesEndsTheHandshake) {
  auto [server, client] = socket_pair();
  client.reset();
  auto opened = loops_.run(loops_.shards().serving(0), accept_one(server_, server.release()));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::upstream) << opened.error().describe();
}

Task<void> accept_into(std::shared_ptr<TlsContext> context, int socket, ErrorCode& code) {
  auto opened = co_await context->accept(sys::Fd(socket));
  code = opened ? ErrorCode::internal : opened.error().code;
}

Task<ErrorCode> cancel_handshake(std::shared_ptr<TlsContext> context, int socket) {
  TaskGroup group(*Shard::current());
  ErrorCode code = ErrorCode::internal;
  group.spawn(accept_into(std::move(context), socket, code));
  co_await group.close();
  co_return code;
}

TEST_F(Tls, AHandshakeCanBeCancelled) {
  auto [server, client] = socket_pair();
  EXPECT_EQ(loops_.run(loops_.shards().serving(0), cancel_handshake(server_, server.release())),
            ErrorCode::cancelled);
  char byte;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), 0) << "and closes the connection";
}

Task<Result<std::string>> open_then_cut(std::shared_ptr<TlsContext> context, int socket) {
  int copy = ::dup(socket);
  auto opened = co_await context->connect(sys::Fd(socket), "localhost");
  ::shutdown(copy, SHUT_RDWR);  // below TLS: no goodbye
  ::close(copy);
  if (!opened) co_return std::unexpected(opened.error());
  char byte = 0;
  auto after = (*opened)->try_write(std::array{iovec{&byte, 1}});
  EXPECT_EQ(after.status, IoStatus::failed);
  EXPECT_EQ((*opened)->try_read({&byte, 1}).status, IoStatus::failed);
  co_return std::string();
}

TEST_F(Tls, AnEndWithoutGoodbyeIsAFailure) {
  auto [server, client] = socket_pair();
  auto verdict = std::async(std::launch::async, [&, fd = server.release()] {
    return loops_.run(loops_.shards().serving(0), echo(server_, fd));
  });
  auto cut =
      loops_.run(loops_.shards().serving(1), open_then_cut(trusting(ca_file_), client.release()));
  EXPECT_TRUE(cut) << cut.error().describe();
  EXPECT_EQ(verdict.get(), IoStatus::failed);
}

// A writer whose peer reads nothing meets a full socket, and goes on when there is room.
Task<std::size_t> fill_then_drain(Stream& writer, Stream& reader, std::string text) {
  std::string_view rest = text;
  std::size_t blocked = 0, received = 0;
  std::array<char, 64000> buffer;
  while (received < text.size()) {
    if (!rest.empty()) {
      // Odd sizes, so that parts are gathered and split at every place.
      auto first = rest.substr(0, 7), second = rest.substr(first.size());
      iovec parts[] = {{const_cast<char*>(first.data()), first.size()},
                       {nullptr, 0},
                       {const_cast<char*>(second.data()), second.size()}};
      auto sent = writer.try_write(parts);
      if (sent.status == IoStatus::ok) rest.remove_prefix(sent.bytes);
      if (sent.status == IoStatus::failed) co_return 0;
      if (sent.status == IoStatus::ok && !rest.empty()) continue;
      if (sent.status == IoStatus::would_block) ++blocked;
    }
    while (true) {
      auto got = reader.try_read(buffer);
      if (got.status != IoStatus::ok) break;
      if (std::string_view(text).substr(received, got.bytes) !=
          std::string_view(buffer.data(), got.bytes)) {
        co_return 0;
      }
      received += got.bytes;
    }
  }
  co_return blocked;
}

Task<void> accept_to(std::shared_ptr<TlsContext> context, int socket, StreamPtr& to) {
  auto opened = co_await context->accept(sys::Fd(socket));
  if (opened) to = std::move(*opened);
}

Task<std::size_t> both_on_one_shard(std::shared_ptr<TlsContext> server,
                                    std::shared_ptr<TlsContext> client, int server_end,
                                    int client_end) {
  TaskGroup group(*Shard::current());
  StreamPtr accepted;
  group.spawn(accept_to(std::move(server), server_end, accepted));
  auto opened = co_await client->connect(sys::Fd(client_end), "localhost");
  while (opened && !accepted && group.running() > 0) {
    auto slept = co_await sleep_for(1ms);
    if (!slept) break;
  }
  co_await group.close();
  if (!opened || !accepted) co_return 0;
  auto blocked = co_await fill_then_drain(**opened, *accepted, sample(5'000'000));
  co_return blocked;
}

TEST_F(Tls, AFullSocketLosesNothing) {
  auto [server, client] = socket_pair();
  auto blocked = loops_.run(
      loops_.shards().serving(0),
      both_on_one_shard(server_, trusting(ca_file_), server.release(), client.release()));
  EXPECT_GT(blocked, 0u);
}

TEST_F(Tls, ExplainsWhatIsWrongWithFiles) {
  auto leaf = make_certificate("leaf", "DNS:localhost", &authority_);
  std::string certificate = save(folder_ / "c.pem", leaf), key = save(folder_ / "k.pem", leaf.key);
  std::string rubbish = (folder_ / "rubbish").string();
  std::ofstream(rubbish) << "no PEM at all\n";
  auto problem = [](const std::string& with_certificate, const std::string& with_key) {
    auto made = TlsContext::server({.certificate_file = with_certificate, .key_file = with_key});
    if (made) return std::string("none");
    EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
    return made.error().describe();
  };
  EXPECT_EQ(problem(certificate, key), "none");
  EXPECT_NE(problem("/no/such.pem", key)
                .find("cannot read the TLS certificate /no/such.pem: No "
                      "such file or directory (name a PEM file"),
            std::string::npos);
  EXPECT_NE(problem(certificate, "/no/such.key").find("cannot read the TLS key"),
            std::string::npos);
  EXPECT_NE(problem(folder_.string(), key).find("is a folder"), std::string::npos);
  EXPECT_NE(problem(rubbish, key).find("is not usable: no start line"), std::string::npos)
      << problem(rubbish, key);
  EXPECT_NE(problem(certificate, rubbish).find("is not usable"), std::string::npos);
  std::string other = save(folder_ / "other.key", Key());
  EXPECT_NE(problem(certificate, other).find("key values mismatch"), std::string::npos)
      << problem(certificate, other);
  std::string sealed = save(folder_ / "sealed.key", leaf.key, "passphrase");
  EXPECT_NE(problem(certificate, sealed).find("without passphrase"), std::string::npos);

  auto client = TlsContext::client({.ca_file = rubbish});
  ASSERT_FALSE(client);
  EXPECT_NE(client.error().message.find("the certificate authorities in"), std::string::npos);
  EXPECT_FALSE(TlsContext::client({.ca_file = "/no/such.pem"}));
}

Task<void> say_hello(HttpExchange& exchange) {
  HttpReply reply;
  reply.body = exchange.request().encrypted ? "\"encrypted\"" : "\"plain\"";
  auto ignored = co_await exchange.reply(std::move(reply));
}

Task<Result<std::string>> get(HttpTarget target, std::string path) {
  auto answer = co_await shard_client().send(target, {.path = path}, {});
  if (!answer) co_return std::unexpected(answer.error());
  auto body = co_await (*answer)->read_all(1000);
  co_return body;
}

TEST_F(Tls, CarriesHttp) {
  HttpServer server(loops_.shards(), {}, say_hello, [](const HttpRequest&, const HttpOutcome&) {});
  auto bound = server.listen("127.0.0.1", 0, server_);
  ASSERT_TRUE(bound) << bound.error().describe();
  server.start();
  auto target = parse_target(fmt::format("https://localhost:{}", bound->port));
  ASSERT_TRUE(target);
  target->tls = trusting(ca_file_);
  for (int i = 0; i < 3; ++i) {
    auto body = loops_.run(loops_.shards().serving(1), get(*target, "/"));
    ASSERT_TRUE(body) << body.error().describe();
    EXPECT_EQ(*body, "\"encrypted\"");
  }
  loops_.run(loops_.shards().control(), server.stop(1s));
  loops_.end();
}

struct Left {
  std::atomic<int> waiting{0};
  std::atomic<int> cancelled{0};
};

Task<void> wait_for_ever(HttpExchange&, Left& left) {
  ++left.waiting;
  auto slept = co_await sleep_for(1h);
  if (!slept) ++left.cancelled;
}

// One request, more ahead of its answer, each in a packet of its own; then the client is gone.
Task<void> send_ahead_and_leave(std::shared_ptr<TlsContext> context, int socket, Left& left) {
  auto opened = co_await context->connect(sys::Fd(socket), "localhost");
  EXPECT_TRUE(opened);
  if (!opened) co_return;
  for (int i = 0; i < 4; ++i) {
    std::string text = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    iovec part{text.data(), text.size()};
    auto written = co_await write_all(**opened, std::span(&part, 1));
    EXPECT_TRUE(written);
    while (left.waiting == 0) co_await yield_turn();
    auto slept = co_await sleep_for(2ms);
  }
  (*opened)->close();
}

TEST_F(Tls, AServerNoticesALeaverThatSentRequestsAhead) {
  Left left;
  HttpServer server(
      loops_.shards(), {}, [&](HttpExchange& exchange) { return wait_for_ever(exchange, left); },
      [](const HttpRequest&, const HttpOutcome&) {});
  auto bound = server.listen("127.0.0.1", 0, server_);
  ASSERT_TRUE(bound) << bound.error().describe();
  server.start();
  RawClient client(bound->port);
  loops_.run(loops_.shards().serving(1),
             send_ahead_and_leave(trusting(ca_file_), ::dup(client.fd()), left));
  client.close();
  EXPECT_TRUE(eventually([&] { return left.cancelled == 1; }));
  EXPECT_EQ(left.waiting, 1);
  loops_.run(loops_.shards().control(), server.stop(1s));
  loops_.end();
}

}  // namespace
}  // namespace corral::net::tls_test
