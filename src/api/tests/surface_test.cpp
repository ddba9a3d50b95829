// The API as a client sees it: a real server on a loopback port, a real scheduler, and a backend
// that answers what it was told to.
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "api/admin/admin_surface.hpp"
#include "api/api.hpp"
#include "api/openai/openai_surface.hpp"
#include "api/ops/ops_surface.hpp"
#include "base/json.hpp"
#include "scheduler/tests/world.hpp"

namespace corral::api {
namespace {

using namespace std::chrono_literals;
using net::testing::body_of;
using net::testing::eventually;
using net::testing::RawClient;
using net::testing::status_of;

// Answers with a status and pieces, each sent by itself; cuts the connection when told to.
class Backend {
 public:
  struct Script {
    int status = 200;
    std::string type = "text/event-stream";
    std::vector<std::string> pieces;
    bool cut = false;
  };

  explicit Backend(net::testing::Loops& loops)
      : loops_(loops),
        server_(
            loops.shards(), {},
            [this](net::HttpExchange& exchange) { return serve(this, exchange); },
            [](const net::HttpRequest&, const net::HttpOutcome&) {}) {
    auto bound = server_.listen("127.0.0.1", 0);
    EXPECT_TRUE(bound);
    url = "http://127.0.0.1:" + std::to_string(bound->port);
    server_.start();
  }
  ~Backend() { loops_.run(loops_.shards().control(), server_.stop(0ms)); }

  void play(Script script) {
    std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  std::string body() const {
    std::lock_guard lock(mutex_);
    return body_;
  }

  std::string url;

 private:
  static net::Task<void> serve(Backend* backend, net::HttpExchange& exchange) {
    auto body = co_await exchange.read_body();
    if (!body) co_return;
    Script script;
    {
      std::lock_guard lock(backend->mutex_);
      backend->body_ = *body;
      script = backend->script_;
    }
    if (script.type != "text/event-stream") {
      net::HttpReply reply;
      reply.status = script.status;
      reply.content_type = script.type;
      for (const auto& piece : script.pieces) reply.body += piece;
      (void)co_await exchange.reply(std::move(reply));
      co_return;
    }
    if (!exchange.begin(script.status, script.type)) co_return;
    auto head = co_await exchange.flush_head();
    if (!head) co_return;
    for (const auto& piece : script.pieces) {
      std::string_view parts[] = {piece};
      auto sent = co_await exchange.send(parts);
      if (!sent) co_return;
      auto slept = co_await net::sleep_for(1ms);
      if (!slept) co_return;
    }
    if (script.cut)
      exchange.abort();
    else
      (void)co_await exchange.finish();
  }

  net::testing::Loops& loops_;
  mutable std::mutex mutex_;
  Script script_;
  std::string body_;
  net::HttpServer server_;
};

class SurfaceTest : public testing::Test {
 protected:
  SurfaceTest() : backend_(std::make_unique<Backend>(world_.loops)) {
    world_.put_model("tiny");
    world_.add_endpoint("far", backend_->url, {"remote=backend-name"});
    world_.add_endpoint("llama", backend_->url, {"local"}, "llamacpp");
    world_.add_endpoint("dead", "http://127.0.0.1:1", {"dead"});
    world_.settings.models.settings["remote"].aliases = {"gpt-4o"};
  }
  ~SurfaceTest() override {
    if (server_) {
      draining_ = true;
      world_.loops.run(world_.loops.shards().control(), server_->stop(0ms));
    }
    backend_.reset();
    world_.end();
  }

  // Change `gate_` before this.
  void start(std::chrono::milliseconds total = 30s) {
    world_.start();
    auto& shards = world_.loops.shards();
    limits_ = std::make_unique<net::Snapshot<gateway::CallLimits>>(
        shards, std::make_shared<const gateway::CallLimits>(gateway::CallLimits{{}, total}));
    dispatcher_ = std::make_unique<gateway::Dispatcher>(*world_.scheduler);
    api_ = std::make_unique<Api>(shards, telemetry::Logger(world_.log, "access"), world_.metrics,
                                 std::make_shared<const Gate>(gate_), true);
    openai_ = std::make_unique<openai::OpenAiSurface>(*dispatcher_, *world_.scheduler, *limits_);
    facts_.version = "1.2.3";
    facts_.listeners = {"http://here"};
    admin_ = std::make_unique<admin::AdminSurface>(*world_.scheduler, facts_);
    ops_ = std::make_unique<ops::OpsSurface>(
        ops::OpsParts{*api_, *world_.scheduler, world_.metrics, pool_, "1.2.3", ready_, draining_,
                      [] { return std::size_t{5}; }, [] { return std::size_t{6}; }});
    openai_->add_routes(api_->router());
    admin_->add_routes(api_->router());
    ops_->add_routes(api_->router());
    ops_->add_root(api_->router());
    server_ = std::make_unique<net::HttpServer>(
        shards, net::HttpServerOptions{.max_body_bytes = 1 << 20},
        [this](net::HttpExchange& exchange) { return api_->handle(exchange); },
        [this](const net::HttpRequest& request, const net::HttpOutcome& outcome) {
          api_->observe(request, outcome);
        });
    auto bound = server_->listen("127.0.0.1", 0);
    ASSERT_TRUE(bound);
    port_ = bound->port;
    server_->start();
  }

  // A whole answer, on a connection of its own.
  std::string request(std::string_view method, std::string_view path, std::string_view body = "",
                      std::string_view headers = "Host: localhost\r\n") {
    RawClient client(port_);
    client.send(fmt::format("{} {} HTTP/1.1\r\n{}Connection: close\r\nContent-Length: {}\r\n\r\n{}",
                            method, path, headers, body.size(), body));
    return client.read_all(20s);
  }
  std::string get(std::string_view path) { return request("GET", path); }
  std::string chat(std::string_view model, std::string_view more = "") {
    return request("POST", "/v1/chat/completions",
                   fmt::format(R"({{"model":"{}","messages":[{{"role":"user","content":"x"}}]{}}})",
                               model, more));
  }
  std::string stream(std::string_view model) { return chat(model, R"(,"stream":true)"); }
  // The line appears once the server is done with the exchange.
  std::string access_line(std::string_view part) {
    EXPECT_TRUE(eventually([&] { return world_.log->has(part); }));
    return world_.log->find(part);
  }
  bool metric(std::string_view line) {
    return eventually([&] { return world_.metrics.expose().contains(line); });
  }

  scheduler::World world_;
  std::unique_ptr<Backend> backend_;
  config::ServerSettings gate_;
  net::BlockingPool pool_{1};
  std::atomic<bool> ready_ = true;
  std::atomic<bool> draining_ = false;
  std::unique_ptr<net::Snapshot<gateway::CallLimits>> limits_;
  std::unique_ptr<gateway::Dispatcher> dispatcher_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<openai::OpenAiSurface> openai_;
  admin::ServerFacts facts_;
  std::unique_ptr<admin::AdminSurface> admin_;
  std::unique_ptr<ops::OpsSurface> ops_;
  std::unique_ptr<net::HttpServer> server_;
  std::uint16_t port_ = 0;
};

boost::json::value parsed(std::string_view answer) {
  auto value = json::parse(body_of(answer));
  EXPECT_TRUE(value) << answer;
  return value ? *value : boost::json::value(boost::json::object{});
}

std::string token(std::string_view text) {
  return fmt::format("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
                     text);
}
const std::string kUsage =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":42}}\n\n";
const std::string kDone = "data: [DONE]\n\n";

TEST_F(SurfaceTest, AStreamIsRelayed) {
  backend_->play({200, "text/event-stream", {token("Hel"), token("lo") + kUsage, kDone}});
  start();
  std::string answer = stream("remote");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_TRUE(answer.contains("text/event-stream"));
  EXPECT_TRUE(answer.contains("server-timing: wait;dur=")) << answer;
  for (const auto& event : {token("Hel"), token("lo") + kUsage, kDone}) {
    EXPECT_TRUE(answer.contains(event)) << answer;
  }
  EXPECT_TRUE(backend_->body().contains(R"("model":"backend-name")"));
  std::string line = access_line("path=/v1/chat/completions");
  for (auto part : {"status=200", "model=remote", "endpoint=far", "prompt_tokens=7",
                    "completion_tokens=42", "method=POST"}) {
    EXPECT_TRUE(line.contains(part)) << line;
  }
  EXPECT_TRUE(metric("corral_completion_tokens_total{model=\"remote\",surface=\"openai\"} 42"));
}

TEST_F(SurfaceTest, MetricsDoNotGrowWithSpellings) {
  backend_->play({200, "text/event-stream", {token("a"), kDone}});
  start();
  for (auto name : {"Remote", "REMOTE:latest", "gpt-4o", "GPT-4O"}) {
    EXPECT_EQ(status_of(stream(name)), 200) << name;
  }
  EXPECT_EQ(status_of(stream("nonsense-1")), 404);
  EXPECT_TRUE(metric(R"(outcome="ok",surface="openai"} 4)")) << world_.metrics.expose();
  std::string all = world_.metrics.expose();
  for (auto name : {"\"Remote\"", "\"REMOTE:latest\"", "\"gpt-4o\"", "nonsense"}) {
    EXPECT_FALSE(all.contains(name)) << name;
  }
}

TEST_F(SurfaceTest, ARefusalBeforeTheFirstByteKeepsItsStatus) {
  start();
  backend_->play({429, "application/json", {R"({"error":{"message":"slow down"}})"}});
  std::string answer = stream("remote");
  EXPECT_EQ(status_of(answer), 429);
  EXPECT_EQ(parsed(answer).at("error").at("message"), "slow down");
  // The error comes as the first event.
  backend_->play({200, "text/event-stream", {"data: {\"error\":{\"message\":\"broke\"}}\n\n"}});
  answer = stream("remote");
  EXPECT_EQ(status_of(answer), 502);
  EXPECT_EQ(parsed(answer).at("error").at("type"), "server_error");
  EXPECT_EQ(status_of(chat("dead")), 503);
  EXPECT_TRUE(
      metric(R"(model="remote",operation="chat",outcome="client_error",surface="openai"} 1)"));
}

TEST_F(SurfaceTest, AnErrorMidwayIsAnEventWithoutDone) {
  start();
  backend_->play(
      {200, "text/event-stream", {token("a"), "data: {\"error\":{\"message\":\"broke\"}}\n\n"}});
  std::string answer = stream("remote");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_TRUE(answer.contains(token("a")));
  EXPECT_TRUE(answer.contains(R"(data: {"error":{"message":"broke","type":"server_error")"))
      << answer;
  EXPECT_FALSE(answer.contains("[DONE]"));
  // A backend that goes away in the middle.
  backend_->play({200, "text/event-stream", {token("b")}, true});
  answer = stream("remote");
  EXPECT_TRUE(answer.contains(token("b")));
  EXPECT_TRUE(answer.contains(R"(data: {"error":{"message":)")) << answer;
  EXPECT_FALSE(answer.contains("[DONE]"));
  EXPECT_TRUE(
      metric(R"(model="remote",operation="chat",outcome="server_error",surface="openai"} 2)"));
}

TEST_F(SurfaceTest, TheWholeAnswerHasADeadline) {
  start(0ms);
  backend_->play({200, "text/event-stream", {token("a"), token("b"), kDone}});
  std::string answer = stream("remote");
  EXPECT_TRUE(answer.contains("gateway.total_timeout")) << answer;
  EXPECT_FALSE(answer.contains("[DONE]"));
  answer = chat("local");
  EXPECT_EQ(status_of(answer), 504);
}

TEST_F(SurfaceTest, DocumentsAreRelayed) {
  start();
  std::string document = R"({"object":"list","data":[],"usage":{"prompt_tokens":3}})";
  backend_->play({200, "application/json", {document}});
  std::string answer = request("POST", "/v1/embeddings", R"({"model":"remote","input":"x"})");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_EQ(body_of(answer), document);
  EXPECT_EQ(body_of(chat("remote")), document);
  EXPECT_TRUE(access_line("path=/v1/embeddings").contains("prompt_tokens=3"));
  backend_->play({200, "application/json", {}});
  EXPECT_EQ(status_of(chat("remote")), 502);
}

TEST_F(SurfaceTest, AStreamOfLlamaCppBecomesOneDocument) {
  backend_->play({200, "text/event-stream", {token("Hel"), token("lo"), kUsage, kDone}});
  start();
  auto document = parsed(chat("local"));
  EXPECT_EQ(document.at("object"), "chat.completion");
  EXPECT_EQ(document.at("model"), "local");
  EXPECT_EQ(document.at("choices").at(0).at("message").at("content"), "Hello");
  EXPECT_EQ(document.at("usage").at("total_tokens"), 49);
  EXPECT_TRUE(backend_->body().contains("\"stream\":true"));
  backend_->play({200, "text/event-stream", {token("Hel")}});
  EXPECT_EQ(status_of(chat("local")), 502);
}

TEST_F(SurfaceTest, BadRequestsAreRefusedInOpenAisShape) {
  start();
  std::string answer = request("POST", "/v1/chat/completions", "{oops");
  EXPECT_EQ(status_of(answer), 400);
  EXPECT_EQ(parsed(answer).at("error").at("type"), "invalid_request_error");
  answer = chat("remote", R"(,"n":0)");
  EXPECT_EQ(parsed(answer).at("error").at("param"), "n");
  answer = chat("remot");
  EXPECT_EQ(status_of(answer), 404);
  EXPECT_EQ(parsed(answer).at("error").at("code"), "model_not_found");
  answer = request("POST", "/v1/completions", std::string(2 << 20, ' '));
  EXPECT_EQ(status_of(answer), 413);
}

TEST_F(SurfaceTest, Models) {
  start();
  auto list = parsed(get("/v1/models"));
  std::vector<std::string> names;
  for (const auto& model : list.at("data").as_array()) {
    names.emplace_back(model.at("id").as_string());
    EXPECT_EQ(model.at("object"), "model");
  }
  EXPECT_EQ(names, (std::vector<std::string>{"dead", "local", "remote", "gpt-4o", "tiny"}));
  EXPECT_EQ(parsed(get("/v1/models/GPT-4o")).at("id"), "GPT-4o");
  EXPECT_EQ(parsed(get("/v1/models/tiny")).at("context_length"), 2048);
  EXPECT_EQ(status_of(get("/v1/models/none")), 404);
  EXPECT_EQ(parsed(get("/v1/models/none")).at("error").at("code"), "model_not_found");
}

TEST_F(SurfaceTest, UnknownPathsAndMethods) {
  start();
  std::string answer = get("/v1/nothing");
  EXPECT_EQ(status_of(answer), 404);
  EXPECT_EQ(parsed(answer).at("error").at("type"), "invalid_request_error");
  answer = get("/nothing");
  EXPECT_EQ(status_of(answer), 404);
  EXPECT_EQ(parsed(answer).at("status"), 404);
  answer = request("GET", "/v1/chat/completions");
  EXPECT_EQ(status_of(answer), 405);
  EXPECT_TRUE(answer.contains("allow: POST")) << answer;
  answer = request("DELETE", "/health");
  EXPECT_EQ(status_of(answer), 405);
  EXPECT_EQ(parsed(answer).at("status"), 405);
  EXPECT_TRUE(metric(R"(api_requests_total{route="none",status="404",surface="none"} 2)"))
      << world_.metrics.expose();
}

TEST_F(SurfaceTest, TheGateStandsBeforeEverything) {
  gate_.api_key.value = "s3cret";
  start();
  EXPECT_EQ(status_of(request("GET", "/health", "", "Host: evil.example\r\n")), 403);
  for (auto path : {"/v1/models", "/admin/v1/models", "/metrics", "/v1/no-such", "/no-such"}) {
    std::string answer = get(path);
    EXPECT_EQ(status_of(answer), 401) << path;
    EXPECT_TRUE(answer.contains("www-authenticate: Bearer"));
  }
  for (auto path : {"/health", "/health/ready", "/"}) EXPECT_EQ(status_of(get(path)), 200) << path;
  EXPECT_TRUE(get("/health").contains(R"("api_key_required":true)"));
  EXPECT_EQ(status_of(request("GET", "/v1/models", "", "Host: localhost\r\nX-Api-Key: s3cret\r\n")),
            200);
  std::string preflight =
      request("OPTIONS", "/v1/models", "", "Host: localhost\r\nOrigin: http://localhost:5173\r\n");
  EXPECT_EQ(status_of(preflight), 204);
  EXPECT_TRUE(preflight.contains("access-control-allow-origin: http://localhost:5173"));
  std::string refused =
      request("GET", "/v1/models", "", "Host: localhost\r\nOrigin: http://localhost:5173\r\n");
  EXPECT_EQ(status_of(refused), 401);  // and a page may read why
  EXPECT_TRUE(refused.contains("access-control-allow-origin: http://localhost:5173"));
}

TEST_F(SurfaceTest, TheQueryIsNotLogged) {
  start();
  EXPECT_EQ(status_of(get("/health?api_key=hush")), 200);
  EXPECT_FALSE(access_line("path=/health").contains("hush"));
}

TEST_F(SurfaceTest, RequestsRefusedByTheServerAreCountedToo) {
  start();
  std::string answer = request("GET", "/x", "", "Host: a\r\nHost: b\r\n");
  EXPECT_EQ(status_of(answer), 400);
  EXPECT_TRUE(metric(R"(api_requests_total{route="refused",status="400",surface="none"} 1)"))
      << world_.metrics.expose();
}

TEST_F(SurfaceTest, Ops) {
  start();
  auto health = parsed(get("/health"));
  EXPECT_EQ(health.at("status"), "ok");
  EXPECT_EQ(health.at("version"), "1.2.3");
  EXPECT_EQ(health.at("api_key_required"), false);
  EXPECT_EQ(parsed(get("/health/ready")).at("status"), "ready");
  EXPECT_TRUE(get("/").contains("Corral 1.2.3 is running"));
  std::string metrics = get("/metrics");
  EXPECT_TRUE(metrics.contains("text/plain; version=0.0.4"));
  EXPECT_TRUE(metrics.contains("api_requests_total"));
  std::string head = request("HEAD", "/health");
  EXPECT_EQ(status_of(head), 200);
  EXPECT_EQ(body_of(head), "");
  ready_ = false;
  std::string starting = get("/health/ready");
  EXPECT_EQ(status_of(starting), 503);
  EXPECT_EQ(parsed(starting).at("status"), "starting");
  draining_ = true;
  EXPECT_EQ(parsed(get("/health/ready")).at("status"), "shutting_down");
  EXPECT_EQ(parsed(get("/health")).at("status"), "shutting_down");
}

TEST_F(SurfaceTest, LiveMetricsOnAWebSocket) {
  start();
  auto upgrade = [&](std::string_view origin) {
    RawClient client(port_);
    client.send(
        fmt::format("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
                    origin));
    return client.read_until([](const std::string& all) {
      return all.contains("instances") || all.contains("server.cors");
    });
  };
  std::string live = upgrade("");
  EXPECT_EQ(status_of(live), 101);
  EXPECT_TRUE(live.contains(R"("connections":5,"requests_in_flight":6,"instances":[])")) << live;
  EXPECT_EQ(status_of(upgrade("Origin: https://evil.example\r\n")), 403);
  EXPECT_EQ(status_of(upgrade("Origin: http://localhost:1\r\n")), 101);
}

TEST_F(SurfaceTest, Admin) {
  start();
  auto list = parsed(get("/admin/v1/models")).at("models").as_array();
  EXPECT_EQ(list.size(), 4u);
  auto tiny = parsed(get("/admin/v1/models/tiny"));
  EXPECT_EQ(tiny.at("state"), "unloaded");
  EXPECT_EQ(tiny.at("settings").at("slots"), 2);
  EXPECT_EQ(tiny.at("source"), "file");
  std::string none = get("/admin/v1/models/none");
  EXPECT_EQ(status_of(none), 404);
  EXPECT_EQ(parsed(none).at("param"), "model");
  EXPECT_EQ(status_of(request("POST", "/admin/v1/models/remote/unload")), 409);
  EXPECT_EQ(status_of(request("POST", "/admin/v1/models/none/load")), 404);

  EXPECT_EQ(parsed(request("POST", "/admin/v1/models/tiny/load")).at("state"), "ready");
  auto instances = parsed(get("/admin/v1/instances")).at("instances").as_array();
  ASSERT_EQ(instances.size(), 1u);
  EXPECT_EQ(instances[0].at("model"), "tiny");
  EXPECT_TRUE(instances[0].at("idle_unload_at").is_null());
  EXPECT_EQ(status_of(request("POST", "/admin/v1/models/tiny/unload")), 200);
  EXPECT_TRUE(
      eventually([&] { return world_.in_state("tiny", scheduler::ModelState::unloaded); }, 30s));

  auto status = parsed(get("/admin/v1/status"));
  EXPECT_EQ(status.at("version"), "1.2.3");
  EXPECT_EQ(status.at("listeners").at(0), "http://here");
  EXPECT_GT(status.at("resident_bytes").to_number<double>(), 0);
}

TEST_F(SurfaceTest, TheGateAndTheAccessLogCanBeReplaced) {
  start();
  EXPECT_EQ(status_of(get("/v1/models")), 200);
  access_line("path=/v1/models");
  gate_.api_key.value = "new";
  world_.loops.call(world_.loops.shards().control(), [&] {
    api_->replace_gate(std::make_shared<const Gate>(gate_));
    api_->set_log_access(false);
    return true;
  });
  world_.settle();
  EXPECT_EQ(status_of(get("/admin/v1/status")), 401);
  EXPECT_TRUE(metric(R"(route="/admin/v1/status",status="401")"));
  EXPECT_FALSE(world_.log->has("path=/admin/v1/status"));
}

}  // namespace
}  // namespace corral::api
