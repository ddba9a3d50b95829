// The surfaces as a client sees them, but for the administration of endpoints and routes.
#include <gtest/gtest.h>

#include "api/tests/api_fixture.hpp"

namespace corral::api::surface_test {
namespace {

using SurfaceTest = ApiTest;

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
  world_.settings.gateway.breaker.cooldown = 1ms;  // after the 429
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
  start(300ms);
  Backend::Script slow{200, "text/event-stream", {}};
  slow.pieces.assign(20, token("a"));
  slow.pieces.push_back(kDone);
  slow.pause = 50ms;
  backend_->play(slow);
  std::string answer = stream("remote");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_TRUE(answer.contains(token("a"))) << answer;
  EXPECT_TRUE(answer.contains("total_timeout")) << answer;
  EXPECT_FALSE(answer.contains("[DONE]"));
  answer = chat("local");
  EXPECT_EQ(status_of(answer), 504);
  EXPECT_TRUE(answer.contains("total_timeout")) << answer;
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
  EXPECT_EQ(parsed(get("/v1/models/tiny")).at("capabilities").as_array().at(0), "chat");
  EXPECT_FALSE(parsed(get("/v1/models/remote")).as_object().contains("capabilities"));
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

TEST_F(SurfaceTest, AModelIsLoadedForWhatItIs) {
  world_.folder.put("models/vectors.gguf",
                    models::tiny_llama().number("llama.pooling_type", 1).file());
  start();
  EXPECT_EQ(parsed(request("POST", "/admin/v1/models/vectors/load")).at("state"), "ready");
  auto instances = parsed(get("/admin/v1/instances")).at("instances").as_array();
  ASSERT_EQ(instances.size(), 1u);
  EXPECT_EQ(instances[0].at("purpose"), "embedding");
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
  auto operations = parsed(get("/admin/v1/operations")).at("operations").as_array();
  ASSERT_EQ(operations.size(), 2u);  // the newest first
  EXPECT_EQ(operations[0].at("target"), "tiny");
  EXPECT_EQ(operations[0].at("state"), "succeeded");
  EXPECT_EQ(operations[1].at("state"), "failed");
  EXPECT_TRUE(operations[1].at("error").is_string());
  auto id = std::string(operations[0].at("id").as_string());
  EXPECT_EQ(parsed(get("/admin/v1/operations/" + id)).at("kind"), "load");
  EXPECT_EQ(status_of(get("/admin/v1/operations/none")), 404);
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
}  // namespace corral::api::surface_test
