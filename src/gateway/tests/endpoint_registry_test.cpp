#include "gateway/endpoint_registry.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway::endpoint_registry_test {
namespace {

constexpr const char* kQuiet = R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1', capacity: 10}
  - {name: e2, binding: openai, url: 'http://h:2'}
gateway: {health: {probe_interval: 0}}
)";

class RegistryTest : public GatewayTest {
 protected:
  void start() {
    loops_.call(control(), [&] { registry_->start(); });
    loops_.call(control(), [&] { registry_->start(); });  // twice is nothing
  }
  std::vector<EndpointView> view() {
    return loops_.call(control(), [&] { return registry_->view(); });
  }
  HealthState health(const std::string& name) {
    for (const auto& each : view()) {
      if (each.settings.name == name) return each.health;
    }
    ADD_FAILURE() << "no endpoint " << name;
    return HealthState::down;
  }
  bool becomes(const std::string& name, HealthState state) {
    return eventually([&] { return health(name) == state; }, 10s);
  }
};

TEST_F(RegistryTest, KnowsItsEndpoints) {
  configure(kQuiet);
  auto e1 = endpoint("e1");
  ASSERT_NE(e1, nullptr);
  EXPECT_EQ(e1->capacity(), 10u);
  EXPECT_EQ(e1->address().target.port, 1);
  EXPECT_FALSE(e1->managed());
  EXPECT_EQ(endpoint("other"), nullptr);
  auto all = view();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].settings.name, "e1");
  EXPECT_EQ(all[0].endpoint, e1);
  EXPECT_EQ(all[0].health, HealthState::healthy);
  EXPECT_TRUE(all[0].models.empty());
  auto state = target("e1", "m");
  EXPECT_EQ(target("e1", "m"), state);
  EXPECT_EQ(view()[0].models.size(), 1u);
  target("e1", "n");
  target("e10", "m");
  EXPECT_EQ(registry_->states_of("e1").size(), 2u);
}

TEST_F(RegistryTest, KeepsWhatDidNotChange) {
  configure(kQuiet);
  auto e1 = endpoint("e1");
  auto e2 = endpoint("e2");
  auto m1 = target("e1", "m");
  auto m2 = target("e2", "m");
  auto local = target("local", "m");
  Lease held = e1->try_acquire();
  // e2 answers elsewhere now; e1 has another weight only, and other models.
  configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1', capacity: 10, weight: 7, models: [m]}
  - {name: e2, binding: openai, url: 'http://h:3'}
gateway: {health: {probe_interval: 0}, queue_limit: 3}
)");
  EXPECT_EQ(endpoint("e1"), e1);
  EXPECT_FALSE(e1->closed());
  EXPECT_EQ(e1->in_flight(), 1u);
  EXPECT_EQ(view()[0].settings.weight, 7u);
  EXPECT_NE(endpoint("e2"), e2);
  EXPECT_TRUE(e2->closed());
  EXPECT_EQ(target("e1", "m"), m1);
  EXPECT_EQ(target("local", "m"), local);
  EXPECT_NE(target("e2", "m"), m2);  // another place: nothing is known about it
  configure("{gateway: {health: {probe_interval: 0}}}");
  EXPECT_TRUE(e1->closed());
  EXPECT_TRUE(view().empty());
  EXPECT_TRUE(registry_->states_of("e1").empty());
  held.give_back();
}

constexpr Work kWork{inference::Operation::chat, false, 100};

void teach(TargetState& state, std::chrono::seconds took) {
  auto now = std::chrono::steady_clock::now();
  state.end_work(state.begin_work(kWork, now), now + took, true);
}

TEST_F(RegistryTest, WhatWasLearnedIsRecalledAtTheSamePlace) {
  auto take = [&] { return loops_.call(control(), [&] { return registry_->take_learned(); }); };
  auto recall = [&](std::vector<LearnedWork> all) {
    loops_.call(control(), [&] { registry_->recall(std::move(all)); });
  };
  configure(kQuiet);
  EXPECT_TRUE(take().empty());
  teach(*target("e1", "m"), 3s);
  teach(*target("e2", "m"), 5s);
  teach(*target("local", "m"), 7s);
  target("e1", "other");
  auto learned = take();
  ASSERT_EQ(learned.size(), 3u);
  EXPECT_NE(learned[0].place, learned[1].place);
  EXPECT_FALSE(learned[0].place.contains("h"));  // an address may hold a password
  EXPECT_TRUE(take().empty());

  // The next process: e2 leads elsewhere, e1 has its name and comes only later.
  configure("{gateway: {health: {probe_interval: 0}}}");
  loops_.call(control(), [&] {
    registry_ = std::make_unique<EndpointRegistry>(
        RegistryParts{control(), bindings_, telemetry::Logger(log_, "gateway"), [] {}, {}});
  });
  recall(learned);
  configure(R"(
endpoints: [{name: e2, binding: openai, url: 'http://h:3'}]
gateway: {health: {probe_interval: 0}}
)");
  EXPECT_FALSE(target("e2", "m")->expect(kWork));
  EXPECT_EQ(target("local", "m")->expect(kWork), 7s);
  configure(kQuiet);
  EXPECT_EQ(target("e1", "m")->expect(kWork), 3s);
  EXPECT_FALSE(target("e1", "other")->expect(kWork));
  EXPECT_TRUE(take().empty());
}

TEST_F(RegistryTest, OtherPoliciesKeepWhatWasLearned) {
  configure(kQuiet);
  teach(*target("e1", "m"), 3s);
  auto before = target("e1", "m");
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 10}]
gateway: {health: {probe_interval: 0}, breaker: {failures: 1}}
)");
  EXPECT_NE(target("e1", "m"), before);
  EXPECT_EQ(target("e1", "m")->expect(kWork), 3s);
  EXPECT_EQ(loops_.call(control(), [&] { return registry_->take_learned().size(); }), 1u);
}

TEST_F(RegistryTest, OtherPoliciesKeepTheEndpointsThemselves) {
  configure(kQuiet);
  auto e1 = endpoint("e1");
  auto state = target("e1", "m");
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 10}]
gateway: {health: {probe_interval: 0}, breaker: {failures: 1}}
)");
  EXPECT_EQ(endpoint("e1"), e1);
  EXPECT_NE(target("e1", "m"), state);  // made by the new policy
  auto permit = target("e1", "m")->try_pass(std::chrono::steady_clock::now());
  target("e1", "m")->report(std::move(permit), Outcome::timeout, std::chrono::steady_clock::now());
  EXPECT_EQ(breaker("e1", "m"), BreakerState::open);
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 10}]
gateway: {health: {probe_interval: 1h}, breaker: {failures: 1}}
)");
  EXPECT_EQ(endpoint("e1"), e1);
  EXPECT_EQ(breaker("e1", "m"), BreakerState::open);
}

TEST_F(RegistryTest, WhatARequestNoticesMakesANewEndpoint) {
  const std::string before = "endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]";
  for (const char* after : {"binding: openai, url: 'http://h:1', api_key: k",
                            "binding: openai, url: 'http://h:1', capacity: 3",
                            "binding: openai, url: 'http://h:1', idle_timeout: 1s",
                            "binding: openai, url: 'http://h:2'"}) {
    configure(before);
    auto old = endpoint("e1");
    configure(fmt::format("endpoints: [{{name: e1, {}}}]", after));
    EXPECT_NE(endpoint("e1"), old) << after;
    EXPECT_TRUE(old->closed());
  }
}

TEST_F(RegistryTest, WhatCannotBeUsedIsLeftOut) {
  config::GatewaySettings gateway;
  std::vector<config::EndpointSettings> endpoints(2);
  endpoints[0] = {.name = "odd", .binding = "telepathy", .url = "http://h:1"};
  endpoints[1] = {.name = "bad", .binding = "openai", .url = "nonsense"};
  loops_.call(control(), [&] { registry_->apply(endpoints, gateway); });
  EXPECT_TRUE(view().empty());
  EXPECT_TRUE(log_->contains("an endpoint cannot be used endpoint=odd error=unknown binding"));
  EXPECT_TRUE(log_->contains("endpoint=bad"));
}

TEST_F(RegistryTest, BreakersAreForcedByHand) {
  configure(kQuiet);
  target("e1", "m");
  target("e1", "n");
  auto force = [&](const std::string& name, const std::string& model, bool open) {
    return loops_.call(control(), [&] { return registry_->force_breakers(name, model, open); });
  };
  ASSERT_TRUE(force("e1", "", true));
  EXPECT_EQ(breaker("e1", "m"), BreakerState::open);
  EXPECT_EQ(breaker("e1", "n"), BreakerState::open);
  ASSERT_TRUE(force("e1", "m", false));
  EXPECT_EQ(breaker("e1", "m"), BreakerState::closed);
  EXPECT_EQ(breaker("e1", "n"), BreakerState::open);
  ASSERT_TRUE(force("e1", "", false));
  auto wrong = force("e1", "other", true);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::not_found);
  EXPECT_FALSE(force("other", "", true));
  EXPECT_TRUE(eventually([&] { return breaker_changes().size() == 4; }));
}

// --- health --------------------------------------------------------------------------------------

constexpr const char* kProbed = R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', capacity: 10}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}, {endpoint: e1, model: 'n'}]}]
gateway: {health: {probe_interval: 20ms, probe_timeout: 1s, strikes: 2, slow_start: 1s}}
)";

TEST_F(RegistryTest, ProbesTakeAnEndpointDownAndBringItBack) {
  configure(kProbed);
  start();
  EXPECT_TRUE(eventually([&] { return played_->probes(1) >= 2; }));
  EXPECT_EQ(health("e1"), HealthState::healthy);
  EXPECT_EQ(view()[0].last_probe_error, "");
  played_->set_dead(1, true);
  ASSERT_TRUE(becomes("e1", HealthState::down));
  EXPECT_FALSE(endpoint("e1")->up());
  EXPECT_EQ(view()[0].last_probe_error, "nobody listens");
  EXPECT_TRUE(log_->contains("endpoint health endpoint=e1"));
  EXPECT_TRUE(log_->contains("to=down"));
  // A request waits until it is back.
  auto call = begin_waiting("chat");
  played_->set_dead(1, false);
  auto result = finish(*call);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(played_->validated(1).size(), 1u);
  EXPECT_TRUE(endpoint("e1")->up());
  // It gets a share of the requests only, which grows.
  EXPECT_EQ(health("e1"), HealthState::slow_start);
  EXPECT_LT(endpoint("e1")->share(), 1.0);
  std::vector<Lease> leases;
  for (int i = 0; i < 10; ++i) leases.push_back(endpoint("e1")->try_acquire());
  EXPECT_LT(endpoint("e1")->in_flight(), 10u);
  leases.clear();
  ASSERT_TRUE(becomes("e1", HealthState::healthy));
  EXPECT_TRUE(eventually([&] { return endpoint("e1")->share() == 1.0; }));
}

TEST_F(RegistryTest, OneThatOnlyLooksWellStaysDown) {
  configure(kProbed);
  played_->set_dead(1, true);
  start();
  ASSERT_TRUE(becomes("e1", HealthState::down));
  played_->set_broken(1, true);
  played_->set_dead(1, false);
  EXPECT_TRUE(eventually([&] { return played_->validated(1).size() >= 2; }));
  EXPECT_EQ(played_->validated(1)[0], "m");
  EXPECT_EQ(played_->validated(1)[1], "n");
  EXPECT_TRUE(eventually([&] { return view()[0].last_probe_error == "it only looks well"; }));
  EXPECT_FALSE(endpoint("e1")->up());
  played_->set_broken(1, false);
  EXPECT_TRUE(eventually([&] { return endpoint("e1")->up(); }, 10s));
}

TEST_F(RegistryTest, OneModelThatWorksIsEnough) {
  configure(kProbed);
  played_->set_dead(1, true);
  played_->set_broken_model(1, "m");  // an embedder, say
  start();
  ASSERT_TRUE(becomes("e1", HealthState::down));
  played_->set_dead(1, false);
  EXPECT_TRUE(eventually([&] { return endpoint("e1")->up(); }, 10s));
  EXPECT_EQ(played_->validated(1).back(), "n");
}

TEST_F(RegistryTest, WildcardsAreNotAskedFor) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]
routes: [{name: 'any/*', targets: [{endpoint: e1, model: '*'}]}]
gateway: {health: {probe_interval: 20ms, strikes: 1}}
)");
  played_->set_dead(1, true);
  start();
  ASSERT_TRUE(becomes("e1", HealthState::down));
  played_->set_dead(1, false);
  EXPECT_TRUE(eventually([&] { return endpoint("e1")->up(); }, 10s));
  EXPECT_TRUE(played_->validated(1).empty());
}

TEST_F(RegistryTest, WithoutAnIntervalNothingIsProbed) {
  configure(kQuiet);
  start();
  std::this_thread::sleep_for(350ms);  // several ticks
  EXPECT_EQ(played_->probes(1), 0);
}

TEST_F(RegistryTest, AProbeThatSucceedsLetsTrialsThroughSooner) {
  configure(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}], tries: 1}]
gateway: {breaker: {failures: 1, recovery_remote: 1h}, health: {probe_interval: 1h}}
)");
  start();
  EXPECT_TRUE(eventually([&] { return played_->probes(1) == 1; }));
  played_->once(1, Play::refuse(broken()));
  EXPECT_FALSE(dispatch("chat"));
  EXPECT_EQ(breaker("e1", "m"), BreakerState::open);
  auto result = dispatch("chat");  // it waits: probes come faster now, and say that it is there
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_GE(played_->probes(1), 2);
}

TEST_F(RegistryTest, AReplacedEndpointIsProbedNoMore) {
  configure(kProbed);
  start();
  EXPECT_TRUE(eventually([&] { return played_->probes(1) >= 1; }));
  configure("{gateway: {health: {probe_interval: 20ms}}}");
  std::this_thread::sleep_for(50ms);
  int before = played_->probes(1);
  std::this_thread::sleep_for(250ms);
  EXPECT_EQ(played_->probes(1), before);
}

TEST_F(RegistryTest, ChangesOfBreakersAreHeardOfAfterItsEndByNobody) {
  configure(kQuiet);
  auto state = target("e1", "m");
  loops_.run(control(), stop_registry(registry_.get()));
  loops_.call(control(), [&] { registry_.reset(); });
  state->force_open();
  settle();
  EXPECT_TRUE(breaker_changes().empty());
  // For the checks after the test.
  registry_ = std::make_unique<EndpointRegistry>(
      RegistryParts{control(), bindings_, telemetry::Logger(log_, "gateway"), [] {}, {}});
}

}  // namespace
}  // namespace corral::gateway::endpoint_registry_test
