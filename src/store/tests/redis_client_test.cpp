// The client against Debian's redis-server, and against servers that misbehave.
#include "store/redis_client.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <atomic>

#include "net/tests/certificates.hpp"
#include "store/tests/redis_server.hpp"

namespace corral::store::redis_client_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;
using Kind = RedisReply::Kind;
using Words = std::vector<std::string>;

RedisOptions options_for(RedisUrl url) {
  RedisOptions options;
  options.url = std::move(url);
  options.pause_min = 5ms;
  options.pause_max = 20ms;
  return options;
}

// A server that takes connections and says what it is told.
class Liar {
 public:
  Liar() {
    listener_ = sys::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  RedisUrl url() const {
    RedisUrl url;
    url.host = "127.0.0.1";
    url.port = port_;
    return url;
  }
  // The next connection, after it was told `text`.
  sys::Fd accept(std::string_view text) {
    sys::Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    (void)!::write(peer.get(), text.data(), text.size());
    return peer;
  }

 private:
  sys::Fd listener_;
  std::uint16_t port_ = 0;
};

class RedisClientTest : public testing::Test {
 protected:
  ~RedisClientTest() override {
    stop();
    loops_.end();
  }

  void make(RedisOptions options) {
    stop();
    RedisEvents events;
    events.connected = [this] { ++connections_; };
    events.failed = [this](const Error& error) {
      std::lock_guard lock(mutex_);
      last_ = error;
      ++failures_;
    };
    client_ = std::make_unique<RedisClient>(shard(), std::move(options), std::move(events));
    loops_.call(shard(), [this] { client_->start(); });
  }
  void stop() {
    if (!client_) return;
    ASSERT_TRUE(eventually([this] {
      loops_.call(shard(), [this] { client_->cancel(); });
      return client_->running() == 0;
    }));
    client_.reset();
  }
  Error last() {
    std::lock_guard lock(mutex_);
    return last_;
  }
  bool connect() {
    return eventually([this] { return connections_ > 0; });
  }

  Result<RedisReply> call(Words words) {
    return loops_.run(shard(), client_->call(std::move(words)));
  }
  net::Shard& shard() { return loops_.shards().serving(0); }

  Loops loops_;
  std::atomic<int> connections_{0}, failures_{0};
  std::mutex mutex_;
  Error last_;
  std::unique_ptr<RedisClient> client_;
};

// --- a real one ----------------------------------------------------------------------------------

TEST_F(RedisClientTest, SetsAndGetsAnyBytes) {
  RedisServer server;
  make(options_for(server.url()));
  ASSERT_TRUE(connect());
  std::string value("a\0\r\n$5\r\n", 9);
  auto set = call({"SET", "key", value, "PX", "60000"});
  ASSERT_TRUE(set);
  EXPECT_EQ(set->kind, Kind::status);
  auto got = call({"GET", "key"});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->text, value);
  auto none = call({"GET", "other"});
  ASSERT_TRUE(none);
  EXPECT_EQ(none->kind, Kind::nil);
  auto wrong = call({"GET"});
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind, Kind::error);
  EXPECT_EQ(failures_, 0);
}

TEST_F(RedisClientTest, CarriesLargeValuesAndManyAtOnce) {
  RedisServer server;
  make(options_for(server.url()));
  ASSERT_TRUE(connect());
  std::string large(4u << 20, 'x');
  ASSERT_TRUE(call({"SET", "large", large}));
  auto got = call({"GET", "large"});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->text, large);

  std::atomic<int> right{0};
  auto one = [](RedisClient* client, int number, std::atomic<int>* count) -> net::Task<void> {
    auto set = co_await client->call({"SET", std::to_string(number), std::to_string(number * 7)});
    auto read = co_await client->call({"GET", std::to_string(number)});
    if (set && read && read->text == std::to_string(number * 7)) ++*count;
  };
  auto group = loops_.call(shard(), [&] { return std::make_unique<net::TaskGroup>(shard()); });
  loops_.call(shard(), [&] {
    for (int i = 0; i < 500; ++i) group->spawn(one(client_.get(), i, &right));
  });
  EXPECT_TRUE(eventually([&] { return right == 500; }));
  EXPECT_TRUE(eventually([&] { return group->running() == 0; }));
  loops_.call(shard(), [&] { group.reset(); });
}

TEST_F(RedisClientTest, LogsInAndChoosesTheDatabase) {
  RedisServer server("secret", {"user me on >mine ~* +@all"});
  auto url = server.url();
  url.database = 3;
  make(options_for(url));
  ASSERT_TRUE(connect());
  ASSERT_TRUE(call({"SET", "in", "three"}));
  connections_ = 0;
  url.user = "me";
  url.password = "mine";
  make(options_for(url));
  ASSERT_TRUE(connect());
  EXPECT_EQ(call({"GET", "in"})->text, "three");
  connections_ = 0;
  url.database = 0;
  make(options_for(url));
  ASSERT_TRUE(connect());
  EXPECT_EQ(call({"GET", "in"})->kind, Kind::nil);
}

TEST_F(RedisClientTest, SaysThatALoginIsRefusedWithoutThePassword) {
  RedisServer server("secret");
  auto url = server.url();
  for (std::string password : {"", "hunter2"}) {
    failures_ = 0;
    url.password = password;
    make(options_for(url));
    ASSERT_TRUE(eventually([this] { return failures_ > 1; }));
    EXPECT_EQ(last().code, ErrorCode::unavailable);
    EXPECT_TRUE(last().message.contains("refuses")) << last().describe();
    EXPECT_FALSE((last().describe() + last().cause).contains("hunter2"));
    EXPECT_FALSE(call({"GET", "a"}));
  }
  url = server.url();
  url.database = 99;
  failures_ = 0;
  make(options_for(url));
  ASSERT_TRUE(eventually([this] { return failures_ > 0; }));
  EXPECT_TRUE(last().message.contains("database")) << last().describe();
  EXPECT_EQ(connections_, 0);
}

TEST_F(RedisClientTest, SpeaksOverAUnixSocket) {
  RedisServer server;
  RedisUrl url;
  url.socket_path = server.socket_path();
  make(options_for(url));
  ASSERT_TRUE(connect());
  ASSERT_TRUE(call({"SET", "a", "b"}));
  EXPECT_EQ(call({"GET", "a"})->text, "b");
}

TEST_F(RedisClientTest, SpeaksTlsAndChecksTheCertificate) {
  sys::TempFolder folder;
  auto authority = net::testing::make_certificate("authority", "", nullptr);
  auto leaf = net::testing::make_certificate("redis", "DNS:localhost,IP:127.0.0.1", &authority);
  auto ca = net::testing::save(folder / "ca.pem", authority);
  auto certificate = net::testing::save(folder / "leaf.pem", leaf);
  auto key = net::testing::save(folder / "key.pem", leaf.key);
  auto port = sys::free_loopback_port();
  ASSERT_TRUE(port);
  RedisServer server({}, {fmt::format("tls-port {}", *port), "tls-cert-file " + certificate,
                          "tls-key-file " + key, "tls-auth-clients no", "tls-ca-cert-file " + ca});
  RedisUrl url = server.url();
  url.tls = true;
  url.port = *port;
  url.ca_file = ca;
  make(options_for(url));
  ASSERT_TRUE(connect());
  std::string large(1u << 20, 'y');
  ASSERT_TRUE(call({"SET", "a", large}));
  EXPECT_EQ(call({"GET", "a"})->text, large);

  connections_ = failures_ = 0;
  url.ca_file = "";  // the system's authorities know nothing of it
  make(options_for(url));
  ASSERT_TRUE(eventually([this] { return failures_ > 0; }));
  EXPECT_EQ(connections_, 0);
  url.ca_file = (folder / "missing.pem").string();
  failures_ = 0;
  make(options_for(url));
  ASSERT_TRUE(eventually([this] { return failures_ > 0; }));
  EXPECT_EQ(last().code, ErrorCode::invalid_argument);
}

TEST_F(RedisClientTest, ComesBackAfterTheServerDid) {
  RedisServer server;
  make(options_for(server.url()));
  ASSERT_TRUE(connect());
  server.kill();
  ASSERT_TRUE(eventually([this] { return failures_ > 2; }));
  auto begun = std::chrono::steady_clock::now();
  auto refused = call({"GET", "a"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 100ms);
  server.start();
  ASSERT_TRUE(eventually([this] { return connections_ == 2; }));
  EXPECT_TRUE(call({"SET", "a", "b"}));
}

TEST_F(RedisClientTest, GivesUpAServerThatHangs) {
  RedisServer server;
  auto options = options_for(server.url());
  options.limits.patience = 60ms;
  make(options);
  ASSERT_TRUE(connect());
  server.freeze();
  auto begun = std::chrono::steady_clock::now();
  auto hung = call({"GET", "a"});
  auto took = std::chrono::steady_clock::now() - begun;
  server.thaw();
  ASSERT_FALSE(hung);
  EXPECT_EQ(hung.error().code, ErrorCode::timeout);
  EXPECT_GE(took, 60ms);
  EXPECT_LT(took, 2s);
  ASSERT_TRUE(eventually([this] { return connections_ == 2; }));
  EXPECT_TRUE(call({"SET", "a", "b"}));
}

TEST_F(RedisClientTest, BoundsWhatAFrozenServerMakesWait) {
  RedisServer server;
  auto options = options_for(server.url());
  options.limits.patience = 1s;
  options.limits.waiting = 3;
  options.limits.unsent_bytes = 64u << 20;
  make(options);
  ASSERT_TRUE(connect());
  server.freeze();
  std::atomic<int> done{0}, refused{0};
  auto one = [](RedisClient* client, std::atomic<int>* ended,
                std::atomic<int>* full) -> net::Task<void> {
    auto set = co_await client->call({"SET", "a", std::string(8u << 20, 'x')});
    if (!set && set.error().message.contains("too much")) ++*full;
    ++*ended;
  };
  auto group = loops_.call(shard(), [&] { return std::make_unique<net::TaskGroup>(shard()); });
  loops_.call(shard(), [&] {
    for (int i = 0; i < 5; ++i) group->spawn(one(client_.get(), &done, &refused));
  });
  EXPECT_TRUE(eventually([&] { return refused == 2; }));
  server.thaw();  // the rest is written as the socket takes it
  EXPECT_TRUE(eventually([&] { return done == 5; }));
  EXPECT_TRUE(eventually([&] { return group->running() == 0; }));
  loops_.call(shard(), [&] { group.reset(); });
}

// --- others --------------------------------------------------------------------------------------

TEST_F(RedisClientTest, LeavesWhoTalksRubbish) {
  Liar liar;
  make(options_for(liar.url()));
  for (std::string_view text : {"HTTP/1.1 400 Bad Request\r\n\r\n", "*99999999\r\n", ""}) {
    int before = failures_;
    auto peer = liar.accept(text);
    if (text.empty()) peer.reset();
    EXPECT_TRUE(eventually([&] { return failures_ > before; })) << text;
  }
  EXPECT_EQ(connections_, 0);
}

TEST_F(RedisClientTest, LeavesWhoAnswersWhatNobodyAsked) {
  Liar liar;
  make(options_for(liar.url()));
  auto peer = liar.accept("+OK\r\n");
  ASSERT_TRUE(connect());
  auto more = std::string_view("+OK\r\n");
  ASSERT_EQ(::write(peer.get(), more.data(), more.size()), 5);
  ASSERT_TRUE(eventually([this] { return failures_ == 1; }));
  EXPECT_EQ(last().code, ErrorCode::upstream);
}

TEST_F(RedisClientTest, ACallerWhoLeavesDisturbsNobody) {
  Liar liar;
  auto options = options_for(liar.url());
  options.limits.patience = 10s;
  make(options);
  auto peer = liar.accept("+OK\r\n");
  ASSERT_TRUE(connect());
  std::atomic<int> cancelled{0};
  auto leaving = [](RedisClient* client, std::atomic<int>* count) -> net::Task<void> {
    auto reply = co_await client->call({"GET", "a"});
    if (!reply && reply.error().code == ErrorCode::cancelled) ++*count;
  };
  std::atomic<int> served{0};
  auto staying = [](RedisClient* client, std::atomic<int>* count) -> net::Task<void> {
    auto reply = co_await client->call({"GET", "b"});
    if (reply && reply->text == "B") ++*count;
  };
  auto groups = loops_.call(shard(), [&] {
    return std::make_pair(std::make_unique<net::TaskGroup>(shard()),
                          std::make_unique<net::TaskGroup>(shard()));
  });
  loops_.call(shard(), [&] {
    groups.first->spawn(leaving(client_.get(), &cancelled));
    groups.second->spawn(staying(client_.get(), &served));
  });
  loops_.call(shard(), [&] { groups.first->cancel(); });
  ASSERT_TRUE(eventually([&] { return cancelled == 1; }));
  auto replies = std::string_view("$1\r\nA\r\n$1\r\nB\r\n");
  ASSERT_EQ(::write(peer.get(), replies.data(), replies.size()),
            static_cast<ssize_t>(replies.size()));
  EXPECT_TRUE(eventually([&] { return served == 1; }));
  EXPECT_EQ(failures_, 0);
  EXPECT_TRUE(
      eventually([&] { return groups.first->running() == 0 && groups.second->running() == 0; }));
  loops_.call(shard(), [&] {
    groups.first.reset();
    groups.second.reset();
  });
}

TEST_F(RedisClientTest, EndsWhileItConnectsWaitsOrPauses) {
  Liar silent;
  make(options_for(silent.url()));  // waits for the log-in
  stop();
  RedisUrl nobody;
  nobody.host = "127.0.0.1";
  nobody.port = 1;
  auto options = options_for(nobody);
  options.pause_min = options.pause_max = 10s;
  make(options);
  ASSERT_TRUE(eventually([this] { return failures_ > 0; }));
  auto begun = std::chrono::steady_clock::now();
  stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
}

}  // namespace
}  // namespace corral::store::redis_client_test
