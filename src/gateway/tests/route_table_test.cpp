#include "gateway/route_table.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "config/config.hpp"

namespace corral::gateway::route_table_test {
namespace {

using config::EndpointSettings;
using config::RouteSettings;

struct World {
  std::vector<EndpointSettings> endpoints;
  std::vector<RouteSettings> routes;
  std::vector<LocalModel> local;
  config::GatewaySettings gateway;
  std::map<std::string, config::ModelSettings> models;

  explicit World(const std::string& yaml) {
    auto loaded = config::load({.text = yaml});
    EXPECT_TRUE(loaded) << loaded.error().message;
    if (!loaded) return;
    endpoints = loaded->settings.endpoints;
    routes = loaded->settings.routes;
    gateway = loaded->settings.gateway;
  }
  std::shared_ptr<const RouteTable> table() const {
    return RouteTable::make({endpoints, routes, local, gateway, models});
  }
};

// "origin/number: endpoint=model*weight ..." a group, groups separated by " | ".
std::string shape(const RouteMatch& match) {
  if (!match) return "none";
  std::string text;
  for (const auto& group : match.route->groups) {
    if (!text.empty()) text += " | ";
    text += fmt::format("{}/{}:", group.origin->settings.name, group.number);
    for (const auto& target : group.targets) {
      text += fmt::format(" {}={}*{}", target.endpoint, target.backend_model(match.matched),
                          target.weight);
    }
  }
  return text;
}

std::string name_of(const RouteMatch& match) {
  return match ? match.route->settings.name : std::string("none");
}

constexpr const char* kEndpoints = R"(
endpoints:
  - {name: e1, binding: llamacpp, url: 'http://h1', models: [big, "small=tiny-q4"], weight: 3}
  - {name: e2, binding: openai, url: 'http://h2', models: [big, "gpt-4o=gpt-4o-2024"]}
)";

TEST(RouteTable, ModelsWithoutRoutesLeadToAllThatServeThem) {
  World world(kEndpoints);
  world.local = {{"corral-tiny", {"tiny"}}, {"big", {}}};
  auto table = world.table();
  EXPECT_EQ(shape(table->find("small")), "small/0: e1=tiny-q4*3");
  EXPECT_EQ(shape(table->find("corral-tiny")), "corral-tiny/0: local=corral-tiny*1");
  EXPECT_EQ(name_of(table->find("TINY:latest")), "corral-tiny");
  // Our own engines come first.
  EXPECT_EQ(shape(table->find("big")), "big/0: local=big*1 | big/1: e1=big*3 e2=big*1");
  world.local.clear();
  table = world.table();
  EXPECT_EQ(shape(table->find("big")), "big/0: e1=big*3 e2=big*1");
  auto match = table->find("big");
  EXPECT_TRUE(match.route->implicit);
  EXPECT_EQ(match.route->settings.balance, config::Balance::peak_ewma);
  EXPECT_FALSE(table->find("other"));
  EXPECT_FALSE(table->find(""));
  EXPECT_FALSE(RouteTable::make({})->find("big"));
}

TEST(RouteTable, AliasesOfModelSettingsHoldWhoeverServesTheModel) {
  World world(kEndpoints);
  world.local = {{"corral-tiny", {"tiny"}}};
  world.models["small"].aliases = {"mini", "", "wild/*", "big"};
  world.models["big"].aliases = {"large"};
  world.models["corral-tiny"].aliases = {"tiny"};  // as the model itself says already
  world.models["nobody"].aliases = {"ghost"};
  auto table = world.table();
  EXPECT_EQ(shape(table->find("MINI:latest")), "small/0: e1=tiny-q4*3");
  EXPECT_EQ(shape(table->find("large")), "big/0: e1=big*3 e2=big*1");
  EXPECT_EQ(table->find("small").route->settings.aliases, std::vector<std::string>{"mini"});
  EXPECT_EQ(name_of(table->find("big")), "big");  // a name goes before an alias
  EXPECT_EQ(table->find("corral-tiny").route->settings.aliases, std::vector<std::string>{"tiny"});
  EXPECT_FALSE(table->find("ghost"));
  EXPECT_FALSE(table->find("wild/one"));
}

TEST(RouteTable, NamesThatDifferInCaseAreToldApartWhenSpelledRight) {
  World world("{}");
  world.local = {{"Llama", {}}, {"llama", {}}, {"other", {"LLAMA", "mine"}}};
  auto table = world.table();
  EXPECT_EQ(name_of(table->find("llama")), "llama");
  EXPECT_EQ(name_of(table->find("Llama")), "Llama");
  EXPECT_EQ(name_of(table->find("LLAMA")), "Llama");  // an alias takes no model's name
  EXPECT_EQ(name_of(table->find("Mine")), "other");
}

TEST(RouteTable, RoutesHideModels) {
  World world(std::string(kEndpoints) + R"(
routes:
  - {name: BIG, targets: [{endpoint: e2, model: big}]}
  - {name: chat, aliases: [tiny], targets: [{endpoint: local, model: corral-tiny}]}
)");
  world.local = {{"corral-tiny", {"tiny", "smallest"}}, {"chat", {"hidden"}}};
  auto table = world.table();
  EXPECT_EQ(shape(table->find("big")), "BIG/0: e2=big*1");
  EXPECT_EQ(name_of(table->find("tiny")), "chat");
  EXPECT_EQ(name_of(table->find("smallest")), "corral-tiny");
  EXPECT_FALSE(table->find("hidden"));
  EXPECT_FALSE(table->find("chat").route->implicit);
}

TEST(RouteTable, FindsByAliasCaseLatestAndTheLongestWildcard) {
  World world(std::string(kEndpoints) + R"(
routes:
  - {name: chat, aliases: [Talk], targets: [{endpoint: e1, model: big}]}
  - {name: 'x:latest', targets: [{endpoint: e1, model: small}]}
  - {name: '*', targets: [{endpoint: e2, model: '*'}]}
  - {name: 'openai/*', aliases: ['oa/*'], targets: [{endpoint: e2, model: '*'}]}
  - {name: 'openai/gpt-*', targets: [{endpoint: e2}]}
)");
  auto table = world.table();
  EXPECT_EQ(name_of(table->find("CHAT")), "chat");
  EXPECT_EQ(name_of(table->find("talk")), "chat");
  EXPECT_EQ(name_of(table->find("Chat:Latest")), "chat");
  EXPECT_EQ(name_of(table->find("x:latest")), "x:latest");
  EXPECT_EQ(name_of(table->find("big")), "big");  // a model before a wildcard
  auto match = table->find("OpenAI/gpt-4o");
  EXPECT_EQ(match.matched, "4o");
  // The name is that of the route when the target names none.
  EXPECT_EQ(shape(match), "openai/gpt-*/0: e2=openai/gpt-4o*1");
  EXPECT_EQ(shape(table->find("openai/o3")), "openai/*/0: e2=o3*1");
  EXPECT_EQ(shape(table->find("oa/o3:latest")), "openai/*/0: e2=o3:latest*1");
  // The endpoint's own rewriting holds for what the '*' stood for, too.
  EXPECT_EQ(shape(table->find("oa/gpt-4o")), "openai/*/0: e2=gpt-4o-2024*1");
  EXPECT_EQ(name_of(table->find("openai/")), "*");
  EXPECT_EQ(table->find("anything").matched, "anything");
}

TEST(RouteTable, GroupsComeInOrderWithTheirWeights) {
  World world(std::string(kEndpoints) + R"(
routes:
  - name: chat
    targets:
      - {endpoint: local, model: corral-tiny, group: 9}
      - {endpoint: e1, model: small, weight: 2}
      - {endpoint: e2, group: 4}
      - {endpoint: e1, model: unlisted}
)");
  EXPECT_EQ(shape(world.table()->find("chat")),
            "chat/0: e1=tiny-q4*2 e1=unlisted*3 | chat/4: e2=chat*1 | chat/9: local=corral-tiny*1");
}

TEST(RouteTable, FallbacksFollowDepthFirstEachOnce) {
  World world(std::string(kEndpoints) + R"(
routes:
  - {name: a, targets: [{endpoint: e1}], fallbacks: [b, c, gone]}
  - {name: b, targets: [{endpoint: e2}], fallbacks: [d]}
  - {name: c, targets: [{endpoint: local}], fallbacks: [d, big]}
  - {name: d, targets: [{endpoint: e2, group: 1}, {endpoint: e1}]}
)");
  auto table = world.table();
  EXPECT_EQ(table->find("a").route->notes,
            std::vector<std::string>{"the fallback 'gone' is no route and no model now"});
  EXPECT_EQ(shape(table->find("a")),
            "a/0: e1=a*3 | b/0: e2=b*1 | d/0: e1=d*3 | d/1: e2=d*1 | c/0: local=c*1 | "
            "big/0: e1=big*3 e2=big*1");
  EXPECT_EQ(shape(table->find("d")), "d/0: e1=d*3 | d/1: e2=d*1");
}

TEST(RouteTable, WildcardsPassOnWhatTheyMatched) {
  World world(std::string(kEndpoints) + R"(
routes:
  - {name: 'openai/*', targets: [{endpoint: e1, model: '*'}], fallbacks: ['mirror/*']}
  - {name: 'mirror/*', targets: [{endpoint: e2, model: 'm-*'}]}
  - {name: chat, targets: [{endpoint: local}], fallbacks: ['openai/gpt-4o']}
)");
  auto table = world.table();
  EXPECT_EQ(shape(table->find("openai/o3")), "openai/*/0: e1=o3*3 | mirror/*/0: e2=m-o3*1");
  EXPECT_EQ(shape(table->find("chat")),
            "chat/0: local=chat*1 | openai/*/0: e1=gpt-4o*3 | mirror/*/0: e2=m-gpt-4o*1");
  EXPECT_EQ(shape(table->find("mirror/x")), "mirror/*/0: e2=m-x*1");
}

TEST(RouteTable, SurvivesWhatValidationRefuses) {
  World world(kEndpoints);
  RouteSettings a{.name = "a", .targets = {{.endpoint = "gone"}}, .fallbacks = {"b", "none/*"}};
  RouteSettings b{.name = "b", .targets = {{.endpoint = "e1"}}, .fallbacks = {"a", "b"}};
  world.routes = {a, b, a};
  auto table = world.table();
  EXPECT_EQ(shape(table->find("a")), "b/0: e1=b*3");
  EXPECT_EQ(table->find("a").route->notes.size(), 2u);
  EXPECT_EQ(shape(table->find("b")), "b/0: e1=b*3");
}

TEST(RouteTable, CutsEndlessChains) {
  World world(kEndpoints);
  for (int i = 0; i < 300; ++i) {
    world.routes.push_back({.name = fmt::format("r{}", i),
                            .targets = {{.endpoint = "e1"}},
                            .fallbacks = {fmt::format("r{}", i + 1)}});
  }
  auto table = world.table();
  auto match = table->find("r0");
  EXPECT_EQ(match.route->groups.size(), 128u);
  EXPECT_EQ(match.route->notes, std::vector<std::string>{"only the first 128 groups are tried"});
  EXPECT_EQ(table->find("r250").route->groups.size(), 50u);
}

TEST(RouteTable, ResolvesLimitsAndParameters) {
  World world(R"(
gateway: {connect_timeout: 3s, queue_limit: 7, queue_timeout: 9s, total_timeout: 5m}
routes:
  - name: own
    targets: [{endpoint: local}]
    connect_timeout: 1s
    queue_limit: 2
    queue_timeout: 0
    parameters: {temperature: 0.5, stop: "a\"b", max_tokens: 7, greedy: true, top_p: 1.0}
  - {name: inherits, targets: [{endpoint: local}]}
)");
  auto table = world.table();
  const auto& own = *table->find("own").route;
  EXPECT_EQ(own.settings.connect_timeout.count(), 1000);
  EXPECT_EQ(own.settings.queue_limit, 2u);
  EXPECT_EQ(own.settings.queue_timeout.count(), 0);
  EXPECT_EQ(own.settings.total_timeout.count(), 300'000);
  EXPECT_EQ(own.settings.first_token_timeout, world.gateway.first_token_timeout);
  std::string text;
  for (const auto& each : own.parameters) text += each.name + "=" + each.json + ";";
  EXPECT_EQ(text, R"(greedy=true;max_tokens=7;stop="a\"b";temperature=0.5;top_p=1.0;)");
  const auto& inherits = *table->find("inherits").route;
  EXPECT_EQ(inherits.settings.connect_timeout.count(), 3000);
  EXPECT_EQ(inherits.settings.queue_limit, 7u);
  EXPECT_EQ(inherits.settings.queue_timeout.count(), 9000);
  EXPECT_EQ(inherits.settings.between_tokens_timeout, world.gateway.between_tokens_timeout);
}

TEST(RouteTable, ExplainsWhereRequestsGo) {
  World world(std::string(kEndpoints) + R"(
routes:
  - {name: chat, aliases: [gpt], targets: [{endpoint: e1, model: small}], fallbacks: [big, gone],
     hedge: true, parameters: {temperature: 0}}
  - {name: 'openai/*', targets: [{endpoint: e2, model: '*'}]}
)");
  auto table = world.table();
  EXPECT_EQ(*table->explain("GPT"),
            "GPT is an alias of the route chat\n"
            "balance peak_ewma, 3 tries, hedge on, resume off, cache off\n"
            "parameter temperature = 0\n"
            "group 0\n"
            "  e1  tiny-q4  weight 3\n"
            "fallback big, group 0\n"
            "  e1  big  weight 3\n"
            "  e2  big  weight 1\n"
            "note: the fallback 'gone' is no route and no model now\n");
  EXPECT_TRUE(table->explain("chat")->starts_with("chat is a route\n"));
  EXPECT_TRUE(table->explain("Chat")->starts_with("Chat stands for the route chat\n"));
  EXPECT_TRUE(table->explain("big")->starts_with("big is a model\n"));
  EXPECT_TRUE(table->explain("openai/x\n")
                  ->starts_with("openai/x? is met by the route openai/*, with 'x?' for the '*'\n"));
  auto unknown = table->explain("chatt");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_EQ(unknown.error().hint_text, "did you mean chat?");
  EXPECT_EQ(unknown.error().param, "model");
}

}  // namespace
}  // namespace corral::gateway::route_table_test
