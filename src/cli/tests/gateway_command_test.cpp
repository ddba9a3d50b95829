// `corral endpoints` and `corral routes` from the command line to what is printed, over a fake
// server.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/commands.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::gateway_command_test {
namespace {

const std::string kGpu1 = R"({"name":"gpu1","source":"config","version":null,
 "settings":{"name":"gpu1","api_key":"***"},"binding":"llamacpp","url":"http://10.0.0.1:8080",
 "serves":["llama-8b=meta/llama","b","c","d"],"health":"suspect","error":"scripted 500",
 "in_flight":3,"capacity":8,"share":0.4,"weight":2,"requests_total":1234,"models":[
 {"model":"llama-8b","breaker":{"state":"closed","forced":false,"failures_in_a_row":2,
  "window_requests":9,"window_failures":2,"trials_under_way":0,"opens_for_trials_in_ms":null,
  "cooling_for_ms":null},"latency_ms":0.53,"successes":7,"failures":2},
 {"model":"big","breaker":{"state":"open","forced":false,"reason":"consecutive_failures",
  "since_ms":7122,"failures_in_a_row":0,
  "window_requests":10,"window_failures":5,"trials_under_way":0,"opens_for_trials_in_ms":62878,
  "cooling_for_ms":null},"latency_ms":1234.5,"successes":5,"failures":5},
 {"model":"cold","breaker":{"state":"closed","forced":false,"failures_in_a_row":0,
  "window_requests":0,"window_failures":0,"trials_under_way":0,"opens_for_trials_in_ms":null,
  "cooling_for_ms":4200},"latency_ms":null,"successes":0,"failures":0},
 {"model":"trial","breaker":{"state":"half_open","forced":false,"reason":"recovery_over",
  "since_ms":0,"failures_in_a_row":0,
  "window_requests":0,"window_failures":0,"trials_under_way":2,"opens_for_trials_in_ms":null,
  "cooling_for_ms":null},"latency_ms":88.8,"successes":0,"failures":0}]})";

const std::string kGpu2 = R"({"name":"gpu2","source":"store","version":3,"settings":{},
 "binding":"openai","url":"https://x","serves":[],"health":"healthy","error":null,"in_flight":0,
 "capacity":64,"share":1.0,"weight":1,"requests_total":0,"models":[{"model":"*","breaker":{
 "state":"open","forced":true},"latency_ms":null,"successes":0,"failures":0}]})";

const std::string kEndpoints = R"({"endpoints":[)" + kGpu1 + "," + kGpu2 +
                               R"(,{"name":"evil\u001b[31m\n","health":"down","models":5}]})";

const std::string kChat = R"({"name":"chat","source":"store","version":7,"implicit":false,
 "settings":{"fallbacks":["cloud/big"],"parameters":{"temperature":0.2,"stop":"\n"},"tries":3,
 "hedge":true,"resume":false,"cache":"off"},"aliases":["gpt-4o","tiny"],"balance":"peak_ewma",
 "queue":{"waiting":4,"limit":512,"wait_ms":1500},"p50_ms":12.34,"p95_ms":456.7,
 "requests_total":99,"retries_total":5,"hedges_total":1,"groups":[
 {"route":"chat","number":0,"balance":"peak_ewma","targets":[
  {"endpoint":"gpu1","model":"llama-8b","weight":2,"usable":false,"obstacle":"circuit breaker open",
   "breaker":"open","latency_ms":232.9,"in_flight":3,"capacity":8,"share":0.4},
  {"endpoint":"模型","model":"llama-8b","weight":1,"usable":true,"obstacle":null,
   "breaker":"closed","latency_ms":8.05,"in_flight":0,"capacity":64,"share":0.5}]},
 {"route":"chat","number":1,"balance":"peak_ewma","targets":[
  {"endpoint":"local","model":"corral-tiny","weight":0,"usable":true,"obstacle":null,
   "breaker":"closed","latency_ms":null}]},
 {"route":"cloud/*","number":0,"balance":"sticky","targets":[
  {"endpoint":"cloud\u001b","model":"big","weight":1,"usable":true,"obstacle":null,
   "breaker":"half_open","latency_ms":null,"in_flight":0,"capacity":64,"share":1.0}]}],
 "notes":["endpoint \u0007x is not known"]})";

const std::string kRoutes = R"({"routes":[)" + kChat +
                            R"(,{"name":"openai/*","source":"implicit","balance":"round_robin",
 "queue":{"waiting":0,"limit":512,"wait_ms":null},"p50_ms":null,"p95_ms":null,"requests_total":0,
 "groups":[{"targets":[{"usable":false}]}]}]})";

// `kChat`'s groups as the answer to a question.
std::string explanation(const std::string& would_choose) {
  auto route = corral::json::parse(kChat);
  boost::json::object answer{{"name", "gpt-4o"},
                             {"route", "chat"},
                             {"text",
                              "gpt-4o is an alias of the route chat\nbalance peak_ewma, 3 tries\n"
                              "group 0\n  gpu1  llama-8b  weight 2\nnote: \x07 is odd\n"},
                             {"groups", route->at("groups")}};
  answer["would_choose"] = *corral::json::parse(would_choose);
  return corral::json::serialize(boost::json::value(answer));
}

const std::string kChosen = R"({"endpoint":"模型","model":"llama-8b","reason":"turn",
 "explanation":"it was its turn"})";

TEST(RenderGateway, Golden) {
  Paint plain(false);
  expect_golden("endpoints.txt", render_endpoints(kEndpoints, plain));
  expect_golden("endpoints-colors.txt", render_endpoints(kEndpoints, Paint(true)));
  expect_golden("endpoint.txt", render_endpoint(kGpu1, plain));
  expect_golden("endpoint-by-hand.txt", render_endpoint(kGpu2, plain));
  expect_golden("routes.txt", render_routes(kRoutes, plain));
  expect_golden("route.txt", render_route(kChat, plain));
  expect_golden("explain.txt", render_explanation(explanation(kChosen), plain));
  expect_golden("explain-colors.txt", render_explanation(explanation(kChosen), Paint(true)));
  expect_golden("explain-nobody.txt", render_explanation(explanation("null"), plain));
}

TEST(RenderGateway, WhatWorkTakesIsTold) {
  const std::string target = R"({"groups":[{"number":0,"targets":[{"endpoint":"gpu1",
   "model":"m\u0007","usable":true,"work":[
    {"operation":"chat","stream":true,"requests":57,"usual_ms":2500.0,"fixed_ms":1200.0,
     "per_kib_ms":310.4},
    {"operation":"embedding","stream":false,"requests":3,"usual_ms":4.25,"fixed_ms":4.0,
     "per_kib_ms":0.0}]}]}]})";
  const std::string text = render_route(target, Paint(false));
  for (const char* part :
       {"chat, streamed", "2.5 s", "1.2 s", "310 ms", "57", "embedding", "4.2 ms"}) {
    EXPECT_TRUE(text.contains(part)) << part << "\n" << text;
  }
  EXPECT_FALSE(text.contains('\a'));
  EXPECT_FALSE(render_route(kChat, Paint(false)).contains("KIB"));
}

TEST(RenderGateway, NoControlCharacterPasses) {
  std::string all =
      render_endpoints(kEndpoints, Paint(false)) +
      render_endpoint(R"({"name":"\u001b[2J","models":[{"model":"\u0007"}]})", Paint(false)) +
      render_routes(kRoutes, Paint(false)) + render_route(kChat, Paint(false)) +
      render_explanation(explanation(kChosen), Paint(false));
  for (char c : all) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

TEST(RenderGateway, ShapesThatNobodyPromisedAreSurvived) {
  Paint plain(false);
  for (std::string_view body : {"", "null", "[]", "{}", R"({"endpoints":5,"routes":{}})"}) {
    EXPECT_EQ(render_endpoints(body, plain), "") << body;
    EXPECT_EQ(render_routes(body, plain), "") << body;
    EXPECT_NE(render_endpoint(body, plain), "");
    EXPECT_NE(render_route(body, plain), "");
    EXPECT_NE(render_explanation(body, plain), "");
  }
  EXPECT_NE(render_endpoints(R"({"endpoints":[null,{"models":[7,{"breaker":1}]}]})", plain), "");
  EXPECT_NE(render_routes(R"({"routes":[1,{"groups":[2,{"targets":[3]}],"queue":4}]})", plain), "");
  EXPECT_NE(
      render_explanation(R"({"would_choose":[],"groups":[{"targets":[null]}],"text":1})", plain),
      "");
}

TEST(GatewayCommands, TablesOrTheServersJson) {
  Stage stage;
  stage.server.on("GET /admin/v1/endpoints", {.body = kEndpoints});
  stage.server.on("GET /admin/v1/routes", {.body = kRoutes});
  stage.server.on("GET /admin/v1/endpoints/gpu1", {.body = kGpu1});
  stage.server.on("GET /admin/v1/routes/chat", {.body = kChat});
  stage.server.on("GET /admin/v1/explain/gpt-4o", {.body = explanation(kChosen)});
  struct Case {
    std::vector<std::string> words;
    std::string rendered, body;
  };
  Paint plain(false);
  const std::vector<Case> cases = {
      {{"endpoints"}, render_endpoints(kEndpoints, plain), kEndpoints},
      {{"routes"}, render_routes(kRoutes, plain), kRoutes},
      {{"endpoints", "show", "gpu1"}, render_endpoint(kGpu1, plain), kGpu1},
      {{"routes", "show", "chat"}, render_route(kChat, plain), kChat},
      {{"routes", "explain", "gpt-4o"},
       render_explanation(explanation(kChosen), plain),
       explanation(kChosen)}};
  for (const Case& each : cases) {
    stage.console.out_text.clear();
    EXPECT_EQ(stage.run(each.words), 0) << each.words.back();
    EXPECT_EQ(stage.console.out_text, each.rendered);
    auto words = each.words;
    words.emplace_back("--json");
    stage.console.out_text.clear();
    EXPECT_EQ(stage.run(words), 0);
    EXPECT_EQ(stage.console.out_text, each.body + "\n");
  }
}

TEST(GatewayCommands, EmptyListsSaySo) {
  Stage stage;
  stage.server.on("GET /admin/v1/endpoints", {.body = R"({"endpoints":[]})"});
  stage.server.on("GET /admin/v1/routes", {.body = R"({"routes":[]})"});
  EXPECT_EQ(stage.run({"endpoints"}), 0);
  EXPECT_EQ(stage.run({"routes"}), 0);
  EXPECT_NE(stage.console.out_text.find("There is no endpoint"), std::string::npos);
  EXPECT_NE(stage.console.out_text.find("There is no route"), std::string::npos);
}

TEST(GatewayCommands, NamesAreEncoded) {
  Stage stage;
  stage.server.on("GET /admin/v1/routes/openai%2F%2A", {.body = kChat});
  stage.server.on("GET /admin/v1/explain/openai%2Fgpt-9", {.body = explanation(kChosen)});
  stage.server.on("DELETE /admin/v1/routes/..%2Fx%3F", {.status = 204});
  stage.server.on("GET /admin/v1/endpoints/%2E%2E", {.body = kGpu1});
  EXPECT_EQ(stage.run({"routes", "show", "openai/*"}), 0);
  EXPECT_EQ(stage.run({"routes", "explain", "openai/gpt-9"}), 0);
  EXPECT_EQ(stage.run({"routes", "remove", "../x?"}), 0);
  EXPECT_EQ(stage.run({"endpoints", "show", ".."}), 0);
}

TEST(GatewayCommands, AddSendsTheDocumentAsItIs) {
  const std::string yaml = "# mine\nname: openai/*\ntargets: [{endpoint: a, model: \"*\"}]\n";
  const std::string json = "{\n\t\"url\": \"http://h\", \"name\": \"gpu3\"}";
  Stage stage;
  stage.files.files["/r.yaml"] = yaml;
  stage.console.input = json;
  stage.server.on("PUT /admin/v1/routes/openai%2F%2A", {.body = R"({"version":4})"});
  stage.server.on("PUT /admin/v1/endpoints/gpu3", {.status = 201, .body = R"({"version":1})"});
  EXPECT_EQ(stage.run({"routes", "add", "/r.yaml"}), 0) << stage.console.err_text;
  EXPECT_EQ(stage.run({"endpoints", "add", "-"}), 0) << stage.console.err_text;
  EXPECT_EQ(stage.console.out_text,
            "route openai/* is in place, version 4\nendpoint gpu3 is in place, version 1\n");
  ASSERT_EQ(stage.server.seen.size(), 2u);
  EXPECT_EQ(stage.server.seen[0].body, yaml);
  EXPECT_EQ(stage.server.seen[0].content_type, "application/yaml");
  EXPECT_TRUE(stage.server.seen[0].only_new);
  EXPECT_EQ(stage.server.seen[1].body, json);
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"routes", "add", "/r.yaml", "--replace", "--json"}), 0);
  EXPECT_FALSE(stage.server.seen[2].only_new);
  EXPECT_EQ(stage.console.out_text, "{\"version\":4}\n");
}

TEST(GatewayCommands, AddExplainsWhatIsWrong) {
  Stage stage;
  EXPECT_EQ(stage.run({"routes", "add", "/missing.yaml"}), 1);
  stage.files.files["/none.yaml"] = "targets: []\n";
  stage.files.files["/list.yaml"] = "name: [a]\n";
  stage.files.files["/broken.yaml"] = "name: x\n  y: : z\n";
  stage.files.files["/text.yaml"] = "just words";
  stage.files.files["/empty.yaml"] = "";
  for (const char* file : {"/none.yaml", "/list.yaml", "/text.yaml", "/empty.yaml"}) {
    stage.console.err_text.clear();
    EXPECT_EQ(stage.run({"routes", "add", file}), 1);
    EXPECT_NE(stage.console.err_text.find("gives no \"name\" of the route"), std::string::npos)
        << stage.console.err_text;
  }
  stage.console.err_text.clear();
  EXPECT_EQ(stage.run({"routes", "add", "/broken.yaml"}), 1);
  EXPECT_NE(stage.console.err_text.find("/broken.yaml:2"), std::string::npos)
      << stage.console.err_text;
  stage.console.input_fails = true;
  EXPECT_EQ(stage.run({"endpoints", "add", "-"}), 1);
  EXPECT_TRUE(stage.server.seen.empty());
}

TEST(GatewayCommands, AServersRefusalNamesTheFile) {
  Stage stage;
  stage.files.files["/r.yaml"] = "name: r\n";
  stage.server.on(
      "PUT /admin/v1/routes/r",
      {.status = 422, .body = R"({"detail":"request:1: a\nrequest:3: b of myrequest:9"})"});
  EXPECT_EQ(stage.run({"routes", "add", "/r.yaml"}), 1);
  EXPECT_EQ(stage.console.err_text, "error: /r.yaml:1: a /r.yaml:3: b of myrequest:9\n");
}

TEST(GatewayCommands, WhatIsThereIsReplacedOnlyWhenAsked) {
  Stage stage;
  stage.files.files["/r.yaml"] = "name: r\n";
  stage.server.on(
      "PUT /admin/v1/routes/r",
      {.status = 409, .body = R"({"detail":"the route 'r' is there already","param":"version",
                               "hint":"somebody else changed it"})"});
  EXPECT_EQ(stage.run({"routes", "add", "/r.yaml"}), 1);
  EXPECT_EQ(stage.console.err_text,
            "error: the route 'r' is there already\nhint: --replace puts yours in its place\n");
  stage.console.err_text.clear();
  stage.server.replies.clear();
  stage.server.on("PUT /admin/v1/routes/r",
                  {.status = 409, .body = R"({"detail":"it stands in the file","hint":"there"})"});
  EXPECT_EQ(stage.run({"routes", "add", "/r.yaml"}), 1);
  EXPECT_EQ(stage.console.err_text, "error: it stands in the file\nhint: there\n");
}

TEST(GatewayCommands, Remove) {
  Stage stage;
  stage.server.on("DELETE /admin/v1/endpoints/gpu1", {.status = 204});
  EXPECT_EQ(stage.run({"endpoints", "remove", "gpu1"}), 0);
  EXPECT_EQ(stage.run({"endpoints", "remove", "gpu1", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text,
            "endpoint gpu1 is removed\n{\"name\":\"gpu1\",\"removed\":true}\n");
  EXPECT_EQ(stage.run({"routes", "remove", "nobody"}), 4);
}

TEST(GatewayCommands, BreakersByHand) {
  Stage stage;
  stage.server.on("POST /admin/v1/endpoints/gpu1/breaker", {.body = kGpu1});
  EXPECT_EQ(stage.run({"endpoints", "open", "gpu1"}), 0);
  EXPECT_EQ(stage.server.seen[0].body, R"({"action":"open"})");
  EXPECT_EQ(stage.console.out_text,
            "gpu1 llama-8b: the breaker is closed\ngpu1 big: the breaker is open\n"
            "gpu1 cold: the breaker is closed\ngpu1 trial: the breaker is half_open\n");
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"endpoints", "close", "gpu1", "--model", "big"}), 0);
  EXPECT_EQ(stage.server.seen[1].body, R"({"action":"close","model":"big"})");
  EXPECT_EQ(stage.console.out_text, "gpu1 big: the breaker is open\n");
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"endpoints", "close", "gpu1", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, kGpu1 + "\n");
  EXPECT_EQ(stage.run({"endpoints", "close", "nobody"}), 4);
}

TEST(GatewayCommands, WrongUse) {
  Stage stage;
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"endpoints", "shwo", "x"}, "did you mean \"show\"?"},
      {{"endpoints", "show"}, "name is required"},
      {{"routes", "add"}, "file is required"},
      {{"routes", "open", "x"}, "has no command \"open\""},
      {{"endpoints", "open", "x", "--modl", "y"}, "did you mean \"--model\"?"}};
  for (const auto& [words, wanted] : cases) {
    stage.console.err_text.clear();
    EXPECT_EQ(stage.run(words), 2);
    EXPECT_NE(stage.console.err_text.find(wanted), std::string::npos) << stage.console.err_text;
  }
  EXPECT_TRUE(stage.server.seen.empty());
}

TEST(CompleteGateway, NamesOfEachKind) {
  Stage stage;
  stage.server.on(
      "GET /admin/v1/endpoints",
      {.body = R"x({"endpoints":[{"name":"gpu1"},{"name":"$(x)"},{"name":"a b"},{}]})x"});
  stage.server.on("GET /admin/v1/routes",
                  {.body = R"({"routes":[{"name":"openai/*","aliases":["x/*",5]},
                               {"name":"chat","aliases":["gpt-4o","`x`"]}]})"});
  auto printed = [&](const std::string& kind) {
    stage.console.out_text.clear();
    EXPECT_EQ(stage.run({"__complete", kind}), 0);
    return stage.console.out_text;
  };
  EXPECT_EQ(printed("endpoints"), "gpu1\n");
  EXPECT_EQ(printed("routes"), "chat\nopenai/*\n");
  EXPECT_EQ(printed("names"), "chat\ngpt-4o\n");
  EXPECT_EQ(printed("files"), "");
  stage.server.replies.clear();
  for (const char* kind : {"endpoints", "routes", "names"}) EXPECT_EQ(printed(kind), "");
  EXPECT_EQ(stage.console.err_text, "");
}

}  // namespace
}  // namespace corral::cli::gateway_command_test
