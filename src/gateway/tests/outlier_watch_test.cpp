#include "gateway/outlier_watch.hpp"

#include <gtest/gtest.h>

#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway::outlier_watch_test {
namespace {

class OutlierWatchTest : public GatewayTest {
 protected:
  void with(const std::string& health) {
    configure(fmt::format(R"(
endpoints:
  - {{name: e1, binding: openai, url: 'http://h:1'}}
  - {{name: e2, binding: openai, url: 'http://h:2'}}
  - {{name: e3, binding: openai, url: 'http://h:3'}}
routes:
  - name: chat
    targets: [{{endpoint: e1, model: m}}, {{endpoint: e2, model: m}}, {{endpoint: e3, model: m}},
              {{endpoint: local, model: tiny}}]
gateway: {{breaker: {{failures: 1000, error_rate: 1, min_volume: 1000000}}, health: {{{}}}}}
)",
                          health),
              {{"tiny", {}}});
  }
  void requests(const std::string& name, int count, Outcome outcome) {
    auto state = target(name, "m");
    for (int i = 0; i < count; ++i) {
      auto now = std::chrono::steady_clock::now();
      auto permit = state->try_pass(now);
      ASSERT_TRUE(permit);
      state->report(std::move(permit), outcome, now);
    }
  }
  void look() {
    loops_.call(control(), [&] { watch_.look(*dispatcher_.routing()); });
  }
  std::vector<std::string> resting() {
    return loops_.call(control(), [&] {
      std::vector<std::string> names;
      for (const auto& view : registry_->view()) {
        if (view.health == HealthState::ejected) names.push_back(view.settings.name);
      }
      return names;
    });
  }
  OutlierWatch watch_{*registry_};
};

TEST_F(OutlierWatchTest, OneThatFailsFarMoreThanTheOthersRests) {
  with("probe_interval: 1h");
  for (const char* name : {"e1", "e2", "e3"}) requests(name, 30, Outcome::success);
  look();
  EXPECT_TRUE(resting().empty());
  requests("e1", 30, Outcome::success);
  requests("e3", 30, Outcome::success);
  requests("e2", 30, Outcome::server_error);
  look();
  EXPECT_EQ(resting(), std::vector<std::string>{"e2"});
  EXPECT_FALSE(endpoint("e2")->up());
  EXPECT_TRUE(log_->contains("endpoint health endpoint=e2 from=healthy to=ejected"));
  // It is not ejected again while it rests.
  look();
  EXPECT_EQ(resting(), std::vector<std::string>{"e2"});
}

TEST_F(OutlierWatchTest, OnlyWhatIsNewCounts) {
  with("probe_interval: 1h");
  requests("e2", 19, Outcome::server_error);
  for (const char* name : {"e1", "e3"}) requests(name, 30, Outcome::success);
  look();  // too few requests to say anything
  EXPECT_TRUE(resting().empty());
  requests("e2", 10, Outcome::server_error);
  for (const char* name : {"e1", "e3"}) requests(name, 30, Outcome::success);
  look();
  EXPECT_TRUE(resting().empty());
}

TEST_F(OutlierWatchTest, WithoutChecksNothingIsEjected) {
  with("probe_interval: 0");
  for (const char* name : {"e1", "e3"}) requests(name, 30, Outcome::success);
  requests("e2", 30, Outcome::timeout);
  look();
  EXPECT_TRUE(resting().empty());  // nothing would bring it back
  loops_.call(control(), [&] { registry_->eject("nothing"); });
}

}  // namespace
}  // namespace corral::gateway::outlier_watch_test
