#include "net/http_server.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "http_server_fixture.hpp"

namespace corral::net::http_server_life_test {
namespace {

using namespace testing;

// --- clients that leave --------------------------------------------------------------------------

// `ahead`: what the client sends while its first request is being answered.
void leaves(std::string_view target, bool reset, bool half, std::string_view ahead = {}) {
  Server server;
  RawClient client(server.port);
  client.send(fmt::format("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", target));
  ASSERT_TRUE(eventually([&] { return server.seen.waiting == 1; }));
  client.send(ahead);
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

std::string requests(std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += kGet;
  return text;
}

// The requests behind the first one do not hide that the client is gone, nor does it matter whether
// all of them were read.
TEST(HttpServer, NoticesALeaverThatSentRequestsAhead) {
  for (std::size_t bytes : {1u, 1000u, 16u * 1024, 20u * 1024, 40u * 1024}) {
    SCOPED_TRACE(bytes);
    leaves("/wait", false, false, requests(bytes));
    leaves("/wait", true, false, requests(bytes));
    leaves("/wait?stream", false, true, requests(bytes));
  }
}

TEST(HttpServer, AnswersAllThatWasSentAhead) {
  Server server;
  RawClient client(server.port);
  client.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto ahead = requests(60'000);
  client.send(ahead);
  client.send("GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  auto answers = client.read_all();
  EXPECT_TRUE(answers.ends_with("GET /last")) << answers.substr(answers.size() - 200);
  EXPECT_EQ(server.seen.observed(), ahead.size() / kGet.size() + 2);
}

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

// Each connection takes a descriptor at both ends, both of them in this process: where it may not
// have so many, half of what it may have is tried.
TEST(HttpServer, ServesAThousandConnections) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
  setrlimit(RLIMIT_NOFILE, &limit);
  const auto count = std::min<std::size_t>(1000, limit.rlim_cur / 4);
  Server server({}, 2);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port));
  }
  for (auto& client : clients) client->send(kGet);
  std::size_t good = 0;
  for (auto& client : clients) good += status_of(client->read_answer()) == 200 ? 1 : 0;
  EXPECT_EQ(good, count);
  EXPECT_EQ(server.server->connections(), count);
  clients.clear();
  EXPECT_TRUE(eventually([&] { return server.server->connections() == 0; }));
}

}  // namespace
}  // namespace corral::net::http_server_life_test
