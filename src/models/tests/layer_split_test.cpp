#include "models/core/layer_split.hpp"

#include <gtest/gtest.h>

#include <random>

#include "models/core/plan.hpp"

namespace corral::models::layer_split_test {
namespace {

constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kGiB = 1ull << 30;

// 32 blocks of 110 MiB and an output layer.
GgufMetadata model() {
  GgufMetadata out;
  out.blocks = 32;
  out.embedding_length = 4096;
  out.feed_forward_length = 14336;
  out.heads = 32;
  out.kv_heads.assign(32, 8);
  out.key_length = out.value_length = 128;
  out.vocabulary = 128'000;
  out.context_length = 131'072;
  out.places.blocks.assign(32, 110 * kMiB);
  out.places.output = 300 * kMiB;
  out.tensor_bytes = 32 * 110 * kMiB + 600 * kMiB;
  return out;
}

MemoryRequest request() { return {.context = 4096, .slots = 1, .batch = 256}; }

std::uint64_t layers_of(const std::vector<DeviceShare>& shares) {
  std::uint64_t out = 0;
  for (const auto& each : shares) out += each.layers;
  return out;
}

TEST(LayerSplit, TheLargestIsFilledFirstAndHoldsTheOutput) {
  const auto shares =
      split_layers(model(), request(),
                   {{"CUDA0", "", 3 * kGiB}, {"CUDA1", "", 4 * kGiB}, {"CUDA2", "", kGiB}}, 33, 0);
  ASSERT_EQ(shares.size(), 2u);  // the third is not needed
  EXPECT_EQ(shares[0].device, "CUDA0");
  EXPECT_EQ(shares[1].device, "CUDA1");
  EXPECT_GT(shares[1].layers, shares[0].layers);
  EXPECT_EQ(layers_of(shares), 33u);
  EXPECT_EQ(shares[0].parts.output, 0u);
  EXPECT_GT(shares[1].parts.output, 0u);
  for (const auto& each : shares) {
    EXPECT_LE(each.bytes, each.memory);
    EXPECT_EQ(each.bytes, each.parts.total());
    EXPECT_GT(each.parts.program, 0u);
    EXPECT_GT(each.parts.compute, 0u);
  }
  // Together they hold what one would.
  MemoryRequest all = request();
  all.gpu_layers = 33;
  const auto alone = estimate_memory(model(), all).device;
  EXPECT_EQ(shares[0].parts.weights + shares[1].parts.weights, alone.weights);
  EXPECT_EQ(shares[0].parts.kv_cache + shares[1].parts.kv_cache, alone.kv_cache);
}

TEST(LayerSplit, OneIsEnoughWhereItHoldsAll) {
  const auto shares =
      split_layers(model(), request(), {{"A", "", 2 * kGiB}, {"B", "", 64 * kGiB}}, 33, 0);
  ASSERT_EQ(shares.size(), 1u);
  EXPECT_EQ(shares[0].device, "B");
}

TEST(LayerSplit, WhatNobodyHoldsIsLeftOut) {
  const auto some =
      split_layers(model(), request(), {{"A", "", 2 * kGiB}, {"B", "", 2 * kGiB}}, 33, 0);
  EXPECT_LT(layers_of(some), 33u);
  EXPECT_GT(layers_of(some), 8u);
  EXPECT_TRUE(split_layers(model(), request(), {{"A", "", 10 * kMiB}}, 33, 0).empty());
  EXPECT_TRUE(split_layers(model(), request(), {}, 33, 0).empty());
  EXPECT_EQ(layers_of(split_layers(model(), request(), {{"A", "", 64 * kGiB}}, 5, 0)), 5u);
}

TEST(LayerSplit, WhatSomebodySaidIsSharedOutByLayers) {
  const auto shares =
      split_layers(model(), request(), {{"A", "", 20 * kGiB}, {"B", "", 20 * kGiB}}, 33, 33 * kGiB);
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[1].layers, 20u);
  EXPECT_EQ(shares[1].bytes, 20 * kGiB);
  EXPECT_EQ(shares[0].layers, 13u);
  EXPECT_EQ(shares[0].bytes, 13 * kGiB);
}

Machine two(std::uint64_t first, std::uint64_t second) {
  return {.cores = 8,
          .memory = 64 * kGiB,
          .accelerators = {{"CUDA0", "X", first}, {"CUDA1", "X", second}}};
}

std::string why(const StartPlan& plan, std::string_view what) {
  for (const auto& each : plan.choices) {
    if (each.what == what) return each.value + ": " + each.why;
  }
  return "(no such choice)";
}

TEST(SpreadPlan, LayersAreSpreadOnlyWhereNoneAloneHasRoom) {
  auto plan = plan_start(model(), two(3 * kGiB, 4 * kGiB), {.context = 4096, .slots = 1});
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->device, "CUDA0,CUDA1");
  EXPECT_EQ(plan->gpu_layers, 33u);
  ASSERT_EQ(plan->shares.size(), 2u);
  EXPECT_EQ(plan->device_bytes, plan->shares[0].bytes + plan->shares[1].bytes);
  EXPECT_EQ(plan->estimate.device.total(), plan->device_bytes);
  EXPECT_TRUE(why(*plan, "device").contains("CUDA1 would hold")) << why(*plan, "device");
  EXPECT_TRUE(why(*plan, "layers").contains("on CUDA0, ")) << why(*plan, "layers");
  EXPECT_FALSE(why(*plan, "memory of CUDA0").contains("no such"));
  EXPECT_FALSE(why(*plan, "memory of CUDA1").contains("no such"));

  plan = plan_start(model(), two(3 * kGiB, 24 * kGiB), {.context = 4096, .slots = 1});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->device, "CUDA1");
  EXPECT_EQ(plan->shares.size(), 1u);
}

TEST(SpreadPlan, WhatTheyDoNotHoldStaysOnTheHost) {
  const auto plan = plan_start(model(), two(2 * kGiB, 2 * kGiB), {.context = 4096, .slots = 1});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->shares.size(), 2u);
  EXPECT_LT(plan->gpu_layers, 33u);
  EXPECT_TRUE(why(*plan, "layers").contains("together they hold no more"));
  EXPECT_GT(plan->estimate.host.weights, 0u);
}

TEST(SpreadPlan, ADeviceThatIsNamedStandsAlone) {
  const auto plan = plan_start(model(), two(3 * kGiB, 4 * kGiB),
                               {.context = 4096, .slots = 1, .device = "CUDA0"});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->device, "CUDA0");
}

TEST(SpreadPlan, LayersThatAreAskedForCanBeSpread) {
  auto plan =
      plan_start(model(), two(3 * kGiB, 4 * kGiB), {.context = 4096, .slots = 1, .gpu_layers = 33});
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->gpu_layers, 33u);
  EXPECT_EQ(plan->shares.size(), 2u);
  EXPECT_TRUE(why(*plan, "layers").contains("as asked"));
  plan = plan_start(model(), two(kGiB, kGiB), {.context = 4096, .slots = 1, .gpu_layers = 33});
  EXPECT_FALSE(plan);
}

TEST(RpcPlan, AllLayersGoToTheServersAndTheHostIsCounted) {
  StartWishes wishes{.context = 4096, .slots = 1, .rpc = {"a:1", "b:2"}};
  Machine machine = two(3 * kGiB, 4 * kGiB);
  auto plan = plan_start(model(), machine, wishes);
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->device, "RPC0,RPC1");
  EXPECT_EQ(plan->rpc, wishes.rpc);
  EXPECT_EQ(plan->gpu_layers, 33u);
  EXPECT_TRUE(plan->shares.empty());
  EXPECT_TRUE(why(*plan, "device").contains("a:1, b:2"));
  EXPECT_FALSE(why(*plan, "memory elsewhere").empty());
  EXPECT_EQ(plan->estimate.device.program, 0u);
  EXPECT_EQ(plan->device_bytes, plan->estimate.device.total());
  EXPECT_LT(plan->host_bytes, 2 * kGiB);
  wishes.gpu_layers = 8;
  plan = plan_start(model(), machine, wishes);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->gpu_layers, 8u);
  wishes.device = "cpu";
  EXPECT_EQ(plan_start(model(), machine, wishes).error().code, ErrorCode::invalid_argument);
  wishes.device.clear();
  machine.memory = kMiB;
  EXPECT_EQ(plan_start(model(), machine, wishes).error().code, ErrorCode::unavailable);
}

TEST(ProjectorPlan, ItIsCountedWhereTheModelIs) {
  StartWishes wishes{.context = 4096, .slots = 1};
  wishes.projector = 900 * kMiB;
  wishes.projector_file = "/m/mmproj-x.gguf";
  auto plan = plan_start(model(), {.cores = 8, .memory = 64 * kGiB}, wishes);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->estimate.host.projector, 900 * kMiB);
  EXPECT_EQ(plan->projector, "/m/mmproj-x.gguf");
  EXPECT_TRUE(why(*plan, "projector").starts_with("mmproj-x.gguf: "));
  plan = plan_start(model(), two(3 * kGiB, 5 * kGiB), wishes);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->estimate.device.projector, 900 * kMiB);
  EXPECT_EQ(plan->shares.back().parts.projector, 900 * kMiB);
  wishes.rpc = {"a:1"};
  plan = plan_start(model(), two(3 * kGiB, 5 * kGiB), wishes);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->estimate.host.projector, 900 * kMiB);
}

TEST(ThreadsPlan, FewerThanCoresWhereProcessorsAreLimited) {
  const auto plan = plan_start(model(), {.cores = 8, .memory = 64 * kGiB}, {.most_threads = 2});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->threads, 2u);
  EXPECT_TRUE(why(*plan, "threads").contains("cpu_limit"));
}

// No device is overdrawn, and every layer is somewhere.
TEST(SpreadPlanProperty, NothingIsOverdrawn) {
  std::mt19937_64 random(5);
  auto pick = [&](std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>(low, high)(random);
  };
  for (int i = 0; i < 300; ++i) {
    std::vector<Accelerator> devices;
    for (std::uint64_t n = pick(1, 6); n > 0; --n) {
      devices.push_back({"D" + std::to_string(n), "", pick(0, 3 * kGiB)});
    }
    const std::uint64_t wanted = pick(0, 40);
    const auto shares = split_layers(model(), request(), devices, wanted, 0);
    EXPECT_LE(layers_of(shares), std::min<std::uint64_t>(wanted, 33));
    for (const auto& each : shares) {
      EXPECT_GT(each.layers, 0u);
      EXPECT_LE(each.bytes, each.memory);
    }
  }
}

}  // namespace
}  // namespace corral::models::layer_split_test
