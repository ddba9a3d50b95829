#include "scheduler/whole_start.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "scheduler/start_plan.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::scheduler::whole_start_test {
namespace {

constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kGiB = 1ull << 30;

models::ModelEntry entry() {
  auto metadata = std::make_shared<models::GgufMetadata>();
  metadata->blocks = 4;
  metadata->kv_heads.assign(4, 4);
  metadata->key_length = metadata->value_length = 64;
  metadata->context_length = 4096;
  metadata->tensor_bytes = 2 * kGiB;
  metadata->places.blocks.assign(4, 500 * kMiB);
  models::ModelEntry out;
  out.name = "m";
  out.state = models::ModelState::usable;
  out.metadata = metadata;
  return out;
}

class WholeStartTest : public testing::Test {
 protected:
  WholeStartTest() { settings_.models.directory = folder_.path().string(); }
  Result<models::StartPlan> plan(const models::ModelEntry& model = entry(),
                                 std::vector<models::Accelerator> accelerators = {}) {
    const models::Machine machine{
        .cores = 4, .memory = 16 * kGiB, .accelerators = std::move(accelerators)};
    return plan_whole_start(settings_, *files_, nullptr, model, engines::Purpose::chat, machine);
  }
  // Where else it could start just as well.
  std::vector<std::string> equals(const std::vector<models::Accelerator>& accelerators) {
    const models::Machine machine{.cores = 4, .memory = 16 * kGiB, .accelerators = accelerators};
    auto best = plan(entry(), accelerators);
    EXPECT_TRUE(best) << best.error().describe();
    std::vector<std::string> names;
    if (!best) return names;
    for (const auto& each : equal_plans(*best, settings_, *files_, nullptr, entry(),
                                        engines::Purpose::chat, machine, {})) {
      EXPECT_EQ(each.shares.size(), 1u);
      EXPECT_EQ(each.projector, best->projector);
      names.push_back(each.device);
    }
    return names;
  }
  static std::string why(const models::StartPlan& plan, std::string_view what) {
    const auto found = std::ranges::find(plan.choices, what, &models::Choice::what);
    return found == plan.choices.end() ? "" : found->value + ": " + found->why;
  }

  sys::TempFolder folder_;
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  config::Settings settings_;
};

TEST_F(WholeStartTest, TheModelsFolderIsInTheDataFolderUnlessNamed) {
  EXPECT_EQ(models_folder(settings_), folder_.path());
  settings_.models.directory.clear();
  settings_.data_dir = "/data";
  EXPECT_EQ(models_folder(settings_), "/data/models");
}

TEST_F(WholeStartTest, TheSettingsProjectorComesBeforeTheOneBeside) {
  models::ModelEntry model = entry();
  model.projector = models::FileIdentity{.path = "/beside/mmproj.gguf", .size = 100 * kMiB};
  auto made = plan(model);
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_EQ(made->projector, "/beside/mmproj.gguf");
  EXPECT_EQ(made->estimate.host.projector, projector_memory(100 * kMiB));

  folder_.put("eyes/own.gguf", "four");
  settings_.models.settings["m"].projector = "eyes/own.gguf";
  made = plan(model);
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_EQ(made->projector, (folder_ / "eyes/own.gguf").string());
  EXPECT_EQ(made->estimate.host.projector, projector_memory(4));
  engines::InstanceSpec spec;
  apply(*made, spec);
  EXPECT_EQ(spec.projector, made->projector);
}

TEST_F(WholeStartTest, AProjectorThatCannotBeSaysSo) {
  for (const char* wrong : {"gone.gguf", "../up.gguf", "/etc/hosts", "."}) {
    settings_.models.settings["m"].projector = wrong;
    auto made = plan();
    ASSERT_FALSE(made) << wrong;
    EXPECT_EQ(made.error().code, ErrorCode::unavailable);
    EXPECT_EQ(made.error().param, "models.settings.m.projector");
  }
}

TEST_F(WholeStartTest, AnEmbeddingNeedsNoProjector) {
  models::ModelEntry model = entry();
  model.projector = models::FileIdentity{.path = "/beside/mmproj.gguf", .size = 100 * kMiB};
  auto made =
      start_plan(settings_, model, engines::Purpose::embedding, {.cores = 4, .memory = 16 * kGiB});
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->projector.empty());
}

TEST_F(WholeStartTest, RpcServersAreThoseOfTheSettings) {
  settings_.models.settings["m"].rpc = {"a:1", "b:2"};
  auto made = plan();
  ASSERT_TRUE(made) << made.error().describe();
  engines::InstanceSpec spec;
  apply(*made, spec);
  EXPECT_EQ(spec.rpc, made->rpc);
  EXPECT_EQ(spec.device, "RPC0,RPC1");
  EXPECT_EQ(spec.gpu_layers, 5u);
  EXPECT_TRUE(spec.device_shares.empty());
  settings_.models.settings["m"].rpc = {"a"};
  made = plan();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::unavailable);
  EXPECT_EQ(made.error().param, "models.settings.m.rpc");
}

TEST_F(WholeStartTest, OtherDevicesThatHoldAsMuchWillDo) {
  folder_.put("own.gguf", "four");
  settings_.models.settings["m"].projector = "own.gguf";
  EXPECT_EQ(equals({{"CUDA0", "", 8 * kGiB},
                    {"CUDA1", "", 1600 * kMiB},  // some of its layers
                    {"CUDA2", "", 4 * kGiB},
                    {"CUDA3", "", kMiB}}),
            std::vector<std::string>{"CUDA2"});
}

TEST_F(WholeStartTest, NoOtherDeviceWillDoWhereOneIsSaid) {
  const std::vector<models::Accelerator> both{{"CUDA0", "", 8 * kGiB}, {"CUDA1", "", 8 * kGiB}};
  EXPECT_EQ(equals(both).size(), 1u);
  auto& own = settings_.models.settings["m"];
  own.device = "CUDA1";
  EXPECT_TRUE(equals(both).empty());
  own.device = models::kHostDevice;
  EXPECT_TRUE(equals(both).empty());
  own = {};
  EXPECT_TRUE(equals({}).empty());
  own.rpc = {"a:1"};
  EXPECT_TRUE(equals(both).empty());
  own = {};
  settings_.scheduler.pools["fast"] = {"CUDA1", 6 * kGiB};  // a pool is on one device
  own.pool = "fast";
  EXPECT_TRUE(equals(both).empty());
}

TEST_F(WholeStartTest, NoOtherDeviceWillDoForOneOverSeveral) {
  EXPECT_TRUE(equals({{"CUDA0", "", 1600 * kMiB}, {"CUDA1", "", 2000 * kMiB}}).empty());
}

TEST_F(WholeStartTest, LayersOverTwoAreToldToTheEngine) {
  auto made = plan(entry(), {{"CUDA0", "", 1600 * kMiB}, {"CUDA1", "", 2000 * kMiB}});
  ASSERT_TRUE(made) << made.error().describe();
  ASSERT_EQ(made->shares.size(), 2u);
  engines::InstanceSpec spec;
  apply(*made, spec);
  EXPECT_EQ(spec.device, "CUDA0,CUDA1");
  EXPECT_EQ(spec.device_shares,
            std::to_string(made->shares[0].layers) + "," + std::to_string(made->shares[1].layers));
  EXPECT_EQ(spec.gpu_layers, 5u);
  EXPECT_EQ(spec.memory, made->host_bytes);
}

TEST_F(WholeStartTest, LimitsAreTold) {
  auto made = plan();
  ASSERT_TRUE(made);
  EXPECT_TRUE(why(*made, "limit of memory").contains("kept by watch"));
  EXPECT_TRUE(why(*made, "limit of processors").empty());
  settings_.llama_server.cpu_limit = 2.5;
  settings_.llama_server.io_weight = 30;
  made = plan();
  ASSERT_TRUE(made);
  EXPECT_EQ(why(*made, "limit of processors"), "2.5: as asked; kept by threads");
  EXPECT_EQ(why(*made, "weight with the disk"), "30: as asked; kept by priority");
  EXPECT_EQ(made->threads, 3u);
  settings_.llama_server.limits = false;
  made = plan();
  ASSERT_TRUE(made);
  EXPECT_TRUE(why(*made, "limit of memory").empty());
  explain_limits(settings_, {.processors = sys::LimitWay::control_group_1}, *made);
  EXPECT_TRUE(made->choices[made->choices.size() - 2].why.contains("cgroup v1"));
}

}  // namespace
}  // namespace corral::scheduler::whole_start_test
