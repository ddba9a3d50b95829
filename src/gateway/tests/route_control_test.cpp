// Endpoints and routes that are managed while the server runs, on a real database.
#include "gateway/route_control.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "gateway/tests/gateway_fixture.hpp"
#include "store/migrations.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::gateway::route_control_test {
namespace {

constexpr const char* kConfig = R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', models: [m]}]
routes: [{name: chat, targets: [{endpoint: e1, model: m}]}]
gateway: {health: {probe_interval: 0}}
)";

constexpr const char* kGpu =
    R"({"name":"gpu","binding":"openai","url":"http://h:2","models":["big"],"api_key":"sk-hidden"})";

using Kind = ResourceKind;

class RouteControlTest : public GatewayTest {
 protected:
  void SetUp() override {
    auto sealer = store::Sealer::open(*files_, folder_ / "secrets.key");
    ASSERT_TRUE(sealer) << sealer.error().describe();
    sealer_ = std::move(*sealer);
    auto opened = store::Database::open({.url = "sqlite:" + database_file().string()});
    ASSERT_TRUE(opened) << opened.error().describe();
    database_ = std::move(*opened);
    ASSERT_TRUE(store::migrate(*database_, store::schema_migrations(), clock_));
    resources_.emplace(*database_, clock_);
    ASSERT_TRUE(start(kConfig));
  }
  void TearDown() override {
    stop();
    GatewayTest::TearDown();
  }

  std::filesystem::path database_file() const { return folder_ / "corral.db"; }

  static std::shared_ptr<const config::Settings> read(const std::string& yaml) {
    auto loaded = config::load({.text = yaml});
    EXPECT_TRUE(loaded) << loaded.error().message;
    return std::make_shared<const config::Settings>(loaded->settings);
  }
  static net::Task<Result<void>> start_control(RouteControl* control,
                                               std::shared_ptr<const config::Settings> settings) {
    co_return co_await control->start(std::move(settings));
  }
  Result<void> start(const std::string& yaml) {
    control_ = std::make_unique<RouteControl>(RouteControlParts{
        loops_.shards(), pool_, telemetry::Logger(log_, "routes"), dispatcher_, *registry_,
        *resources_, *sealer_, [this](const RouteTable&) { ++changes_; }});
    auto result = loops_.run(control(), start_control(control_.get(), read(yaml)));
    settle();
    return result;
  }
  static net::Task<void> stop_control(RouteControl* control) { co_await control->stop(); }
  void stop() {
    if (control_ == nullptr) return;
    loops_.run(control(), stop_control(control_.get()));
    control_.reset();
  }

  static net::Task<Result<Managed>> put_in(RouteControl* control, ManagedChange change) {
    co_return co_await control->put(std::move(change));
  }
  static net::Task<void> put_and_keep(RouteControl* control, ManagedChange change,
                                      std::optional<Result<Managed>>* result) {
    result->emplace(co_await control->put(std::move(change)));
  }
  static net::Task<Result<void>> remove_in(RouteControl* control, ManagedChange change) {
    co_return co_await control->remove(std::move(change));
  }
  Result<Managed> put(Kind kind, const std::string& name, const std::string& body,
                      std::optional<std::int64_t> expected = std::nullopt) {
    auto result =
        loops_.run(control(), put_in(control_.get(), {kind, name, body, expected, "maria"}));
    settle();
    return result;
  }
  Result<void> remove(Kind kind, const std::string& name,
                      std::optional<std::int64_t> expected = std::nullopt) {
    auto result =
        loops_.run(control(), remove_in(control_.get(), {kind, name, "", expected, "maria"}));
    settle();
    return result;
  }
  std::vector<Managed> list(Kind kind) {
    return loops_.call(control(), [&] { return control_->list(kind); });
  }
  Result<Managed> find(Kind kind, const std::string& name) {
    return loops_.call(control(), [&] { return control_->find(kind, name); });
  }
  std::vector<std::string> names(Kind kind) {
    std::vector<std::string> result;
    for (const auto& each : list(kind)) result.push_back(each.name);
    return result;
  }
  // All that the files of the database hold.
  std::string stored_bytes() const {
    std::string all;
    for (const auto& file : std::filesystem::directory_iterator(folder_.path())) {
      std::ifstream in(file.path(), std::ios::binary);
      std::stringstream text;
      text << in.rdbuf();
      all += text.str();
    }
    return all;
  }

  sys::TempFolder folder_;
  sys::ManualClock clock_;
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  std::unique_ptr<store::Sealer> sealer_;
  std::unique_ptr<store::Database> database_;
  std::optional<store::Resources> resources_;
  net::BlockingPool pool_{2};
  std::atomic<int> changes_{0};
  std::unique_ptr<RouteControl> control_;
};

TEST_F(RouteControlTest, ServesWhatTheConfigurationNames) {
  EXPECT_EQ(text(dispatch("chat")), "from 1");
  ASSERT_EQ(list(Kind::endpoint).size(), 1u);
  auto managed = list(Kind::route)[0];
  EXPECT_EQ(managed.name, "chat");
  EXPECT_TRUE(managed.from_config);
  EXPECT_EQ(managed.version, 0);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(&control_->shard(), &control());
  EXPECT_EQ(&control_->registry(), registry_.get());
  EXPECT_EQ(&std::as_const(*control_).registry(), registry_.get());
  // It follows the database.
  EXPECT_EQ(loops_.call(control(), [&] { return control_->tasks().running(); }), 1u);
}

TEST_F(RouteControlTest, WhatIsPutServesAtOnce) {
  auto endpoint = put(Kind::endpoint, "gpu", kGpu, 0);
  ASSERT_TRUE(endpoint) << endpoint.error().describe();
  EXPECT_EQ(endpoint->version, 1);
  EXPECT_FALSE(endpoint->from_config);
  EXPECT_EQ(text(dispatch("big")), "from 2");
  EXPECT_EQ(played_->calls().back().api_key, "sk-hidden");
  auto route =
      put(Kind::route, "large", R"({"name":"large","targets":[{"endpoint":"gpu","model":"big"}]})");
  ASSERT_TRUE(route) << route.error().describe();
  EXPECT_EQ(text(dispatch("large")), "from 2");
  EXPECT_EQ(names(Kind::endpoint), (std::vector<std::string>{"e1", "gpu"}));
  EXPECT_EQ(names(Kind::route), (std::vector<std::string>{"chat", "large"}));
  auto found = find(Kind::route, "large");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->json, route->json);
  EXPECT_TRUE(log_->contains("changed kind=route name=large version=1 author=maria"));
  EXPECT_EQ(changes_, 3);
}

TEST_F(RouteControlTest, UnknownNamesAreNotFoundWithNearOnes) {
  auto found = find(Kind::route, "chta");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::not_found);
  EXPECT_NE(found.error().hint_text.find("chat"), std::string::npos);
  auto removed = remove(Kind::endpoint, "nothing");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, ErrorCode::not_found);
}

TEST_F(RouteControlTest, VersionsKeepPeopleFromOverwritingEachOther) {
  ASSERT_TRUE(put(Kind::endpoint, "gpu", kGpu, 0));
  auto again = put(Kind::endpoint, "gpu", kGpu, 0);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
  auto second = put(Kind::endpoint, "gpu",
                    R"({"name":"gpu","binding":"openai","url":"http://h:3","models":["big"]})", 1);
  ASSERT_TRUE(second) << second.error().describe();
  EXPECT_EQ(second->version, 2);
  EXPECT_EQ(text(dispatch("big")), "from 3");
  auto stale = put(Kind::endpoint, "gpu", kGpu, 1);
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, ErrorCode::conflict);
  EXPECT_EQ(text(dispatch("big")), "from 3");
  auto wrong = remove(Kind::endpoint, "gpu", 1);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::conflict);
  ASSERT_TRUE(remove(Kind::endpoint, "gpu", 2));
  EXPECT_EQ(dispatch("big").error().code, ErrorCode::not_found);
  EXPECT_EQ(names(Kind::endpoint), std::vector<std::string>{"e1"});
  EXPECT_TRUE(log_->contains("removed kind=endpoint name=gpu author=maria"));
}

TEST_F(RouteControlTest, WhatStandsInTheConfigurationIsChangedThere) {
  auto result = put(Kind::endpoint, "E1", kGpu);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::conflict);
  EXPECT_NE(result.error().hint_text.find("SIGHUP"), std::string::npos);
  auto removed = remove(Kind::route, "chat");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, ErrorCode::conflict);
  EXPECT_EQ(text(dispatch("chat")), "from 1");
}

TEST_F(RouteControlTest, WhatIsNotValidChangesNothing) {
  const std::pair<Kind, const char*> bodies[] = {
      {Kind::route, "{"},
      {Kind::route, R"({"name":"x"})"},
      {Kind::route, R"({"name":"other","targets":[{"endpoint":"e1","model":"m"}]})"},
      {Kind::route, R"({"name":"x","targets":[{"endpoint":"nowhere","model":"m"}]})"},
      {Kind::route, R"({"name":"x","targets":[{"endpoint":"e1","model":"m"}],"tries":0})"},
      {Kind::route,
       R"({"name":"x","targets":[{"endpoint":"e1","model":"m"}],"fallbacks":["gone"],"aliases":["chat"]})"},
      {Kind::endpoint, R"({"name":"x","binding":"openai","url":"nonsense"})"},
      {Kind::endpoint, R"({"name":"x","binding":"telepathy","url":"http://h"})"},
      {Kind::endpoint, R"({"name":"local","binding":"openai","url":"http://h"})"},
      {Kind::endpoint, R"({"name":"x","binding":"openai","url":"http://h","api_key":"***"})"},
  };
  auto revision = resources_->revision();
  for (const auto& [kind, body] : bodies) {
    auto result = put(kind, "x", body);
    ASSERT_FALSE(result) << body;
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument) << body;
    EXPECT_FALSE(result.error().message.empty());
  }
  EXPECT_EQ(*resources_->revision(), *revision);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(text(dispatch("chat")), "from 1");
}

TEST_F(RouteControlTest, AnEndpointThatARouteNeedsStays) {
  ASSERT_TRUE(put(Kind::endpoint, "gpu", kGpu));
  ASSERT_TRUE(put(Kind::route, "large",
                  R"({"name":"large","targets":[{"endpoint":"gpu","model":"big"}]})"));
  auto removed = remove(Kind::endpoint, "gpu");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(text(dispatch("large")), "from 2");
  ASSERT_TRUE(remove(Kind::route, "large"));
  ASSERT_TRUE(remove(Kind::endpoint, "gpu"));
  EXPECT_EQ(dispatch("large").error().code, ErrorCode::not_found);
}

TEST_F(RouteControlTest, KeysAreSealedAndNeverShown) {
  auto made = put(Kind::endpoint, "gpu", kGpu);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->json.find("sk-hidden"), std::string::npos);
  EXPECT_NE(made->json.find("***"), std::string::npos);
  for (const auto& each : list(Kind::endpoint)) {
    EXPECT_EQ(each.json.find("sk-hidden"), std::string::npos);
  }
  auto stored = resources_->get("endpoint", "gpu");
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->body.find("sk-hidden"), std::string::npos);
  EXPECT_NE(stored->body.find("sealed:"), std::string::npos);
  EXPECT_EQ(stored_bytes().find("sk-hidden"), std::string::npos);
  EXPECT_FALSE(log_->contains("sk-hidden"));
  // What is shown may be put again: the key stays.
  auto again = put(Kind::endpoint, "gpu", made->json, 1);
  ASSERT_TRUE(again) << again.error().describe();
  ASSERT_TRUE(dispatch("big"));
  EXPECT_EQ(played_->calls().back().api_key, "sk-hidden");
}

TEST_F(RouteControlTest, WhatWasStoredServesAfterARestart) {
  ASSERT_TRUE(put(Kind::endpoint, "gpu", kGpu));
  ASSERT_TRUE(put(Kind::route, "large",
                  R"({"name":"large","targets":[{"endpoint":"gpu","model":"big"}]})"));
  stop();
  ASSERT_TRUE(start(kConfig));
  EXPECT_EQ(text(dispatch("large")), "from 2");
  EXPECT_EQ(played_->calls().back().api_key, "sk-hidden");
  EXPECT_EQ(find(Kind::endpoint, "gpu")->version, 1);
}

TEST_F(RouteControlTest, WhatCannotBeReadIsLeftOutAndSaid) {
  ASSERT_TRUE(put(Kind::endpoint, "gpu", kGpu));
  stop();
  ASSERT_TRUE(resources_->put({"endpoint", "odd", R"({"name":"odd","binding":7})", {}, "x"}));
  ASSERT_TRUE(resources_->put({"route", "odd", R"({"name":"odd"})", {}, "x"}));
  // The key that sealed it is lost.
  auto other = store::Sealer::open(*files_, folder_ / "other.key");
  ASSERT_TRUE(other);
  sealer_ = std::move(*other);
  ASSERT_TRUE(start(kConfig));
  EXPECT_EQ(names(Kind::endpoint), std::vector<std::string>{"e1"});
  EXPECT_EQ(names(Kind::route), std::vector<std::string>{"chat"});
  EXPECT_TRUE(log_->contains("a stored endpoint cannot be used endpoint=gpu"));
  EXPECT_TRUE(log_->contains("a stored endpoint cannot be used endpoint=odd"));
  EXPECT_TRUE(log_->contains("a stored route cannot be used route=odd"));
  EXPECT_EQ(text(dispatch("chat")), "from 1");
}

TEST_F(RouteControlTest, MoreThanOnePageIsRead) {
  stop();
  ASSERT_TRUE(database_->transact([&](store::Connection& connection) -> Result<void> {
    for (int i = 0; i < 1005; ++i) {
      std::string name = fmt::format("r{:04}", i);
      std::string body =
          fmt::format(R"({{"name":"{}","targets":[{{"endpoint":"e1","model":"m"}}]}})", name);
      CORRAL_CHECK(
          connection.run("insert into resources (kind, name, version, body, author, changed_ms) "
                         "values ('route', $1, 1, $2, 'x', 0)",
                         {name, body}));
    }
    return {};
  }));
  ASSERT_TRUE(start(kConfig));
  EXPECT_EQ(list(Kind::route).size(), 1006u);
  EXPECT_EQ(text(dispatch("r1004")), "from 1");
}

TEST_F(RouteControlTest, ADatabaseThatIsGoneIsAnError) {
  ASSERT_TRUE(database_->run("drop table resources"));
  auto put_result = put(Kind::endpoint, "gpu", kGpu);
  EXPECT_FALSE(put_result);
  stop();
  EXPECT_FALSE(start(kConfig));
}

TEST_F(RouteControlTest, TheConfigurationMayBeReadAgain) {
  ASSERT_TRUE(put(Kind::endpoint, "gpu", kGpu));
  ASSERT_TRUE(put(Kind::route, "large",
                  R"({"name":"large","targets":[{"endpoint":"gpu","model":"big"}]})"));
  auto reload = [&](const std::string& yaml) {
    loops_.call(control(), [&] { control_->reload(read(yaml)); });
    settle();
  };
  // A configured endpoint hides the stored one of its name.
  reload(R"(
endpoints: [{name: gpu, binding: openai, url: 'http://h:4', models: [big]}]
gateway: {health: {probe_interval: 0}}
)");
  EXPECT_EQ(text(dispatch("large")), "from 4");
  EXPECT_EQ(dispatch("chat").error().code, ErrorCode::not_found);
  auto conflict = put(Kind::endpoint, "gpu", kGpu);
  ASSERT_FALSE(conflict);
  EXPECT_EQ(conflict.error().code, ErrorCode::conflict);
  EXPECT_EQ(names(Kind::endpoint), std::vector<std::string>{"gpu"});
  // Stored ones that do not fit are said, and what fits serves.
  reload(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', models: [m]}]
routes: [{name: chat, aliases: [large], targets: [{endpoint: e1, model: m}]}]
gateway: {health: {probe_interval: 0}}
)");
  EXPECT_TRUE(log_->contains("do not fit"));
  EXPECT_EQ(text(dispatch("chat")), "from 1");
}

TEST_F(RouteControlTest, ModelsOfOursComeAndGo) {
  EXPECT_EQ(dispatch("tiny").error().code, ErrorCode::not_found);
  auto engine = std::make_shared<Endpoint>(EndpointName("t"), *played_, bindings::EndpointAddress{},
                                           EndpointOptions{2, true, {}});
  source_.set_ready("tiny", {engine, "tiny"});
  auto set = [&](std::vector<LocalModel> models) {
    loops_.call(control(), [&] { control_->set_local_models(std::move(models)); });
    settle();
  };
  set({{"tiny", {"small"}}});
  EXPECT_TRUE(dispatch("small"));
  set({});
  EXPECT_EQ(dispatch("tiny").error().code, ErrorCode::not_found);
}

constexpr const char* kTargetsOfA = R"({"name":"a","targets":[{"endpoint":"e1","model":"m"}])";
constexpr const char* kTargetsOfB = R"({"name":"b","targets":[{"endpoint":"e1","model":"m"}])";

// Each of the two alone is right; together they are a cycle.
TEST_F(RouteControlTest, TwoChangesAtOnceMakeNoCycle) {
  ASSERT_TRUE(put(Kind::route, "a", std::string(kTargetsOfA) + "}"));
  ASSERT_TRUE(put(Kind::route, "b", std::string(kTargetsOfB) + "}"));
  std::optional<Result<Managed>> first, second;
  net::TaskGroup group(control());
  loops_.call(control(), [&] {
    auto of = [](const char* name, const char* targets, const char* fallback) {
      return ManagedChange{Kind::route,
                           name,
                           fmt::format(R"({},"fallbacks":["{}"]}})", targets, fallback),
                           {},
                           "maria"};
    };
    group.spawn(put_and_keep(control_.get(), of("a", kTargetsOfA, "b"), &first));
    group.spawn(put_and_keep(control_.get(), of("b", kTargetsOfB, "a"), &second));
  });
  EXPECT_TRUE(eventually([&] { return loops_.call(control(), [&] { return first && second; }); }));
  loops_.run(control(), group.close());
  settle();
  ASSERT_TRUE(*first) << first->error().describe();
  ASSERT_FALSE(*second);
  EXPECT_EQ(second->error().code, ErrorCode::invalid_argument);
  EXPECT_NE(second->error().message.find("circle"), std::string::npos) << second->error().message;
  EXPECT_EQ(find(Kind::route, "b")->json.find(R"("fallbacks":["a"])"), std::string::npos);
  EXPECT_EQ(text(dispatch("a")), "from 1");
}

// The same with a change of another process that this one has not read yet.
TEST_F(RouteControlTest, AChangeIsCheckedAgainstWhatOthersStoredMeanwhile) {
  ASSERT_TRUE(put(Kind::route, "a", std::string(kTargetsOfA) + "}"));
  ASSERT_TRUE(put(Kind::route, "b", std::string(kTargetsOfB) + "}"));
  auto other = store::Database::open({.url = "sqlite:" + database_file().string()});
  ASSERT_TRUE(other);
  store::Resources theirs(**other, clock_);
  ASSERT_TRUE(theirs.put(
      {"route", "b", std::string(kTargetsOfB) + R"(,"fallbacks":["a"]})", {}, "peer", {}}));
  auto mine = put(Kind::route, "a", std::string(kTargetsOfA) + R"(,"fallbacks":["b"]})");
  ASSERT_FALSE(mine);
  EXPECT_EQ(mine.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(find(Kind::route, "b")->version, 2);  // and theirs is known now
  // What does not touch theirs goes through, though they were quicker.
  ASSERT_TRUE(theirs.put({"route", "b", std::string(kTargetsOfB) + "}", {}, "peer", {}}));
  EXPECT_TRUE(put(Kind::route, "a", std::string(kTargetsOfA) + R"(,"fallbacks":["b"]})"));
  ASSERT_TRUE(theirs.put(
      {"route", "c", R"({"name":"c","targets":[{"endpoint":"e1","model":"m"}]})", {}, "peer", {}}));
  EXPECT_TRUE(remove(Kind::route, "a"));
}

TEST_F(RouteControlTest, WhoeverLeavesTheLineLetsTheNextOneIn) {
  ASSERT_TRUE(put(Kind::route, "a", std::string(kTargetsOfA) + "}"));
  std::optional<Result<Managed>> first, left, last;
  net::TaskGroup staying(control()), leaving(control());
  auto change = [](const char* name) {
    return ManagedChange{
        Kind::route,
        name,
        fmt::format(R"({{"name":"{}","targets":[{{"endpoint":"e1","model":"m"}}]}})", name),
        {},
        "m"};
  };
  loops_.call(control(), [&] {
    staying.spawn(put_and_keep(control_.get(), change("one"), &first));
    leaving.spawn(put_and_keep(control_.get(), change("two"), &left));
    staying.spawn(put_and_keep(control_.get(), change("three"), &last));
    leaving.cancel();
  });
  EXPECT_TRUE(eventually([&] { return loops_.call(control(), [&] { return first && last; }); }));
  loops_.run(control(), staying.close());
  loops_.run(control(), leaving.close());
  settle();
  EXPECT_TRUE(*first);
  EXPECT_TRUE(*last);
  ASSERT_TRUE(left);
  ASSERT_FALSE(*left);
  EXPECT_EQ(left->error().code, ErrorCode::cancelled);
  EXPECT_EQ(names(Kind::route), (std::vector<std::string>{"chat", "a", "one", "three"}));
}

TEST_F(RouteControlTest, WhatAnotherProcessChangesIsFollowed) {
  auto other = store::Database::open({.url = "sqlite:" + database_file().string()});
  ASSERT_TRUE(other);
  store::Resources theirs(**other, clock_);
  ASSERT_TRUE(
      theirs.put({"endpoint",
                  "gpu",
                  R"({"name":"gpu","binding":"openai","url":"http://h:2","models":["big"]})",
                  {},
                  "peer"}));
  EXPECT_TRUE(eventually([&] { return names(Kind::endpoint).size() == 2; }, 15s));
  settle();
  EXPECT_EQ(text(dispatch("big")), "from 2");
}

TEST_F(RouteControlTest, AContainerIsAskedOnlyWhileItAnswers) {
  auto settings = read(R"(
docker: {containers: [{name: boxed, image: x, port: 80, models: [m]}]}
gateway: {health: {probe_interval: 0}, queue_timeout: 20ms}
)");
  auto place = [&](const ContainerPlace& at) {
    loops_.call(control(), [&] { control_->set_containers({{"boxed", at}}); });
    settle();
  };
  loops_.call(control(), [&] { control_->reload(settings); });
  settle();
  EXPECT_NE(dispatch("m").error().message.find("the container boxed: it is not known yet"),
            std::string::npos);
  place({0, "it is starting"});
  EXPECT_NE(dispatch("m").error().message.find("boxed: it is starting"), std::string::npos);
  place({5, ""});
  EXPECT_EQ(text(dispatch("m")), "from 5");
  place({6, ""});
  EXPECT_EQ(text(dispatch("m")), "from 6");
  place({6, "it is being stopped"});
  EXPECT_FALSE(dispatch("m"));
  EXPECT_EQ(registry_->find("boxed")->held(), "the container boxed: it is being stopped");
  EXPECT_TRUE(find(Kind::endpoint, "boxed")->from_config);
  EXPECT_EQ(put(Kind::endpoint, "boxed", kGpu).error().code, ErrorCode::conflict);
}

}  // namespace
}  // namespace corral::gateway::route_control_test
