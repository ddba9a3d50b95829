// Routes joined with endpoints, and what stays from one table to the next.
#include "gateway/routing.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway::routing_test {
namespace {

class RoutingTest : public GatewayTest {
 protected:
  Routing::Match match(const std::string& name) {
    return loops_.call(control(), [&] { return dispatcher_.routing()->find(name); });
  }
};

TEST_F(RoutingTest, NothingIsFoundBeforeThereIsATable) {
  EXPECT_EQ(Routing().find("x").route, nullptr);
  EXPECT_TRUE(Routing().routes().empty());
  EXPECT_EQ(match("chat").route, nullptr);
}

TEST_F(RoutingTest, RoutesLeadToEndpointsAndWhatIsKnownAboutThem) {
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
routes:
  - name: 'any/*'
    targets: [{endpoint: e1, model: '*'}, {endpoint: e2, model: 'x-*', group: 1}]
    total_timeout: 7s
    queue_timeout: 3s
    queue_limit: 5
    connect_timeout: 1s
    parameters: {top_k: 3}
)",
            {{"tiny", {}}});
  const std::string name = "any/one";
  auto found = match(name);
  ASSERT_NE(found.route, nullptr);
  EXPECT_EQ(found.matched, "one");
  EXPECT_EQ(found.route->name(), "any/*");
  EXPECT_EQ(found.route->settings().queue_limit, 5u);
  EXPECT_EQ(found.route->limits.total, 7s);
  EXPECT_EQ(found.route->limits.queue, 3s);
  EXPECT_EQ(found.route->limits.queue_length, 5u);
  EXPECT_EQ(found.route->limits.timeouts.connect, 1s);
  ASSERT_EQ(found.route->groups.size(), 2u);
  const auto& group = *found.route->groups[0];
  EXPECT_EQ(group.targets()[0].endpoint, endpoint("e1"));
  // Names that clients invent share one state.
  EXPECT_EQ(group.targets()[0].state, target("e1", "*"));
  EXPECT_EQ(match("any/two").route->groups[0]->targets()[0].state, target("e1", "*"));
  ASSERT_TRUE(group.defaults());
  EXPECT_EQ(group.defaults()->at(0).name, "top_k");
  EXPECT_EQ(group.defaults()->at(0).json, "3");
  EXPECT_EQ(group.policy(), Policy::peak_ewma);
  EXPECT_EQ(found.route->state->current(), found.route);

  auto local = match("tiny");
  ASSERT_NE(local.route, nullptr);
  EXPECT_TRUE(local.route->groups[0]->targets()[0].local());
  EXPECT_EQ(local.route->groups[0]->targets()[0].state, target("local", "tiny"));
  EXPECT_EQ(local.route->groups[0]->defaults(), nullptr);
  EXPECT_EQ(loops_.call(control(), [&] { return dispatcher_.routing()->routes().size(); }), 2u);
}

TEST_F(RoutingTest, PoliciesAreThoseOfTheSettings) {
  const std::pair<config::Balance, Policy> all[] = {
      {config::Balance::peak_ewma, Policy::peak_ewma},
      {config::Balance::round_robin, Policy::round_robin},
      {config::Balance::weighted, Policy::weighted},
      {config::Balance::least_busy, Policy::least_busy},
      {config::Balance::sticky, Policy::sticky},
      {config::Balance::prefix, Policy::prefix}};
  for (auto [balance, policy] : all) EXPECT_EQ(policy_of(balance), policy);
}

TEST_F(RoutingTest, StatesStayUnlessTheyCannot) {
  auto with = [&](const std::string& more) {
    configure(fmt::format(R"(
endpoints: [{{name: e1, binding: openai, url: 'http://h:1'}}]
routes: [{{name: chat, targets: [{{endpoint: e1, model: m}}]{}}}]
)",
                          more));
    return match("chat").route;
  };
  auto first = with("");
  auto state = first->state;
  EXPECT_EQ(state->name(), "chat");
  EXPECT_FALSE(state->by_prefix());
  auto again = with(", tries: 7");
  EXPECT_NE(again, first);
  EXPECT_EQ(again->state, state);
  EXPECT_EQ(state->current(), again);
  // Another queue, and another memory for prompts, need a new one; the old one knows where to go.
  auto longer = with(", queue_limit: 9");
  EXPECT_NE(longer->state, state);
  EXPECT_EQ(state->current(), longer);
  auto prefix = with(", queue_limit: 9, balance: prefix");
  EXPECT_NE(prefix->state, longer->state);
  EXPECT_TRUE(prefix->state->by_prefix());
  configure("{}");
  EXPECT_EQ(match("chat").route, nullptr);
}

TEST_F(RoutingTest, BudgetsFollowTheSettings) {
  auto with = [&](const std::string& budget) {
    configure(fmt::format(R"(
endpoints: [{{name: e1, binding: openai, url: 'http://h:1'}}]
routes: [{{name: chat, targets: [{{endpoint: e1, model: m}}], hedge: true, hedge_budget: {}}}]
)",
                          budget));
    return match("chat").route->state;
  };
  auto now = std::chrono::steady_clock::now();
  auto state = with("0");
  for (int i = 0; i < 100; ++i) state->request(now);
  EXPECT_FALSE(state->may_hedge(now));
  EXPECT_EQ(with("0.5"), state);
  for (int i = 0; i < 10; ++i) state->request(now);
  int spent = 0;
  while (state->may_hedge(now)) ++spent;
  EXPECT_EQ(spent, 5);
  with("0.5");  // the same: what was spent stays spent
  EXPECT_FALSE(state->may_hedge(now));
}

TEST_F(RoutingTest, ARouteWhoseEndpointsCannotBeUsedHasNoGroups) {
  std::vector<config::EndpointSettings> endpoints(1);
  endpoints[0] = {.name = "odd", .binding = "openai", .url = "http://h:1", .models = {"m"}};
  auto table = RouteTable::make({endpoints, {}, {}, {}});
  loops_.call(control(), [&] {
    dispatcher_.publish(states_.join(table, *registry_));  // which knows no such endpoint
  });
  settle();
  auto found = match("m");
  ASSERT_NE(found.route, nullptr);
  EXPECT_TRUE(found.route->groups.empty());
}

TEST(RouteStates, KnowHowLongAnswersTake) {
  RouteState state("r", 3, false);
  auto now = std::chrono::steady_clock::now();
  EXPECT_EQ(state.hedge_delay(now), std::nullopt);
  EXPECT_EQ(state.quantile(0.5, now), std::nullopt);
  for (int i = 0; i < 200; ++i) state.observe_first_byte(100ms, now);
  ASSERT_TRUE(state.hedge_delay(now));
  EXPECT_NEAR(static_cast<double>(state.hedge_delay(now)->count()), 100, 10);
  EXPECT_NEAR(static_cast<double>(state.quantile(0.5, now)->count()), 100e6, 10e6);
  EXPECT_TRUE(state.prefix_holders({}).empty());
  state.prefix_served({}, 1);  // nothing is learned where nobody asks
  EXPECT_EQ(state.current(), nullptr);
}

}  // namespace
}  // namespace corral::gateway::routing_test
