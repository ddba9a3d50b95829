// Endpoints and routes: read, checked, written and compared.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <fstream>
#include <sstream>

#include "base/json.hpp"
#include "base/tests/support/source_dir.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "config/name_index.hpp"
#include "config/properties.hpp"

namespace corral::config::routes_test {
namespace {

constexpr const char* kFull = R"(
endpoints:
  - {name: e, binding: openai, url: 'http://h', api_key: sk-top-secret, weight: 0, capacity: 3}
routes:
  - name: chat
    aliases: [gpt]
    targets:
      - {endpoint: e, model: m, weight: 2, group: 3}
      - {endpoint: local}
    fallbacks: [other]
    balance: sticky
    sticky_by: session
    balance_factor: 2
    parameters: {temperature: 0.25, max_tokens: 5, greedy: false, stop: "1", big: 1e20, one: 1.0}
    tries: 5
    retry_backoff_min: 1ms
    retry_backoff_max: 2ms
    background_backoff_min: 3ms
    background_backoff_max: 4ms
    retry_budget: 0
    hedge: true
    hedge_budget: 1
    resume: true
    connect_timeout: 5ms
    first_token_timeout: 6ms
    between_tokens_timeout: 7ms
    total_timeout: 8ms
    queue_limit: 0
    queue_timeout: 0
    cache: opt_in
    cache_ttl: 9s
)";

Settings good(const std::string& text) {
  auto loaded = load({.text = text});
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded ? loaded->settings : Settings{};
}

RouteSettings full_route() { return good(kFull).routes.at(0); }

TEST(Routes, AreReadWithAllTheyHold) {
  RouteSettings route = full_route();
  EXPECT_EQ(route.targets[0], (TargetSettings{"e", "m", 2u, 3}));
  EXPECT_EQ(route.targets[1], (TargetSettings{"local", "", std::nullopt, 0}));
  EXPECT_EQ(route.balance, Balance::sticky);
  EXPECT_EQ(route.sticky_by, StickyBy::session);
  EXPECT_EQ(route.balance_factor, 2.0);
  EXPECT_EQ(route.parameters, (std::map<std::string, Scalar>{{"temperature", 0.25},
                                                             {"max_tokens", std::int64_t(5)},
                                                             {"greedy", false},
                                                             {"stop", std::string("1")},
                                                             {"big", 1e20},
                                                             {"one", 1.0}}));
  EXPECT_EQ(route.retry_budget, 0.0);
  EXPECT_TRUE(route.hedge && route.resume);
  EXPECT_EQ(route.total_timeout.count(), 8);
  EXPECT_EQ(route.queue_limit, 0u);
  EXPECT_EQ(route.cache, CachePolicy::opt_in);
  RouteSettings plain = good("routes: [{name: a, fallbacks: [b]}]").routes.at(0);
  EXPECT_EQ(plain.queue_limit, std::nullopt);
  EXPECT_EQ(plain.connect_timeout.count(), -1);
}

TEST(Routes, ParametersKeepTheirKinds) {
  for (auto [text, expected] :
       std::vector<std::pair<std::string, Scalar>>{{"7", std::int64_t(7)},
                                                   {"-7", std::int64_t(-7)},
                                                   {".5", 0.5},
                                                   {"-2.5e3", -2500.0},
                                                   {"99999999999999999999", 1e20},
                                                   {"true", true},
                                                   {"'true'", std::string("true")},
                                                   {"\"7\"", std::string("7")},
                                                   {"yes", std::string("yes")},
                                                   {"inf", std::string("inf")},
                                                   {"-inf", std::string("-inf")},
                                                   {"1e999", std::string("1e999")},
                                                   {"1.2.3", std::string("1.2.3")},
                                                   {"0x10", std::string("0x10")},
                                                   {"''", std::string()}}) {
    auto route = parse_route("{name: a, fallbacks: [b], parameters: {p: " + text + "}}", "body");
    ASSERT_TRUE(route) << text << route.error().message;
    EXPECT_EQ(route->parameters.at("p"), expected) << text;
  }
  EXPECT_EQ(to_json(Scalar(1.0)), "1.0");
  EXPECT_EQ(to_json(Scalar(0.2)), "0.2");
  EXPECT_EQ(to_json(Scalar(std::string("a\"b"))), R"("a\"b")");
}

TEST(Routes, AreExportedAndReadBackTheSame) {
  Settings settings = good(kFull);
  std::string text = export_yaml(settings);
  EXPECT_EQ(text.find("sk-top-secret"), std::string::npos);
  EXPECT_NE(text.find("\n    targets:\n      -\n        endpoint: \"e\"\n"), std::string::npos)
      << text;
  Settings again = good(text);
  EXPECT_EQ(again.routes, settings.routes) << text;
  again.endpoints[0].api_key = settings.endpoints[0].api_key;
  EXPECT_TRUE(diff(settings, again).empty());
}

TEST(Routes, DifferencesAreNamed) {
  Settings before = good(kFull);
  Settings after = before;
  after.routes[0].targets[0].weight = 1;
  after.routes[0].hedge = false;
  after.routes.push_back({.name = "new", .fallbacks = {"chat"}});
  after.endpoints[0].weight = 1;
  after.gateway.breaker.failures = 6;
  std::string text;
  for (const auto& change : diff(before, after)) text += change.path + "\n";
  EXPECT_EQ(text,
            "gateway.breaker.failures\nendpoints.e.weight\nroutes.chat.targets\n"
            "routes.chat.hedge\nroutes.new\n");
}

TEST(Routes, StandInTheSchemaTheDocsAndTheExample) {
  auto parsed = json::parse(schema());
  ASSERT_TRUE(parsed);
  auto routes = parsed->at("properties").at("routes");
  EXPECT_EQ(routes.at("type").as_string(), "array");
  auto route = routes.at("items");
  EXPECT_EQ(route.at("required").as_array().size(), 1u);
  EXPECT_FALSE(route.at("additionalProperties").as_bool());
  auto target = route.at("properties").at("targets").at("items");
  EXPECT_EQ(target.at("properties").as_object().size(), target_properties().size());
  EXPECT_EQ(target.at("properties").at("weight").at("default").as_string(), "default");
  EXPECT_EQ(route.at("properties").at("balance").at("enum").as_array().size(), 6u);
  auto breaker = parsed->at("properties").at("gateway").at("properties").at("breaker");
  EXPECT_EQ(breaker.at("properties").at("failures").at("default").as_int64(), 5);

  EXPECT_NE(docs().find("\n## routes.targets\n"), std::string::npos);
  EXPECT_NE(docs().find("| `gateway.health.strikes` |"), std::string::npos);
  std::string text = example();
  EXPECT_NE(text.find("\n# routes:\n#   -\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n#     targets:\n#       -\n"), std::string::npos) << text;
}

TEST(Routes, TheExampleOfTheDocsIsRight) {
  std::ifstream file(test::source_file("docs/examples/routes.yaml"));
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(good(text.str()).routes.size(), 2u);
}

TEST(Routes, CanOnlyStandInTheFile) {
  Sources sources;
  sources.overrides = {{"routes", "a"}, {"endpoints", "b"}, {"routes.a.hedge", "true"}};
  auto loaded = load(sources);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message,
            "command line: routes: sections can be given in the file only\n"
            "command line: endpoints: sections can be given in the file only\n"
            "command line: unknown key 'routes.a.hedge'");
}

TEST(Resources, AreReadFromJsonAndYaml) {
  auto json = parse_route(
      "{\n\t\"name\": \"a/*\",\n\t\"targets\": [{\"endpoint\": \"e\", \"weight\": 2}],\n"
      "\t\"parameters\": {\"stop\": \"\\ud83d\\ude00 \\u00e9\", \"n\": 1, \"s\": \"1\"}}",
      "body");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->targets[0].weight, 2u);
  EXPECT_EQ(std::get<std::string>(json->parameters.at("stop")), "😀 é");
  EXPECT_EQ(json->parameters.at("n"), Scalar(std::int64_t(1)));
  EXPECT_EQ(json->parameters.at("s"), Scalar(std::string("1")));
  auto yaml = parse_route("name: a\nfallbacks: [b]\n", "body");
  ASSERT_TRUE(yaml);
  EXPECT_EQ(yaml->fallbacks, std::vector<std::string>{"b"});
}

TEST(Resources, LongLinesOfJsonAreRead) {
  std::string text = R"({"name": "a", "targets": [)";
  for (int i = 0; i < 500; ++i) {
    text += fmt::format(R"({}{{"endpoint": "endpoint-{}", "model": "m", "weight": {}}})",
                        i == 0 ? "" : ",", i, i);
  }
  text += R"(], "hedge": true})";
  auto route = parse_route(text, "body");
  ASSERT_TRUE(route) << route.error().message;
  EXPECT_EQ(route->targets.size(), 500u);
  EXPECT_TRUE(route->hedge);
}

TEST(Resources, SayWhatIsWrong) {
  auto problem = [](std::string_view text) {
    auto route = parse_route(text, "body");
    return route ? std::string("none") : route.error().message;
  };
  EXPECT_EQ(problem(""), "body:1: a section with keys is expected");
  EXPECT_EQ(problem("[]"), "body:1: a section with keys is expected");
  EXPECT_EQ(problem("{\"name\": \"a\"}"),
            "body:1: targets: the route leads nowhere: it has no target and no fallback");
  EXPECT_EQ(problem("{\"name\": \"a\",\n\"targets\": [\n{\"endpoint\": \"e\", \"weight\": -1}]}"),
            "body:3: targets[0].weight: '-1' is not a whole number (0 to 1000)");
  EXPECT_EQ(problem("name: a\nhedje: true"), "body:2: unknown key 'hedje'; did you mean 'hedge'?");
  EXPECT_NE(problem("{\"name\": "), "none");
  EXPECT_NE(problem("{\"name\": \"a\", \"name\": \"b\"}").find("given twice"), std::string::npos);
  EXPECT_NE(problem(std::string(100, '{')), "none");
  auto rule = parse_route("{name: 'a*b', fallbacks: [c]}", "body");
  ASSERT_FALSE(rule);
  EXPECT_EQ(rule.error().param, "name");
  EXPECT_EQ(rule.error().code, ErrorCode::invalid_argument);
}

TEST(Resources, EndpointsKeepTheirSecrets) {
  auto before = parse_endpoint(
      "{name: e, binding: openai, url: 'http://h', api_key: sk-top-secret, models: [a, b=c]}", "b");
  ASSERT_TRUE(before) << before.error().message;
  std::string shown = to_json(*before);
  EXPECT_EQ(shown.find("sk-top-secret"), std::string::npos);
  EXPECT_NE(shown.find(R"("api_key": "***")"), std::string::npos) << shown;
  EXPECT_NE(shown.find(R"("capacity": 256)"), std::string::npos) << shown;
  auto again = parse_endpoint(shown, "b", &*before);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *before);
  auto lost = parse_endpoint(shown, "b");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().message, "b:1: api_key: is the mask of a secret, not a secret");
  EXPECT_EQ(lost.error().param, "api_key");

  std::string stored = to_stored_json(*before);
  EXPECT_NE(stored.find("sk-top-secret"), std::string::npos);
  EXPECT_EQ(stored.find("capacity"), std::string::npos) << stored;
  again = parse_endpoint(stored, "stored");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *before);
  before->api_key = {};
  EXPECT_EQ(to_json(*before).find("api_key"), std::string::npos);
}

TEST(Resources, RoutesReadBackTheSame) {
  RouteSettings route = full_route();
  for (const auto& text : {to_json(route), to_stored_json(route)}) {
    EXPECT_TRUE(json::parse(text)) << text;
    auto again = parse_route(text, "again");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, route) << text;
  }
  EXPECT_EQ(to_stored_json(RouteSettings{.name = "a"}), R"({"name": "a"})");
}

TEST(Resources, AreCheckedAgainstEachOther) {
  std::vector<EndpointSettings> endpoints{
      {.name = "office", .binding = "openai", .url = "http://h"}};
  std::vector<RouteSettings> routes{{.name = "a", .targets = {{.endpoint = "ofice"}}}};
  auto found = validate_routes(endpoints, routes);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "routes[0].targets[0].endpoint");
  EXPECT_EQ(found[0].message, "there is no endpoint 'ofice'; did you mean 'office'?");
  routes[0].targets[0].endpoint = "office";
  EXPECT_TRUE(validate_routes(endpoints, routes).empty());
  EXPECT_TRUE(validate_endpoints(endpoints).empty());
  endpoints.push_back(endpoints[0]);
  EXPECT_EQ(validate_endpoints(endpoints).size(), 1u);
}

TEST(Resources, LongCirclesAreFoundAndShortened) {
  std::vector<RouteSettings> routes;
  for (int i = 0; i < 3000; ++i) {
    routes.push_back(
        {.name = fmt::format("route{}", i), .fallbacks = {fmt::format("route{}", (i + 1) % 3000)}});
  }
  auto found = validate_routes({}, routes);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "routes[2999].fallbacks");
  EXPECT_TRUE(found[0].message.starts_with("fallbacks go in a circle: route0 -> route1 -> route2"))
      << found[0].message;
  EXPECT_TRUE(found[0].message.ends_with("-> ... -> route0")) << found[0].message;
}

TEST(NameIndex, PrefersTheSpelledThenTheLongestWildcard) {
  NameIndex names;
  EXPECT_TRUE(names.add("chat", 0));
  EXPECT_FALSE(names.add("Chat", 1));
  EXPECT_TRUE(names.add("openai/*", 2));
  EXPECT_TRUE(names.add("openai/gpt*", 3));
  EXPECT_TRUE(names.add("azure/x*", 4));
  EXPECT_FALSE(names.add("OPENAI/*", 5));
  EXPECT_EQ(names.owner("CHAT"), 0u);
  EXPECT_EQ(names.owner("Openai/*"), 2u);
  EXPECT_EQ(names.owner("openai/gpt"), std::nullopt);
  EXPECT_EQ(names.find("chat:LATEST")->id, 0u);
  EXPECT_EQ(names.find("openai/gpt-4")->id, 3u);
  EXPECT_EQ(names.find("openai/gpt-4")->matched, "-4");
  EXPECT_EQ(names.find("openai/gpt")->id, 2u);
  EXPECT_FALSE(names.find("openai/"));
  EXPECT_FALSE(names.find(":latest"));
  EXPECT_FALSE(names.find(""));
}

TEST(Priorities, AreReadWithoutCase) {
  EXPECT_EQ(parse_priority("HIGH"), Priority::high);
  EXPECT_EQ(parse_priority("normal"), Priority::normal);
  EXPECT_EQ(parse_priority("low"), Priority::low);
  EXPECT_EQ(parse_priority(""), std::nullopt);
  EXPECT_EQ(parse_priority("urgent"), std::nullopt);
  EXPECT_LT(Priority::normal, Priority::high);
  EXPECT_EQ(to_string(StickyBy::user), "user");
}

}  // namespace
}  // namespace corral::config::routes_test
