// Endpoints and routes over the admin API: seen, changed, explained.
#include <gtest/gtest.h>

#include "api/tests/api_fixture.hpp"

namespace corral::api::route_admin_test {
namespace {

namespace bj = boost::json;

constexpr std::string_view kRoute =
    R"({"name":"chat","aliases":["gpt-5"],"targets":[{"endpoint":"far","model":"backend-name"}]})";

class RouteAdminTest : public ApiTest {
 protected:
  RouteAdminTest() {
    config::RouteSettings route;
    route.name = "fixed";
    route.aliases = {"firm"};
    route.targets.push_back({.endpoint = "far", .model = "backend-name"});
    route.targets.push_back({.endpoint = "dead", .model = "other", .group = 1});
    world_.settings.routes.push_back(std::move(route));
  }
  std::string send(std::string_view method, std::string_view path, std::string_view body,
                   std::string_view header = "") {
    return request(method, path, body,
                   fmt::format("Host: localhost\r\nContent-Type: application/json\r\n{}", header));
  }
  std::string post(std::string_view path, std::string_view body) {
    return send("POST", path, body);
  }
  bj::object listed(std::string_view kind, std::string_view name) {
    for (const auto& each : parsed(get(fmt::format("/admin/v1/{}", kind))).at(kind).as_array()) {
      if (each.at("name").as_string() == name) return each.as_object();
    }
    return {};
  }
  std::string breaker_of(std::string_view endpoint) {
    auto all = listed("endpoints", endpoint);
    return std::string(all.at("models").at(0).at("breaker").at("state").as_string());
  }
};

void expect_problem(std::string_view answer, int status, std::string_view said) {
  EXPECT_EQ(status_of(answer), status) << answer;
  EXPECT_TRUE(answer.contains("application/problem+json")) << answer;
  auto problem = parsed(answer);
  EXPECT_EQ(problem.at("status"), status);
  EXPECT_TRUE(std::string_view(problem.at("detail").as_string()).contains(said)) << answer;
}

TEST_F(RouteAdminTest, ConfiguredAndImplicitOnesAreListed) {
  start();
  auto endpoints = parsed(get("/admin/v1/endpoints")).at("endpoints").as_array();
  ASSERT_EQ(endpoints.size(), 3u);
  EXPECT_EQ(endpoints[0].at("name"), "dead");
  auto far = listed("endpoints", "far");
  EXPECT_EQ(far.at("source"), "config");
  EXPECT_TRUE(far.at("version").is_null());
  EXPECT_EQ(far.at("binding"), "openai");
  EXPECT_EQ(far.at("health"), "healthy");
  EXPECT_EQ(far.at("in_flight"), 0);
  EXPECT_EQ(far.at("capacity"), 256);
  EXPECT_TRUE(far.at("error").is_null());
  EXPECT_EQ(far.at("models").at(0).at("model"), "backend-name");
  EXPECT_EQ(breaker_of("far"), "closed");

  auto fixed = listed("routes", "fixed");
  EXPECT_EQ(fixed.at("source"), "config");
  EXPECT_EQ(fixed.at("implicit"), false);
  EXPECT_EQ(fixed.at("groups").as_array().size(), 2u);
  EXPECT_EQ(fixed.at("aliases").at(0), "firm");
  EXPECT_EQ(fixed.at("queue").at("waiting"), 0);
  EXPECT_EQ(fixed.at("settings").at("name"), "fixed");
  auto tiny = listed("routes", "tiny");
  EXPECT_EQ(tiny.at("source"), "implicit");
  EXPECT_EQ(tiny.at("implicit"), true);
  EXPECT_EQ(tiny.at("groups").at(0).at("targets").at(0).at("endpoint"), "local");
  EXPECT_EQ(listed("routes", "remote").at("aliases").at(0), "gpt-4o");
}

TEST_F(RouteAdminTest, OneOfThem) {
  start();
  std::string answer = get("/admin/v1/endpoints/far");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_FALSE(answer.contains("etag"));  // it stands in the configuration
  EXPECT_EQ(parsed(answer).at("url").as_string(), backend_->url);
  EXPECT_EQ(parsed(get("/admin/v1/routes/fixed")).at("name"), "fixed");
  EXPECT_EQ(parsed(get("/admin/v1/routes/tiny")).at("source"), "implicit");
  answer = get("/admin/v1/endpoints/fra");
  expect_problem(answer, 404, "no endpoint 'fra'");
  EXPECT_EQ(parsed(answer).at("hint"), "did you mean far?");
  expect_problem(get("/admin/v1/routes/fixd"), 404, "no route 'fixd'");
  EXPECT_EQ(status_of(send("PATCH", "/admin/v1/routes/fixed", "{}")), 405);
}

TEST_F(RouteAdminTest, ARouteIsMadeUsedChangedAndRemoved) {
  backend_->play({200,
                  "text/event-stream",
                  {"data: {\"choices\":[{\"index\":0,\"delta\":"
                   "{\"content\":\"hi\"}}]}\n\n",
                   "data: [DONE]\n\n"}});
  start();
  EXPECT_EQ(status_of(stream("chat")), 404);
  std::string answer = post("/admin/v1/routes", kRoute);
  EXPECT_EQ(status_of(answer), 201) << answer;
  EXPECT_TRUE(answer.contains("etag: \"1\"")) << answer;
  EXPECT_EQ(parsed(answer).at("version"), 1);
  EXPECT_EQ(parsed(answer).at("source"), "store");
  world_.settle();
  for (auto name : {"chat", "gpt-5"}) {
    answer = stream(name);
    EXPECT_EQ(status_of(answer), 200) << answer;
    EXPECT_TRUE(answer.contains("x-corral-endpoint: far")) << answer;
  }
  EXPECT_TRUE(get("/v1/models").contains(R"("id":"gpt-5")"));
  EXPECT_TRUE(get("/admin/v1/routes/chat").contains("etag: \"1\""));

  // The same name again is a conflict, and changes nothing.
  expect_problem(post("/admin/v1/routes", kRoute), 409, "");
  std::string other = R"({"name":"chat","targets":[{"endpoint":"llama","model":"m2"}]})";
  answer = send("PUT", "/admin/v1/routes/chat", other, "If-Match: \"1\"\r\n");
  EXPECT_EQ(status_of(answer), 200) << answer;
  EXPECT_TRUE(answer.contains("etag: \"2\"")) << answer;
  world_.settle();
  EXPECT_EQ(status_of(stream("gpt-5")), 404);  // the alias went with the change
  EXPECT_TRUE(stream("chat").contains("x-corral-endpoint: llama"));

  EXPECT_EQ(status_of(send("DELETE", "/admin/v1/routes/chat", "", "If-Match: \"1\"\r\n")), 409);
  EXPECT_EQ(status_of(send("DELETE", "/admin/v1/routes/chat", "", "If-Match: W/\"2\"\r\n")), 204);
  world_.settle();
  EXPECT_EQ(status_of(stream("chat")), 404);
  expect_problem(send("DELETE", "/admin/v1/routes/chat", ""), 404, "no route 'chat'");
  EXPECT_TRUE(world_.log->has("changed kind=route name=chat version=2"));
  EXPECT_TRUE(world_.log->has("removed kind=route name=chat"));
}

TEST_F(RouteAdminTest, VersionsGuardAgainstLostChanges) {
  start();
  std::string path = "/admin/v1/routes/chat";
  EXPECT_EQ(status_of(send("PUT", path, kRoute, "If-Match: \"1\"\r\n")), 409);  // there is none yet
  EXPECT_EQ(status_of(send("PUT", path, kRoute, "If-None-Match: *\r\n")), 200);
  EXPECT_EQ(status_of(send("PUT", path, kRoute, "If-None-Match: *\r\n")), 409);
  EXPECT_EQ(status_of(send("PUT", path, kRoute, "If-Match: \"7\"\r\n")), 409);
  EXPECT_EQ(status_of(send("PUT", path, kRoute, "If-Match: 1\r\n")), 200);
  EXPECT_EQ(status_of(send("PUT", path, kRoute, "If-Match: *\r\n")), 200);
  EXPECT_TRUE(send("PUT", path, kRoute).contains("etag: \"4\""));
  for (auto bad : {"\"abc\"", "\"-1\"", "\"0\"", "\"\"", "\"1\", \"2\""}) {
    auto header = fmt::format("If-Match: {}\r\n", bad);
    expect_problem(send("PUT", path, kRoute, header), 400, "If-Match");
    expect_problem(send("DELETE", path, "", header), 400, "If-Match");
  }
  EXPECT_EQ(parsed(get(path)).at("version"), 4);
}

TEST_F(RouteAdminTest, WhatCannotWorkIsRefusedAndChangesNothing) {
  start();
  std::string path = "/admin/v1/routes/chat";
  const std::pair<std::string_view, std::string_view> wrong[] = {
      {R"({"name":"chat"})", "no target and no fallback"},
      {R"({"name":"chat","targets":[{"endpoint":"fra"}]})", "did you mean 'far'"},
      {R"({"name":"chat","targets":[{"endpoint":"far","weight":0}]})", "weight"},
      {R"({"name":"chat","targets":[{"endpoint":"far"}],"balance":"random"})", "balance"},
      {R"({"name":"chat","fallbacks":["chat"]})", "chat -> chat"},
      {R"({"name":"chat","targets":[{"endpoint":"far"}],"hegde":true})", "hedge"},
      {R"({"name":"other","targets":[{"endpoint":"far"}]})", "the body names 'other'"},
      {R"([])", ""},
      {R"({"name":)", ""},
      {"", ""}};
  for (auto [body, said] : wrong) expect_problem(send("PUT", path, body), 422, said);
  for (auto body : {"", "[]", "{}", "{oops", R"({"name":7})"}) {
    expect_problem(post("/admin/v1/routes", body), 422, "");
  }
  EXPECT_EQ(status_of(get(path)), 404);
  EXPECT_EQ(status_of(post("/admin/v1/routes", std::string((1 << 20) + 1, ' '))), 413);
}

TEST_F(RouteAdminTest, TheConfigurationIsNotChangedHere) {
  start();
  std::string body = R"({"name":"fixed","targets":[{"endpoint":"far"}]})";
  for (auto answer : {send("PUT", "/admin/v1/routes/fixed", body), post("/admin/v1/routes", body),
                      send("DELETE", "/admin/v1/routes/fixed", ""),
                      send("DELETE", "/admin/v1/endpoints/far", "")}) {
    expect_problem(answer, 409, "configuration file");
    EXPECT_TRUE(std::string_view(parsed(answer).at("hint").as_string()).contains("SIGHUP"));
  }
}

TEST_F(RouteAdminTest, EndpointsComeAndGoWithTheirSecretsSealed) {
  backend_->play({200, "application/json", {R"({"object":"list","data":[]})"}});
  start();
  auto body = fmt::format(
      R"({{"name":"new","binding":"openai","url":"{}","models":["fresh"],"api_key":"hush-hush"}})",
      backend_->url);
  std::string answer = post("/admin/v1/endpoints", body);
  EXPECT_EQ(status_of(answer), 201) << answer;
  EXPECT_FALSE(answer.contains("hush-hush"));
  EXPECT_EQ(parsed(answer).at("settings").at("api_key"), "***");
  world_.settle();
  EXPECT_FALSE(get("/admin/v1/endpoints").contains("hush-hush"));
  EXPECT_FALSE(get("/admin/v1/endpoints/new").contains("hush-hush"));
  auto stored = resources_->get("endpoint", "new");
  ASSERT_TRUE(stored);
  EXPECT_TRUE(stored->body.contains("sealed:v1:")) << stored->body;
  EXPECT_FALSE(stored->body.contains("hush-hush"));
  EXPECT_EQ(status_of(request("POST", "/v1/embeddings", R"({"model":"fresh","input":"x"})")), 200);

  // "***" keeps the key; the name in the body must be that of the address.
  auto again = fmt::format(
      R"({{"name":"new","binding":"openai","url":"{}","models":["renewed"],"api_key":"***"}})",
      backend_->url);
  answer = send("PUT", "/admin/v1/endpoints/new", again);
  EXPECT_EQ(status_of(answer), 200) << answer;
  world_.settle();
  EXPECT_EQ(status_of(request("POST", "/v1/embeddings", R"({"model":"fresh","input":"x"})")), 404);
  EXPECT_EQ(status_of(request("POST", "/v1/embeddings", R"({"model":"renewed","input":"x"})")),
            200);
  EXPECT_EQ(backend_->header("authorization"), "Bearer hush-hush");

  // What a route needs cannot be removed.
  EXPECT_EQ(status_of(post("/admin/v1/routes",
                           R"({"name":"on-new","targets":[{"endpoint":"new","model":"m"}]})")),
            201);
  expect_problem(send("DELETE", "/admin/v1/endpoints/new", ""), 422, "new");
  EXPECT_EQ(status_of(send("DELETE", "/admin/v1/routes/on-new", "")), 204);
  EXPECT_EQ(status_of(send("DELETE", "/admin/v1/endpoints/new", "")), 204);
  EXPECT_EQ(status_of(get("/admin/v1/endpoints/new")), 404);
  expect_problem(post("/admin/v1/endpoints",
                      R"({"name":"bad","binding":"openai","url":"gopher://x","api_key":"hush"})"),
                 422, "url");
}

TEST_F(RouteAdminTest, BreakersAreOpenedAndClosedByHand) {
  start();
  std::string path = "/admin/v1/endpoints/far/breaker";
  std::string answer = post(path, R"({"action":"open"})");
  EXPECT_EQ(status_of(answer), 200) << answer;
  EXPECT_EQ(parsed(answer).at("name"), "far");
  EXPECT_EQ(breaker_of("far"), "open");
  auto shown = parsed(answer).at("models").at(0).at("breaker");
  EXPECT_EQ(shown.at("forced"), true);
  EXPECT_EQ(shown.at("reason"), "forced");
  EXPECT_GE(shown.at("since_ms").to_number<std::int64_t>(), 0);
  auto target = listed("routes", "fixed").at("groups").at(0).at("targets").at(0);
  EXPECT_EQ(target.at("usable"), false);
  EXPECT_EQ(target.at("obstacle"), "circuit breaker open");
  answer = post(path, R"({"action":"close","model":"backend-name"})");
  EXPECT_EQ(status_of(answer), 200) << answer;
  EXPECT_EQ(breaker_of("far"), "closed");
  EXPECT_EQ(parsed(answer).at("models").at(0).at("breaker").at("reason"), "forced");
  expect_problem(post(path, R"({"action":"open","model":"none"})"), 404, "no model 'none'");
  expect_problem(post("/admin/v1/endpoints/none/breaker", R"({"action":"open"})"), 404, "'none'");
  for (auto body : {"", "{}", "[]", R"({"action":"wiggle"})", R"({"action":true})", "{oops"}) {
    expect_problem(post(path, body), 422, "action");
  }
  EXPECT_EQ(status_of(post(path, std::string((1 << 20) + 1, ' '))), 413);
}

TEST_F(RouteAdminTest, ExplainsWhereAModelLeads) {
  start();
  auto told = parsed(get("/admin/v1/explain/FIRM"));
  EXPECT_EQ(told.at("name"), "FIRM");
  EXPECT_EQ(told.at("route"), "fixed");
  EXPECT_TRUE(told.at("matched").is_null());
  EXPECT_TRUE(std::string_view(told.at("text").as_string()).contains("far"));
  EXPECT_EQ(told.at("groups").as_array().size(), 2u);
  EXPECT_EQ(told.at("groups").at(0).at("targets").at(0).at("usable"), true);
  EXPECT_EQ(told.at("would_choose").at("endpoint"), "far");
  EXPECT_EQ(told.at("would_choose").at("model"), "backend-name");
  EXPECT_FALSE(told.at("would_choose").at("explanation").as_string().empty());

  // The next group when the first is out, and nothing when both are.
  EXPECT_EQ(status_of(post("/admin/v1/endpoints/far/breaker", R"({"action":"open"})")), 200);
  EXPECT_EQ(parsed(get("/admin/v1/explain/fixed")).at("would_choose").at("endpoint"), "dead");
  EXPECT_EQ(status_of(post("/admin/v1/endpoints/dead/breaker", R"({"action":"open"})")), 200);
  EXPECT_TRUE(parsed(get("/admin/v1/explain/fixed")).at("would_choose").is_null());

  std::string wild = R"({"name":"open/*","targets":[{"endpoint":"llama","model":"x-*"}]})";
  EXPECT_EQ(status_of(post("/admin/v1/routes", wild)), 201);
  world_.settle();
  told = parsed(get("/admin/v1/explain/open/a/b"));
  EXPECT_EQ(told.at("matched"), "a/b");
  EXPECT_EQ(told.at("would_choose").at("model"), "x-a/b");
  EXPECT_EQ(parsed(get("/admin/v1/explain/tiny")).at("would_choose").at("endpoint"), "local");

  std::string none = get("/admin/v1/explain/fixd");
  expect_problem(none, 404, "'fixd'");
  EXPECT_TRUE(std::string_view(parsed(none).at("hint").as_string()).contains("fixed"));
}

TEST_F(RouteAdminTest, WhatIsStoredOutlivesTheProcess) {
  start();
  EXPECT_EQ(status_of(post("/admin/v1/routes", kRoute)), 201);
  gateway::RouteControl second(gateway::RouteControlParts{world_.loops.shards(),
                                                          world_.pool(),
                                                          telemetry::Logger(world_.log, "second"),
                                                          *dispatcher_,
                                                          *registry_,
                                                          *resources_,
                                                          *sealer_,
                                                          {}});
  auto& control = world_.loops.shards().control();
  ASSERT_TRUE(world_.loops.run(control, second.start(world_.shared_settings())));
  auto found =
      world_.loops.call(control, [&] { return second.find(gateway::ResourceKind::route, "chat"); });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->version, 1);
  EXPECT_FALSE(found->from_config);
  world_.loops.run(control, second.stop());
}

}  // namespace
}  // namespace corral::api::route_admin_test
