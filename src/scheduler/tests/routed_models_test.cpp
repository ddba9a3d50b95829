#include "scheduler/routed_models.hpp"

#include <gtest/gtest.h>

#include "config/config.hpp"

namespace corral::scheduler::routed_models_test {
namespace {

constexpr const char* kSettings = R"(
endpoints:
  - {name: e1, binding: llamacpp, url: 'http://h1', models: [both, "far=backend"]}
  - {name: e2, binding: openai, url: 'http://h2', models: [far]}
routes:
  - {name: chat, aliases: [gpt], targets: [{endpoint: e1, model: m}, {endpoint: local, model: mine}]}
  - {name: onlyours, targets: [{endpoint: local, model: mine}]}
  - {name: 'open/*', targets: [{endpoint: e2, model: '*'}]}
)";

TEST(RoutedModels, AreWhatOthersAnswerAndWhatRoutesName) {
  auto loaded = config::load({.text = kSettings});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto& settings = loaded->settings;
  std::vector<gateway::LocalModel> local{{"mine", {}}, {"both", {}}};
  auto table = gateway::RouteTable::make({.endpoints = settings.endpoints,
                                          .routes = settings.routes,
                                          .local_models = local,
                                          .gateway = settings.gateway});
  auto since = std::chrono::system_clock::time_point(std::chrono::seconds(7));
  std::string text;
  for (const auto& model : routed_models(*table, since)) {
    EXPECT_EQ(model.source, ModelSource::endpoint);
    EXPECT_EQ(model.state, ModelState::ready);
    EXPECT_EQ(model.modified, since);
    text += model.name + ": " + model.endpoint;
    for (const auto& alias : model.aliases) text += " (" + alias + ")";
    text += "\n";
  }
  // "mine" is a model of ours under its own name; wildcards cannot be listed.
  EXPECT_EQ(text, "chat: e1, local (gpt)\nonlyours: local\nboth: local, e1\nfar: e1, e2\n");
}

}  // namespace
}  // namespace corral::scheduler::routed_models_test
