// The wire over a real server on this machine.
#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <future>
#include <thread>

#include "cli/server_api.hpp"
#include "net/http_server.hpp"
#include "net/shard.hpp"

namespace corral::cli::http_wire_test {
namespace {

struct Seen {
  std::string method, target, authorization, body;
  std::string content_type, if_none_match;
};

// Answers by path; what it saw of the last request is in `seen` once the exchange is over.
struct Handler {
  Seen* seen;
  std::promise<void>* cut;  // fulfilled when a stream's client has left

  net::Task<void> operator()(net::HttpExchange& exchange) const { return answer(exchange, *this); }

  static net::Task<void> answer(net::HttpExchange& exchange, Handler self) {
    const net::HttpRequest& request = exchange.request();
    auto body = co_await exchange.read_body();
    *self.seen = {request.method,
                  request.target,
                  std::string(request.headers.get("authorization").value_or("")),
                  body ? std::string(*body) : std::string(),
                  std::string(request.headers.get("content-type").value_or("")),
                  std::string(request.headers.get("if-none-match").value_or(""))};
    if (request.path == "/stream") {
      co_await stream(exchange, false);
    } else if (request.path == "/endless") {
      co_await stream(exchange, true);
      self.cut->set_value();
    } else {
      net::HttpReply reply;
      reply.status = request.path == "/missing" ? 404 : 200;
      reply.body = "{\"ok\":true}";
      (void)co_await exchange.reply(std::move(reply));
    }
  }

  static net::Task<void> stream(net::HttpExchange& exchange, bool endless) {
    if (!exchange.begin(200, "text/event-stream")) co_return;
    std::array<std::string_view, 1> part{"data: x\n\n"};
    for (int i = 0; endless || i < 3; ++i) {
      auto sent = co_await exchange.send(part);
      if (!sent) co_return;
      if (endless) {
        auto slept = co_await net::sleep_for(std::chrono::milliseconds(5));
        if (!slept) co_return;
      }
    }
    (void)co_await exchange.finish();
  }
};

class HttpWireTest : public ::testing::Test {
 protected:
  HttpWireTest()
      : server_(shards_, {}, Handler{&seen_, &cut_},
                [](const net::HttpRequest&, const net::HttpOutcome&) {}) {
    port_ = server_.listen("127.0.0.1", 0)->port;
    shards_.start();
    server_.start();
    control_ = std::thread([this] { shards_.run_control(); });
  }
  ~HttpWireTest() override {
    shards_.stop();
    control_.join();
    shards_.join();
  }

  std::unique_ptr<ServerWire> wire(std::string key = {}) {
    auto made = http_wire({"127.0.0.1:" + std::to_string(port_) + "/", std::move(key)});
    EXPECT_TRUE(made);
    return std::move(*made);
  }

  Seen seen_;
  std::promise<void> cut_;
  net::Shards shards_{1};
  net::HttpServer server_;
  std::thread control_;
  std::uint16_t port_ = 0;
};

TEST_F(HttpWireTest, SendsAndReads) {
  auto answer = wire("sk-1")->exchange({"POST", "/x", "{\"a\":1}", false}, nullptr);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "{\"ok\":true}");
  EXPECT_EQ(seen_.method, "POST");
  EXPECT_EQ(seen_.target, "/x");
  EXPECT_EQ(seen_.authorization, "Bearer sk-1");
  EXPECT_EQ(seen_.body, "{\"a\":1}");
  auto missing = wire()->exchange({"GET", "/missing", {}, false}, nullptr);
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->status, 404);
  EXPECT_EQ(seen_.authorization, "");
}

TEST_F(HttpWireTest, SaysWhatABodyIsAndWhetherItMayReplace) {
  ASSERT_TRUE(wire()->exchange({.method = "PUT", .path = "/x", .body = "a: 1"}, nullptr));
  EXPECT_EQ(seen_.content_type, "application/json");
  EXPECT_EQ(seen_.if_none_match, "");
  ASSERT_TRUE(wire()->exchange({.method = "PUT",
                                .path = "/x",
                                .body = "a: 1",
                                .content_type = "application/yaml",
                                .only_new = true},
                               nullptr));
  EXPECT_EQ(seen_.content_type, "application/yaml");
  EXPECT_EQ(seen_.if_none_match, "*");
}

TEST_F(HttpWireTest, StreamsToTheSink) {
  std::string text;
  auto answer = wire()->exchange({"GET", "/stream", {}, true}, [&](std::string_view bytes) {
    text += bytes;
    return true;
  });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(text, "data: x\n\ndata: x\n\ndata: x\n\n");
  EXPECT_EQ(answer->body, "");
}

TEST_F(HttpWireTest, ASinkThatHasEnoughClosesTheConnection) {
  auto answer =
      wire()->exchange({"GET", "/endless", {}, true}, [](std::string_view) { return false; });
  ASSERT_TRUE(answer);
  EXPECT_EQ(cut_.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST_F(HttpWireTest, CtrlCClosesTheConnection) {
  bool raised = false;
  auto answer = wire()->exchange({"GET", "/endless", {}, true}, [&](std::string_view) {
    if (!std::exchange(raised, true)) std::raise(SIGINT);
    return true;
  });
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().exit, ExitCode::interrupted);
  EXPECT_EQ(cut_.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST_F(HttpWireTest, NoServer) {
  auto made = http_wire({"http://127.0.0.1:1", {}});
  ASSERT_TRUE(made);
  auto answer = (*made)->exchange({"GET", "/", {}, false}, nullptr);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().exit, ExitCode::unreachable);
  EXPECT_EQ(answer.error().hint, "is it running? start it with: corral serve");
}

TEST_F(HttpWireTest, AddressesThatAreNone) {
  for (const char* url : {"ftp://x", "http://", "http://h:99999"}) {
    auto made = http_wire({url, {}});
    ASSERT_FALSE(made) << url;
    EXPECT_EQ(made.error().exit, ExitCode::usage);
  }
}

}  // namespace
}  // namespace corral::cli::http_wire_test
