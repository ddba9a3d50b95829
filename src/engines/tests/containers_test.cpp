// Containers over a Docker Engine that is played by a script: the life of one, the list that is
// kept fresh, all that is configured, and everything that the engine may do wrong.
#include "engines/docker/containers.hpp"

#include <gtest/gtest.h>

#include "engines/tests/fake_docker.hpp"
#include "engines/tests/instance_fixture.hpp"

namespace corral::engines::docker::containers_test {
namespace {

class ContainersTest : public testing::Test {
 public:
  ContainersTest() {
    policy_.restart_backoff = 10ms;
    policy_.restart_backoff_max = 40ms;
    policy_.first_poll = 5ms;
    policy_.slowest_poll = 20ms;
    policy_.health_interval = 20ms;
    policy_.start_timeout = 30s;
    docker_.add_image("x:1");
  }
  config::ContainerSettings boxed(const std::string& name = "boxed") const {
    config::ContainerSettings wanted;
    wanted.name = name;
    wanted.image = "x:1";
    return wanted;
  }
  config::DockerSettings with(std::vector<config::ContainerSettings> containers) const {
    return {path_, std::move(containers)};
  }
  void make() {
    containers_ = std::make_unique<Containers>(ContainersParts{*shard_,
                                                               clock_,
                                                               telemetry::Logger(sink_, "test"),
                                                               {{"TOKEN", "t"}},
                                                               metrics_,
                                                               [this] { ++changes_; },
                                                               {1ms, 50ms, 10ms, 40ms},
                                                               policy_});
  }
  ContainerView view(const std::string& name = "boxed") const {
    for (auto& each : containers_->view()) {
      if (each.name == name) return each;
    }
    return {};
  }
  using Test = std::function<bool(const ContainerView&)>;
  net::Task<bool> until(Test holds, std::string name = "boxed") {
    while (!holds(view(name))) {
      if (!co_await net::sleep_for(2ms)) {
        ADD_FAILURE() << "last seen: " << to_string(view(name).info.state);
        co_return false;
      }
    }
    co_return true;
  }
  net::Task<bool> until(ContainerState state, std::string name = "boxed") {
    co_return co_await until([state](const ContainerView& v) { return v.info.state == state; },
                             name);
  }

  using Scenario = net::Task<void> (*)(ContainersTest&);
  void play(Scenario scenario) {
    net::Shards shards(0);
    shard_ = &shards.control();
    net::TaskGroup main(shards.control());
    net::TaskGroup guard(shards.control());
    guard.spawn(time_out(&main));
    main.spawn(run(this, scenario, &guard, &shards));
    shards.run_control();
    containers_.reset();
  }
  static net::Task<void> run(ContainersTest* test, Scenario scenario, net::TaskGroup* guard,
                             net::Shards* shards) {
    test->make();
    co_await scenario(*test);
    co_await test->containers_->stop();
    co_await guard->close();
    shards->control().post([shards] { shards->stop(); });
  }
  static net::Task<void> time_out(net::TaskGroup* main) {
    auto slept = co_await net::sleep_for(kPatience);
    if (!slept) co_return;
    ADD_FAILURE() << "the scenario took too long";
    main->cancel();
  }

  sys::TempFolder own_;
  std::string path_ = (own_.path() / "d.sock").string();
  FakeDocker docker_{path_};
  sys::RealClock clock_;
  std::shared_ptr<MemorySink> sink_ = std::make_shared<MemorySink>();
  telemetry::Metrics metrics_;
  ContainerPolicy policy_;
  net::Shard* shard_ = nullptr;
  std::unique_ptr<Containers> containers_;
  int changes_ = 0;
};

#define CONTAINERS_TEST(name)                              \
  net::Task<void> name##_scenario(ContainersTest& t);      \
  TEST_F(ContainersTest, name) { play(&name##_scenario); } \
  net::Task<void> name##_scenario([[maybe_unused]] ContainersTest& t)

using State = ContainerState;

CONTAINERS_TEST(IsMadeStartedAndReady) {
  EXPECT_TRUE(t.containers_->view().empty());
  EXPECT_FALSE(t.containers_->problem());
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::ready);
  auto seen = t.view();
  EXPECT_EQ(seen.url, fmt::format("http://127.0.0.1:{}/v1", t.docker_.port));
  EXPECT_EQ(Containers::why_not(seen), "");
  EXPECT_FALSE(seen.info.adopted);
  EXPECT_EQ(seen.info.id, t.docker_.find("boxed")->id);
  co_await t.until([](const auto& v) { return v.docker_state == "running"; });
  co_await t.until([](const auto& v) { return v.info.usage.has_value(); });
  EXPECT_EQ(t.view().info.usage->memory, 2000u);
  EXPECT_GT(t.changes_, 0);
  while (t.sink_->count("info test second half container=boxed") == 0) {
    REQUIRE(bool(co_await net::sleep_for(2ms)));
  }
  EXPECT_EQ(t.sink_->count("info test a complaint container=boxed"), 1u);
  auto lines = co_await t.containers_->logs("boxed", 10);
  REQUIRE(lines.has_value());
  EXPECT_EQ(lines->size(), 3u);
  EXPECT_EQ((*lines)[1].text, "a complaint");
  EXPECT_EQ((*lines)[1].from, LogStream::err);
  co_await t.containers_->stop();
  EXPECT_TRUE(t.docker_.find("boxed")->running);  // it stays
}

CONTAINERS_TEST(AMissingImageIsPulled) {
  auto wanted = t.boxed();
  wanted.image = "ollama/ollama:1";
  t.containers_->apply(t.with({wanted}));
  co_await t.until(State::ready);
  EXPECT_EQ(t.docker_.count("/images/create?fromImage=ollama%2Follama&tag=1"), 1u);
  std::uint64_t total = 0;
  auto pulled = co_await t.containers_->act("boxed", ContainerCommand::pull,
                                            [&](const PullState& state) { total = state.total; });
  EXPECT_TRUE(pulled.has_value());
  EXPECT_EQ(total, 150u);
}

CONTAINERS_TEST(AnImageThatDoesNotExistFails) {
  auto wanted = t.boxed();
  wanted.image = "nosuch/image:1";
  t.containers_->apply(t.with({wanted}));
  co_await t.until(State::failed);
  EXPECT_NE(t.view().info.last_error->message.find("manifest unknown"), std::string::npos);
  EXPECT_NE(Containers::why_not(t.view()).find("manifest unknown"), std::string::npos);
  auto again = co_await t.containers_->act("boxed", ContainerCommand::start);
  REQUIRE(!again.has_value());
  EXPECT_NE(again.error().message.find("the container boxed: "), std::string::npos);
}

CONTAINERS_TEST(WhatEndsIsStartedAgain) {
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::ready);
  auto id = t.view().info.id;
  t.docker_.die("boxed", 137, true);
  co_await t.until([](const auto& v) { return v.info.restarts == 1; });
  co_await t.until(State::ready);
  EXPECT_EQ(t.view().info.id, id);
  EXPECT_NE(t.view().info.last_error->message.find("more memory"), std::string::npos);
  EXPECT_EQ(t.sink_->count("warn test container down"), 1u);
  t.docker_.vanish("boxed");
  co_await t.until([&](const auto& v) { return v.info.id != id && !v.info.id.empty(); });
  co_await t.until(State::ready);
}

CONTAINERS_TEST(WhatKeepsEndingFails) {
  t.docker_.dies_at_start = 99;
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::failed);
  EXPECT_NE(t.view().info.last_error->message.find("exit code 7"), std::string::npos);
  EXPECT_EQ(t.view().info.restarts, 2u);
  t.docker_.dies_at_start = 0;
  auto started = co_await t.containers_->act("boxed", ContainerCommand::start);
  EXPECT_TRUE(started.has_value());
  EXPECT_EQ(t.view().info.state, State::ready);
}

CONTAINERS_TEST(WhatDoesNotAnswerIsNotReadyAndWhatHangsIsRestarted) {
  t.docker_.api_status = 503;
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::starting);
  REQUIRE(bool(co_await net::sleep_for(50ms)));
  EXPECT_EQ(t.view().info.state, State::starting);
  EXPECT_EQ(Containers::why_not(t.view()), "it is starting");
  EXPECT_EQ(t.view().url, "");
  t.docker_.api_status = 404;  // it answers, whatever
  co_await t.until(State::ready);
  t.docker_.api_status = 500;
  co_await t.until([](const auto& v) { return v.info.restarts == 1; });
  t.docker_.api_status = 200;
  co_await t.until(State::ready);
}

CONTAINERS_TEST(TheNextOneTakesOverWhatRuns) {
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::ready);
  auto id = t.view().info.id;
  co_await t.containers_->stop();
  t.make();
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::ready);
  EXPECT_TRUE(t.view().info.adopted);
  EXPECT_EQ(t.view().info.id, id);
  EXPECT_EQ(t.docker_.count("POST /v1.43/containers/create"), 1u);
}

CONTAINERS_TEST(AReloadKeepsAdoptsReplacesAndRemoves) {
  t.containers_->apply(t.with({t.boxed("kept"), t.boxed("seen"), t.boxed("new"), t.boxed("gone")}));
  for (auto name : {"kept", "seen", "new", "gone"}) co_await t.until(State::ready, name);
  auto seen = t.boxed("seen");
  seen.models = {"another"};
  auto fresh = t.boxed("new");
  fresh.memory = 1u << 30;
  auto before = t.view("new").info.id;
  auto same = t.view("seen").info.id;
  t.containers_->apply(t.with({t.boxed("kept"), seen, fresh}));
  co_await t.until([&](const auto& v) { return v.info.id != before && !v.url.empty(); }, "new");
  co_await t.until([&](const auto& v) { return v.info.adopted; }, "seen");
  EXPECT_EQ(t.view("seen").info.id, same);
  EXPECT_FALSE(t.view("kept").info.adopted);
  EXPECT_FALSE(t.docker_.find("gone").has_value());
  EXPECT_EQ(t.view("gone").name, "");
  t.containers_->apply(t.with({}));
  while (t.docker_.find("kept") || t.docker_.find("new") || t.docker_.find("seen")) {
    REQUIRE(bool(co_await net::sleep_for(2ms)));
  }
}

CONTAINERS_TEST(ByHand) {
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::ready);
  auto stopped = co_await t.containers_->act("boxed", ContainerCommand::stop);
  EXPECT_TRUE(stopped.has_value());
  EXPECT_FALSE(t.docker_.find("boxed")->running);
  EXPECT_EQ(Containers::why_not(t.view()), "it is stopped");
  auto restarted = co_await t.containers_->act("boxed", ContainerCommand::restart);
  EXPECT_TRUE(restarted.has_value());
  EXPECT_TRUE(t.docker_.find("boxed")->running);
  auto removed = co_await t.containers_->act("boxed", ContainerCommand::remove);
  EXPECT_TRUE(removed.has_value());
  EXPECT_FALSE(t.docker_.find("boxed").has_value());
  EXPECT_EQ(t.view().info.state, State::absent);
  co_await t.until([](const auto& v) { return v.docker_state.empty(); });
  auto lines = co_await t.containers_->logs("boxed", 10);
  EXPECT_EQ(lines.error().code, ErrorCode::conflict);
  auto unknown = co_await t.containers_->act("boxd", ContainerCommand::start);
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_EQ(unknown.error().hint_text, "did you mean boxed?");
  auto none = co_await t.containers_->logs("zzz", 10);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
}

CONTAINERS_TEST(RemovedWithTheEndWhereThatIsWanted) {
  auto wanted = t.boxed();
  wanted.remove = true;
  t.containers_->apply(t.with({wanted}));
  co_await t.until(State::ready);
  co_await t.containers_->stop();
  EXPECT_FALSE(t.docker_.find("boxed").has_value());
}

CONTAINERS_TEST(ALeftOneIsShownAndCanOnlyBeRemoved) {
  t.containers_->apply(t.with({t.boxed("old")}));
  co_await t.until(State::ready, "old");
  co_await t.containers_->stop();
  t.make();
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until([](const auto& v) { return !v.docker_state.empty(); }, "old");
  EXPECT_FALSE(t.view("old").configured);
  EXPECT_EQ(t.sink_->count("not in the configuration"), 1u);
  auto started = co_await t.containers_->act("old", ContainerCommand::start);
  EXPECT_EQ(started.error().code, ErrorCode::conflict);
  auto removed = co_await t.containers_->act("old", ContainerCommand::remove);
  EXPECT_TRUE(removed.has_value());
  EXPECT_FALSE(t.docker_.find("old").has_value());
}

CONTAINERS_TEST(WhatOthersMadeIsLeftAlone) {
  DockerClient client(t.path_);
  auto made = co_await client.create("boxed", R"({"Image":"x:1"})");
  REQUIRE(made.has_value());
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::failed);
  EXPECT_EQ(t.view().info.last_error->code, ErrorCode::conflict);
  auto removed = co_await t.containers_->act("boxed", ContainerCommand::remove);
  EXPECT_FALSE(removed.has_value());
  EXPECT_TRUE(t.docker_.find("boxed").has_value());
}

CONTAINERS_TEST(DockerGoesAndComesBack) {
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::ready);
  t.docker_.stop();
  while (!t.containers_->problem()) REQUIRE(bool(co_await net::sleep_for(2ms)));
  EXPECT_NE(t.containers_->problem()->message.find("no such socket"), std::string::npos);
  EXPECT_NE(t.containers_->problem()->hint_text.find("is Docker running?"), std::string::npos);
  EXPECT_EQ(t.view().info.state, State::ready);  // its engine answers all the same
  t.docker_.die("boxed", 1);                     // while nobody tells
  t.docker_.start();
  co_await t.until([](const auto& v) { return v.info.restarts == 1; });
  co_await t.until(State::ready);
  EXPECT_FALSE(t.containers_->problem());
  EXPECT_EQ(t.sink_->count("containers are watched again"), 1u);
}

CONTAINERS_TEST(AnotherSocketIsUsedAfterAReload) {
  t.containers_->apply({"/nonexistent/d.sock", {t.boxed()}});
  co_await t.until(State::backing_off);
  EXPECT_NE(Containers::why_not(t.view()).find("tried again"), std::string::npos);
  t.containers_->apply(t.with({t.boxed()}));
  co_await t.until(State::ready);
}

CONTAINERS_TEST(ManyAtOnceAreBounded) {
  std::vector<config::ContainerSettings> many;
  for (int i = 0; i < 40; ++i) many.push_back(t.boxed(fmt::format("c{}", i)));
  t.containers_->apply(t.with(many));
  for (const auto& each : many) co_await t.until(State::ready, each.name);
  // Besides those at once: the events, and each one's log.
  EXPECT_LE(t.docker_.most_at_once(), DockerClient::kAtOnce + 1 + many.size());
  EXPECT_GT(t.docker_.most_at_once(), 2u);
}

CONTAINERS_TEST(ClientRefusesRubbishWithAReason) {
  DockerClient client(t.path_);
  REQUIRE(bool(co_await client.list()));
  for (auto rubbish : {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[7", "not http at all", "",
                       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"}) {
    t.docker_.set_script([rubbish = std::string(rubbish)](const std::string& call) {
      return call.find("/version") == std::string::npos ? std::optional(rubbish) : std::nullopt;
    });
    auto listed = co_await client.list();
    EXPECT_FALSE(listed.has_value()) << rubbish;
  }
  t.docker_.set_script(
      [](const std::string&) { return answer(500, R"({"message":"disk is full"})"); });
  auto full = co_await client.list();
  EXPECT_NE(full.error().message.find("disk is full"), std::string::npos);
  auto shown = co_await client.inspect("x");
  EXPECT_EQ(shown.error().peer_status, 500);
  EXPECT_FALSE((co_await client.has_image("x")).has_value());
  EXPECT_FALSE((co_await client.usage("x")).has_value());
  EXPECT_FALSE((co_await client.create("x", "{}")).has_value());
  EXPECT_FALSE((co_await client.kill("x")).has_value());
  EXPECT_FALSE((co_await client.pull("x", {})).has_value());
  EXPECT_FALSE((co_await client.logs("x", {}, [](LogStream, std::string_view) {})).has_value());
  EXPECT_FALSE((co_await client.events({}, [](const DockerEvent&) {})).has_value());
  auto cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"id\":\"\r\n0\r\n\r\n";
  t.docker_.set_script([cut](const std::string&) { return std::optional<std::string>(cut); });
  auto pulled = co_await client.pull("x", {});
  EXPECT_EQ(pulled.error().message, "the pull was cut short");
}

CONTAINERS_TEST(ClientSaysWhatKeepsItOut) {
  DockerClient nobody("/nonexistent/docker.sock");
  auto version = co_await nobody.version();
  EXPECT_EQ(version.error().code, ErrorCode::unavailable);
  EXPECT_NE(version.error().describe().find("docker.socket names its socket"), std::string::npos);
  t.docker_.set_script([](const std::string&) { return answer(200, R"({"ApiVersion":"1.20"})"); });
  DockerClient old(t.path_);
  auto refused = co_await old.list();
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace corral::engines::docker::containers_test
