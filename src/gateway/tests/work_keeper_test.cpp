// What is learned is kept over a restart, and the requests notice nothing of it.
#include "gateway/work_keeper.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/gateway_fixture.hpp"
#include "store/migrations.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::gateway::work_keeper_test {
namespace {

constexpr const char* kConfig = R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1'}]
gateway: {health: {probe_interval: 0}}
)";
constexpr Work kWork{inference::Operation::chat, false, 100};

class WorkKeeperTest : public GatewayTest {
 protected:
  void SetUp() override {
    auto opened = store::Database::open({.url = "sqlite:" + (folder_ / "corral.db").string()});
    ASSERT_TRUE(opened) << opened.error().describe();
    database_ = std::move(*opened);
    ASSERT_TRUE(store::migrate(*database_, store::schema_migrations(), clock_));
    configure(kConfig);
    begin();
  }
  void TearDown() override {
    end();
    GatewayTest::TearDown();
  }

  void begin() {
    keeper_ = std::make_unique<WorkKeeper>(WorkKeeperParts{*registry_,
                                                           {*database_, clock_, "here"},
                                                           control(),
                                                           pool_,
                                                           telemetry::Logger(log_, "gateway"),
                                                           5ms});
  }
  static net::Task<void> recall(WorkKeeper* keeper) { co_await keeper->recall(); }
  static net::Task<void> stop(WorkKeeper* keeper) { co_await keeper->stop(); }
  void end() {
    if (keeper_ == nullptr) return;
    loops_.run(control(), stop(keeper_.get()));
    keeper_.reset();
  }
  void teach(std::chrono::seconds took) {
    auto state = target("e1", "m");
    auto now = std::chrono::steady_clock::now();
    state->end_work(state->begin_work(kWork, now), now + took, true);
  }
  std::vector<LearnedWork> stored() {
    return LearnedWorkStore(*database_, clock_, "here").all().value_or(std::vector<LearnedWork>());
  }

  sys::TempFolder folder_;
  sys::RealClock clock_;
  std::unique_ptr<store::Database> database_;
  net::BlockingPool pool_{1};
  std::unique_ptr<WorkKeeper> keeper_;
};

TEST_F(WorkKeeperTest, WritesNowAndThen) {
  loops_.call(control(), [&] { keeper_->start(); });
  teach(3s);
  EXPECT_TRUE(eventually([&] { return stored().size() == 1; }));
  teach(3s);
  EXPECT_TRUE(eventually([&] { return stored().at(0).estimate.kept().at(0).requests == 2; }));
}

TEST_F(WorkKeeperTest, WritesTheRestAtTheEndAndReadsItAtTheStart) {
  teach(3s);
  end();
  ASSERT_EQ(stored().size(), 1u);
  // Another process.
  loops_.run(control(), stop_registry(registry_.get()));
  loops_.call(control(), [&] {
    registry_ = std::make_unique<EndpointRegistry>(
        RegistryParts{control(), bindings_, telemetry::Logger(log_, "gateway"), [] {}, {}});
  });
  begin();
  loops_.run(control(), recall(keeper_.get()));
  configure(kConfig);
  EXPECT_EQ(target("e1", "m")->expect(kWork), 3s);
}

TEST_F(WorkKeeperTest, WhatCouldNotBeWrittenIsWrittenLater) {
  ASSERT_TRUE(database_->run("alter table learned_work rename to away"));
  loops_.call(control(), [&] { keeper_->start(); });
  teach(3s);
  EXPECT_TRUE(eventually([&] { return log_->contains("cannot be kept"); }));
  ASSERT_TRUE(database_->run("alter table away rename to learned_work"));
  EXPECT_TRUE(eventually([&] { return stored().size() == 1; }));
}

TEST_F(WorkKeeperTest, WhatCannotBeReadIsLearnedAnew) {
  ASSERT_TRUE(database_->run("drop table learned_work"));
  loops_.run(control(), recall(keeper_.get()));
  EXPECT_TRUE(log_->contains("learned anew"));
  EXPECT_FALSE(target("e1", "m")->expect(kWork));
}

}  // namespace
}  // namespace corral::gateway::work_keeper_test
