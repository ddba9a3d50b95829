// Pulls over the admin API: begun, followed, paused, looked for.
#include "api/admin/pull_admin.hpp"

#include <gtest/gtest.h>
#include <stdexcept>

#include "api/admin/operation_admin.hpp"
#include "base/json.hpp"
#include "models/tests/file_server.hpp"
#include "models/tests/gguf_writer.hpp"
#include "sys/tests/temp_folder.hpp"

#include <boost/json.hpp>

namespace corral::api::admin::pull_admin_test {
namespace {

using namespace std::chrono_literals;
using net::testing::body_of;
using net::testing::eventually;
using net::testing::Loops;
using net::testing::RawClient;
using net::testing::status_of;

namespace bj = boost::json;

net::Task<void> route(const Router& router, net::HttpExchange& exchange) {
  auto match = router.match(exchange.request().method, exchange.request().path);
  if (match.route == nullptr) {
    (void)co_await exchange.reply({.status = 404});
    co_return;
  }
  Call call{exchange, match.parameter, {}};
  co_await match.route->handler(call);
}

class PullAdminTest : public testing::Test {
 protected:
  PullAdminTest()
      : pulls_({loops_.shards().serving(0), pool_, blobs_, *files_, clock_,
                telemetry::Logger(telemetry::null_sink(), "pulls"),
                [](const models::ModelVersion&) -> Result<void> { return {}; }}),
        operations_(control()),
        admin_(pulls_),
        operation_admin_(operations_),
        http_(
            loops_.shards(), {},
            [this](net::HttpExchange& exchange) { return route(router_, exchange); },
            [](const net::HttpRequest&, const net::HttpOutcome&) {}) {
    auto settings = std::make_shared<config::Settings>();
    settings->sources.hugging_face = server_.url("/hub");
    settings->sources.folders = {"lab=" + server_.url("/lab")};
    settings->downloads.keep_free = 0;
    EXPECT_TRUE(loops_.run(control(), pulls_.start(settings)));
    operations_.add_source(admin_);
    admin_.add_routes(router_);
    operation_admin_.add_routes(router_);
    port_ = http_.listen("127.0.0.1", 0)->port;
    http_.start();
    std::string content = models::tiny_llama().tensor("x", {1 << 20}, 0, 4 << 20).file();
    server_.put("/lab/tiny.gguf", content);
    server_.put("/lab/index.json",
                fmt::format(R"({{"corral_index": 1, "models": [{{"name": "tiny", "license": "mit",
                               "files": [{{"path": "tiny.gguf", "size": {}}}]}}]}})",
                            content.size()));
  }
  ~PullAdminTest() override {
    server_.release();
    loops_.run(control(), pulls_.stop());
    loops_.run(control(), operations_.stop());
    http_.drain();
    loops_.run(control(), end());
    server_.stop();
    loops_.end();
  }
  net::Task<void> end() { (void)co_await http_.stop(0ms); }
  net::Shard& control() { return loops_.shards().control(); }

  std::string send(std::string_view method, std::string_view path, std::string_view body = "") {
    RawClient client(port_);
    client.send(
        fmt::format("{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}"
                    "\r\n\r\n{}",
                    method, path, body.size(), body));
    return client.read_all(20s);
  }
  bj::value json_of(const std::string& answer) {
    auto parsed = json::parse(body_of(answer));
    if (!parsed) throw std::runtime_error("no JSON in: " + answer);
    return *std::move(parsed);
  }

  Loops loops_;
  sys::TempFolder folder_;
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  std::unique_ptr<sys::LargeFiles> large_ = sys::real_large_files();
  models::BlobStore blobs_{*files_, *large_, folder_ / "blobs", 0};
  net::BlockingPool pool_{3};
  sys::RealClock clock_;
  models::FileServer server_{loops_};
  models::Pulls pulls_;
  Operations operations_;
  PullAdmin admin_;
  OperationAdmin operation_admin_;
  Router router_;
  net::HttpServer http_;
  std::uint16_t port_ = 0;
};

TEST_F(PullAdminTest, APullIsAnOperation) {
  auto answer = send("POST", "/admin/v1/pulls", R"({"model": "lab/tiny", "name": "mine"})");
  ASSERT_EQ(status_of(answer), 202) << answer;
  std::string id(json_of(answer).at("id").as_string());
  EXPECT_TRUE(answer.contains("/admin/v1/operations/" + id));
  auto events = send("GET", fmt::format("/admin/v1/operations/{}/events", id));
  EXPECT_TRUE(events.contains("event: end")) << events;
  EXPECT_TRUE(events.contains(R"("state":"succeeded")")) << events;
  EXPECT_TRUE(events.contains(R"("model":"mine")"));
  EXPECT_EQ(operations_.list().size(), 1u);
  auto late = send("POST", fmt::format("/admin/v1/operations/{}/pause", id));
  EXPECT_EQ(status_of(late), 409);
}

TEST_F(PullAdminTest, IsPausedResumedAndCancelled) {
  server_.set({.hold_after = 1 << 20});
  auto id = std::string(
      json_of(send("POST", "/admin/v1/pulls", R"({"model": "lab/tiny"})")).at("id").as_string());
  auto act = [&](std::string_view action) {
    return std::string(json_of(send("POST", fmt::format("/admin/v1/operations/{}/{}", id, action)))
                           .at("state")
                           .as_string());
  };
  ASSERT_TRUE(eventually([&] { return pulls_.find(id)->done > 0; }, 20s));
  EXPECT_EQ(act("pause"), "paused");
  EXPECT_NE(act("resume"), "paused");
  EXPECT_EQ(act("cancel"), "cancelled");
  EXPECT_EQ(status_of(send("POST", "/admin/v1/operations/none/cancel")), 404);
  EXPECT_EQ(status_of(send("GET", "/admin/v1/operations/none/events")), 404);
}

TEST_F(PullAdminTest, SearchAndPlan) {
  auto found = send("GET", "/admin/v1/search?q=tin&limit=3");
  ASSERT_EQ(status_of(found), 200) << found;
  EXPECT_EQ(json_of(found).at("models").at(0).at("reference"), "lab/tiny");
  auto plan = send("GET", "/admin/v1/pulls/plan?model=lab%2Ftiny");
  ASSERT_EQ(status_of(plan), 200) << plan;
  EXPECT_EQ(json_of(plan).at("files").at(0).at("role"), "weights");
  EXPECT_EQ(status_of(send("GET", "/admin/v1/pulls/plan?model=lab%2Fnone")), 404);
  EXPECT_EQ(status_of(send("GET", "/admin/v1/pulls/plan")), 400);
  EXPECT_EQ(status_of(send("GET", "/admin/v1/search?q=%20")), 400);
}

TEST_F(PullAdminTest, BadRequestsAreRefused) {
  for (std::string_view body : {"", "[]", "{}", R"({"model": 1})", R"({"model": "x", "y": "z"})",
                                R"({"model": "a b"})", R"({"model": "x", "name": ".."})"}) {
    auto answer = send("POST", "/admin/v1/pulls", body);
    EXPECT_EQ(status_of(answer), 400) << body << answer;
  }
  EXPECT_TRUE(operations_.list().empty());
}

}  // namespace
}  // namespace corral::api::admin::pull_admin_test
