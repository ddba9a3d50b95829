#include "scheduler/catalog.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace corral::scheduler::catalog_test {
namespace {

ModelStatus model(std::string name, std::vector<std::string> aliases = {},
                  ModelState state = ModelState::unloaded) {
  ModelStatus status;
  status.name = std::move(name);
  status.aliases = std::move(aliases);
  status.state = state;
  return status;
}

Catalog catalog(std::vector<ModelStatus> models) {
  return Catalog(std::make_shared<const ModelTable>(std::move(models), std::vector<std::string>{}));
}

std::string found(const Catalog& catalog, std::string_view name) {
  const auto* status = catalog.find(name);
  return status == nullptr ? "-" : status->name;
}

TEST(Catalog, FindsByNameAliasCaseAndTag) {
  auto all = catalog({model("Zeta-7B"), model("alpha", {"Chat", "gpt-4o"})});
  for (auto name :
       {"alpha", "ALPHA", "alpha:latest", "Alpha:Latest", "chat", "CHAT:latest", "gpt-4o"}) {
    EXPECT_EQ(found(all, name), "alpha") << name;
  }
  EXPECT_EQ(found(all, "zeta-7b"), "Zeta-7B");
  for (auto name :
       {"", "alph", "alpha:", "alpha:7b", ":latest", "zeta 7b", "alpha:latest:latest"}) {
    EXPECT_EQ(found(all, name), "-") << name;
  }
}

TEST(Catalog, NamesGoBeforeAliasesAndExactBeforeCase) {
  auto all =
      catalog({model("model", {"other"}), model("Model"), model("other"), model("x:latest")});
  EXPECT_EQ(found(all, "model"), "model");
  EXPECT_EQ(found(all, "Model"), "Model");
  EXPECT_EQ(found(all, "other"), "other");
  EXPECT_EQ(found(all, "x"), "x:latest");
  EXPECT_EQ(found(all, "x:latest"), "x:latest");
}

TEST(Catalog, IsSortedByName) {
  auto all = catalog({model("c"), model("a"), model("b")});
  EXPECT_EQ(all.models[0].name, "a");
  EXPECT_EQ(all.models[2].name, "c");
}

TEST(Catalog, WhatChangesLiesOverTheTable) {
  auto before = catalog({model("b"), model("a", {"first"}), model("c")});
  Catalog after = before;
  after.models.change(0, model("a", {"first"}, ModelState::ready));
  EXPECT_EQ(after.find("FIRST")->state, ModelState::ready);
  EXPECT_EQ(before.find("first")->state, ModelState::unloaded);
  EXPECT_EQ(after.find("b"), before.find("b")) << "the others are the very same";
  std::string states;
  for (const auto& each : after.models)
    states += each.name + " " + std::string(to_string(each.state)) + ", ";
  EXPECT_EQ(states, "a ready, b unloaded, c unloaded, ");
  auto it = std::ranges::upper_bound(after.models, "a", {}, &ModelStatus::name);
  EXPECT_EQ(it->name, "b");
  EXPECT_EQ(after.models.end() - it, 2);
  EXPECT_EQ(it[1].name, "c");
}

TEST(Catalog, AnUnknownModelGetsAHint) {
  auto all = catalog(
      {model("llama-3.2-1b"), model("qwen", {"chat"}), model("broken", {}, ModelState::unusable)});
  Error near = all.unknown_model("lama-3.2-1b");
  EXPECT_EQ(near.code, ErrorCode::not_found);
  EXPECT_EQ(near.param, "model");
  EXPECT_TRUE(near.message.contains("lama-3.2-1b"));
  EXPECT_EQ(near.hint_text, "did you mean llama-3.2-1b?");
  EXPECT_EQ(all.unknown_model("zzzzzzzzzzzz").hint_text, "there are: chat, llama-3.2-1b, qwen");
  EXPECT_TRUE(catalog({}).unknown_model("x").hint_text.contains("no models"));
  EXPECT_TRUE(catalog({model("broken", {}, ModelState::unusable)})
                  .unknown_model("x")
                  .hint_text.contains("no models"));
}

TEST(Catalog, HostileNamesAreCutInTheMessage) {
  Error error = catalog({model("a")}).unknown_model(std::string(100'000, 'x'));
  EXPECT_LT(error.message.size(), 300u);
}

class TargetSetTest : public testing::Test {
 protected:
  gateway::Target target(const std::string& name, std::size_t capacity) {
    return {std::make_shared<gateway::Endpoint>(EndpointName(name), *bindings_.find("llamacpp"),
                                                bindings::EndpointAddress{},
                                                gateway::EndpointOptions{capacity, true, {}}),
            "m"};
  }
  bindings::BindingSet bindings_;
};

TEST_F(TargetSetTest, TheLeastBusyPartIsChosen) {
  auto small = target("small", 2);
  auto large = target("large", 4);
  TargetSet set(small);
  set.add(large);
  EXPECT_EQ(set.size(), 2u);
  EXPECT_EQ(set.choose().endpoint, small.endpoint);  // the first of equals
  auto one = set.choose().endpoint->try_acquire();
  EXPECT_EQ(set.choose().endpoint, large.endpoint);
  auto two = large.endpoint->try_acquire();
  EXPECT_EQ(set.choose().endpoint, large.endpoint);  // a quarter against a half
  auto three = large.endpoint->try_acquire();
  EXPECT_EQ(set.choose().endpoint, small.endpoint);
}

TEST_F(TargetSetTest, AClosedOneOnlyIfAllAre) {
  auto first = target("first", 1);
  auto second = target("second", 1);
  TargetSet set(first);
  set.add(second);
  auto busy = second.endpoint->try_acquire();
  first.endpoint->close();
  EXPECT_EQ(set.choose().endpoint, second.endpoint);
  second.endpoint->close();
  EXPECT_TRUE(set.choose().endpoint->closed());
  first.endpoint->reopen();
  EXPECT_EQ(set.choose().endpoint, first.endpoint);
}

TEST(Catalog, TargetsByOperation) {
  Catalog all;
  all.text_targets.emplace("a", gateway::Target{nullptr, "text"});
  all.embedding_targets.emplace("a", gateway::Target{nullptr, "embedding"});
  EXPECT_EQ(all.targets(inference::Operation::chat).at("a").model(), "text");
  EXPECT_EQ(all.targets(inference::Operation::completion).at("a").model(), "text");
  EXPECT_EQ(all.targets(inference::Operation::embedding).at("a").choose().backend_model,
            "embedding");
}

TEST(Catalog, DescribesAFile) {
  models::ModelEntry entry;
  entry.name = "m";
  entry.bytes = 7;
  entry.state = models::ModelState::usable;
  auto metadata = std::make_shared<models::GgufMetadata>();
  metadata->architecture = "llama";
  metadata->context_length = 2048;
  entry.metadata = metadata;
  auto status = describe_model(entry);
  EXPECT_EQ(status.state, ModelState::unloaded);
  EXPECT_EQ(status.architecture, "llama");
  EXPECT_EQ(status.context_length, 2048u);
  EXPECT_EQ(status.size_bytes, 7u);
  using Names = std::vector<std::string_view>;
  EXPECT_EQ(capabilities_of(status), (Names{"chat"}));
  entry.projector = models::FileIdentity{};
  EXPECT_EQ(capabilities_of(describe_model(entry)), (Names{"chat", "vision"}));
  auto embedder = std::make_shared<models::GgufMetadata>();
  embedder->pooling = "mean";
  entry.metadata = embedder;
  EXPECT_EQ(capabilities_of(describe_model(entry)), (Names{"embedding"}));
  EXPECT_EQ(capabilities_of(ModelStatus()), Names());
  entry.state = models::ModelState::unusable;
  entry.metadata.reset();
  entry.problem = fail(ErrorCode::invalid_argument, "cut").hint("again");
  EXPECT_EQ(describe_model(entry).state, ModelState::unusable);
  EXPECT_EQ(describe_model(entry).error, "cut (again)");
}

TEST(Catalog, StatesHaveNames) {
  for (auto state : {ModelState::unloaded, ModelState::loading, ModelState::ready,
                     ModelState::unloading, ModelState::failed, ModelState::unusable}) {
    EXPECT_NE(to_string(state), "unknown");
  }
}

}  // namespace
}  // namespace corral::scheduler::catalog_test
