#include "models/core/plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "models/core/smaller_model.hpp"

namespace corral::models::plan_test {
namespace {

constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kGiB = 1ull << 30;

// About 7 billion parameters at 4.5 bits: 32 blocks, 8 of 32 heads for keys and values.
GgufMetadata seven_billion() {
  GgufMetadata out;
  out.parameters = 7'000'000'000;
  out.blocks = 32;
  out.embedding_length = 4096;
  out.feed_forward_length = 14336;
  out.heads = 32;
  out.kv_heads.assign(32, 8);
  out.key_length = out.value_length = 128;
  out.vocabulary = 128'000;
  out.context_length = 131'072;
  out.places.blocks.assign(32, 110 * kMiB);
  out.places.repacked.assign(32, 90 * kMiB);
  out.places.output = 300 * kMiB;
  out.tensor_bytes = 32 * 110 * kMiB + 600 * kMiB;
  out.repacked_bytes = 32 * 90 * kMiB;
  return out;
}

Machine host(std::uint64_t memory) { return {.cores = 8, .memory = memory}; }

Machine with_gpu(std::uint64_t memory, std::uint64_t gpu) {
  return {.cores = 8, .memory = memory, .accelerators = {{"CUDA0", "NVIDIA X", gpu}}};
}

const Choice* choice(const StartPlan& plan, std::string_view what) {
  const auto found = std::ranges::find(plan.choices, what, &Choice::what);
  return found == plan.choices.end() ? nullptr : &*found;
}

std::string why(const StartPlan& plan, std::string_view what) {
  const Choice* found = choice(plan, what);
  return found == nullptr ? "(no such choice)" : found->why;
}

TEST(Plan, WithRoomForAllEverythingIsAsAsked) {
  const auto plan = plan_start(seven_billion(), host(64 * kGiB), {.context = 8192, .slots = 4});
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->device, "cpu");
  EXPECT_EQ(plan->gpu_layers, 0u);
  EXPECT_EQ(plan->context, 8192u);
  EXPECT_EQ(plan->slots, 4u);
  EXPECT_EQ(plan->threads, 8u);
  EXPECT_EQ(plan->batch, 256u);
  EXPECT_EQ(plan->cache, CacheType::f16);
  EXPECT_TRUE(plan->repack);
  EXPECT_EQ(plan->device_bytes, 0u);
  EXPECT_EQ(plan->host_bytes, plan->estimate.host.total());
  EXPECT_EQ(why(*plan, "slots"), "as asked");
  EXPECT_EQ(why(*plan, "context"), "as asked");
  EXPECT_NE(why(*plan, "device").find("no accelerator"), std::string::npos);
  EXPECT_NE(why(*plan, "threads").find("8 physical cores"), std::string::npos);
}

TEST(Plan, NeverMoreContextThanTheModelsOwn) {
  auto model = seven_billion();
  model.context_length = 2048;
  const auto plan = plan_start(model, host(64 * kGiB), {.context = 8192, .slots = 1});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->context, 2048u);
  EXPECT_EQ(why(*plan, "context"), "asked 8192; the model was trained for no more than 2048");
  model.context_length = 0;  // not said
  EXPECT_EQ(plan_start(model, host(64 * kGiB), {.context = 8192, .slots = 1})->context, 8192u);
}

TEST(Plan, SlotsAreGivenUpBeforeContext) {
  // 4 slots of 8192 take 4 GiB of cache, 2 take 2.
  const auto plan =
      plan_start(seven_billion(), host(9 * kGiB + 512 * kMiB), {.context = 8192, .slots = 4});
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->slots, 2u);
  EXPECT_EQ(plan->context, 8192u);
  EXPECT_NE(why(*plan, "slots").find("asked 4; 4 would need 1"), std::string::npos)
      << why(*plan, "slots");
  EXPECT_NE(why(*plan, "slots").find("of 9.5 GiB"), std::string::npos) << why(*plan, "slots");
}

TEST(Plan, ContextIsGivenUpBeforeTheRearrangedCopy) {
  const auto plan =
      plan_start(seven_billion(), host(7 * kGiB + 512 * kMiB), {.context = 8192, .slots = 4});
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->slots, 1u);
  EXPECT_LT(plan->context, 8192u);
  EXPECT_TRUE(plan->repack);
  EXPECT_NE(why(*plan, "context").find("asked 8192 a slot would need"), std::string::npos)
      << why(*plan, "context");
}

TEST(Plan, TheRearrangedCopyIsGivenUpLast) {
  const auto plan = plan_start(seven_billion(), host(5 * kGiB), {.context = 4096, .slots = 2});
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->slots, 1u);
  EXPECT_EQ(plan->context, kLeastContext);
  EXPECT_FALSE(plan->repack);
  EXPECT_NE(why(*plan, "repack").find("would need"), std::string::npos);
}

TEST(Plan, TheCacheShrinksOnlyWhereAllowed) {
  auto model = seven_billion();
  model.repacked_bytes = 0;
  model.places.repacked.clear();
  model.kv_heads.assign(32, 32);
  model.key_length = model.value_length = 512;  // 1 GiB for 512 tokens
  StartWishes wishes{.context = 2048, .slots = 1};
  const std::uint64_t little = model.tensor_bytes + 800 * kMiB;
  EXPECT_FALSE(plan_start(model, host(little), wishes));
  wishes.smaller_cache = true;
  const auto plan = plan_start(model, host(little), wishes);
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->cache, CacheType::q8_0);
  EXPECT_NE(why(*plan, "cache").find("f16 would need"), std::string::npos) << why(*plan, "cache");
  const auto less = plan_start(model, host(model.tensor_bytes + 500 * kMiB), wishes);
  ASSERT_TRUE(less) << less.error().describe();
  EXPECT_EQ(less->cache, CacheType::q4_0);
}

TEST(Plan, AQuantizedCacheNeedsHeadsOfThirtyTwo) {
  auto model = seven_billion();
  model.key_length = model.value_length = 80;
  const auto plan = plan_start(model, host(64 * kGiB), {.cache = CacheType::q8_0});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(plan.error().param, "cache_type");
  EXPECT_NE(plan.error().message.find("80"), std::string::npos);
  EXPECT_TRUE(plan_start(model, host(64 * kGiB), {.cache = CacheType::bf16}));
}

TEST(Plan, AllLayersGoToAnAcceleratorThatHoldsThem) {
  const auto plan =
      plan_start(seven_billion(), with_gpu(8 * kGiB, 24 * kGiB), {.context = 8192, .slots = 4});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->device, "CUDA0");
  EXPECT_EQ(plan->gpu_layers, 33u);
  EXPECT_EQ(plan->slots, 4u);
  EXPECT_EQ(why(*plan, "layers"), "all of them fit");
  EXPECT_EQ(choice(*plan, "device")->value, "CUDA0 (NVIDIA X)");
  EXPECT_EQ(plan->estimate.host.repacked, 0u);
  EXPECT_LE(plan->device_bytes, 24 * kGiB);
}

TEST(Plan, WhatAnAcceleratorDoesNotHoldStaysOnTheHost) {
  const auto plan =
      plan_start(seven_billion(), with_gpu(32 * kGiB, 3 * kGiB), {.context = 4096, .slots = 1});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->device, "CUDA0");
  EXPECT_GT(plan->gpu_layers, 5u);
  EXPECT_LT(plan->gpu_layers, 33u);
  EXPECT_NE(why(*plan, "layers").find("of 3.0 GiB there"), std::string::npos)
      << why(*plan, "layers");
  // One layer more would be too much.
  const auto more = plan_start(seven_billion(), with_gpu(32 * kGiB, 3 * kGiB),
                               {.context = 4096, .slots = 1, .gpu_layers = plan->gpu_layers + 1});
  EXPECT_TRUE(!more || more->context < 4096u);
}

TEST(Plan, AnAcceleratorWithoutRoomIsLeftAlone) {
  const auto plan = plan_start(seven_billion(), with_gpu(32 * kGiB, 100 * kMiB), {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->device, "cpu");
  EXPECT_NE(why(*plan, "device").find("no accelerator has room"), std::string::npos);
}

TEST(Plan, TheAcceleratorThatHoldsMostIsTaken) {
  Machine machine{.cores = 4,
                  .memory = 32 * kGiB,
                  .accelerators = {{"CUDA0", "", 2 * kGiB}, {"CUDA1", "", 24 * kGiB}}};
  EXPECT_EQ(plan_start(seven_billion(), machine, {})->device, "CUDA1");
  machine.accelerators.push_back({"CUDA2", "", 48 * kGiB});
  const auto plan = plan_start(seven_billion(), machine, {});
  EXPECT_EQ(plan->device, "CUDA2");
  EXPECT_NE(why(*plan, "device").find("most layers"), std::string::npos);
}

TEST(Plan, DeviceAndLayersCanBeDemanded) {
  const Machine machine = with_gpu(32 * kGiB, 24 * kGiB);
  EXPECT_EQ(plan_start(seven_billion(), machine, {.device = "cpu"})->device, "cpu");
  EXPECT_EQ(plan_start(seven_billion(), machine, {.gpu_layers = 0})->device, "cpu");
  const auto ten = plan_start(seven_billion(), machine, {.device = "CUDA0", .gpu_layers = 10});
  ASSERT_TRUE(ten);
  EXPECT_EQ(ten->gpu_layers, 10u);
  EXPECT_EQ(why(*ten, "layers"), "as asked");
  EXPECT_EQ(why(*ten, "device"), "as asked");
  EXPECT_EQ(plan_start(seven_billion(), machine, {.gpu_layers = 99})->gpu_layers, 33u);
  // Demanded layers are kept; slots and context make room for them.
  const auto tight = plan_start(seven_billion(), with_gpu(32 * kGiB, 6 * kGiB),
                                {.context = 32768, .slots = 4, .gpu_layers = 33});
  ASSERT_TRUE(tight) << tight.error().describe();
  EXPECT_EQ(tight->gpu_layers, 33u);
  EXPECT_EQ(tight->slots, 1u);
}

TEST(Plan, LayersWithoutAnAcceleratorRunOnTheHost) {
  const auto plan = plan_start(seven_billion(), host(32 * kGiB), {.gpu_layers = 10});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->device, "cpu");
  EXPECT_EQ(plan->gpu_layers, 0u);
}

TEST(Plan, AnUnknownDeviceNamesThoseThatAre) {
  const auto plan =
      plan_start(seven_billion(), with_gpu(32 * kGiB, 24 * kGiB), {.device = "CUDA7"});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::not_found);
  EXPECT_NE(plan.error().hint_text.find("cpu, CUDA0"), std::string::npos);
}

TEST(Plan, WhatDoesNotFitSaysWhatWould) {
  const auto plan = plan_start(seven_billion(), host(3 * kGiB), {.context = 4096, .slots = 4});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::unavailable);
  EXPECT_EQ(plan.error().param, "model");
  EXPECT_NE(plan.error().message.find("1 slot of 512 tokens"), std::string::npos);
  EXPECT_NE(plan.error().message.find("of 3.0 GiB that engines may use"), std::string::npos);
  EXPECT_NE(plan.error().hint_text.find("this model at Q2_K"), std::string::npos)
      << plan.error().hint_text;
  EXPECT_NE(plan.error().hint_text.find("billion parameters at Q4_K_M"), std::string::npos);
  const auto tiny = plan_start(seven_billion(), host(200 * kMiB), {});
  ASSERT_FALSE(tiny);
  EXPECT_NE(tiny.error().hint_text.find("not even Q2_K"), std::string::npos)
      << tiny.error().hint_text;
  const auto none = plan_start(seven_billion(), host(10 * kMiB), {});
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().hint_text.find("too little for any"), std::string::npos)
      << none.error().hint_text;
}

TEST(Plan, ADemandedAcceleratorThatIsTooSmallIsAnError) {
  const auto plan = plan_start(seven_billion(), with_gpu(32 * kGiB, 1 * kGiB),
                               {.device = "CUDA0", .gpu_layers = 33});
  ASSERT_FALSE(plan);
  EXPECT_NE(plan.error().message.find("on CUDA0, of 1.0 GiB there"), std::string::npos)
      << plan.error().message;
}

TEST(Plan, MemoryThatSomebodyMeasuredIsBelieved) {
  const auto plan = plan_start(seven_billion(), host(2 * kGiB), {.memory = kGiB});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->host_bytes, kGiB);
  EXPECT_EQ(plan->context, 4096u);
  EXPECT_NE(why(*plan, "memory of the host").find("as said"), std::string::npos);
  EXPECT_FALSE(plan_start(seven_billion(), host(2 * kGiB), {.memory = 3 * kGiB}));
  const auto gpu = plan_start(seven_billion(), with_gpu(8 * kGiB, 2 * kGiB), {.memory = kGiB + 1});
  ASSERT_TRUE(gpu);
  EXPECT_EQ(gpu->device_bytes, kGiB + 1);
  EXPECT_EQ(gpu->gpu_layers, 33u);
}

TEST(Plan, AnEmbeddingIsOneStep) {
  const auto plan = plan_start(seven_billion(), host(64 * kGiB),
                               {.context = 8192, .slots = 1, .embedding = true});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->batch, 8192u);
  EXPECT_NE(why(*plan, "batch").find("one step"), std::string::npos);
}

TEST(Plan, NumaNodesAreTold) {
  Machine machine = host(64 * kGiB);
  machine.numa_nodes = 2;
  EXPECT_NE(why(*plan_start(seven_billion(), machine, {}), "threads").find("2 NUMA"),
            std::string::npos);
  EXPECT_EQ(why(*plan_start(seven_billion(), machine, {.threads = 3}), "threads"), "as asked");
}

// --- properties, over made-up models and machines

struct Case {
  GgufMetadata model;
  Machine machine;
  StartWishes wishes;
};

Case random_case(std::mt19937_64& random) {
  const auto pick = [&](std::uint64_t least, std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>(least, most)(random);
  };
  Case out;
  auto& model = out.model;
  model.blocks = static_cast<std::uint32_t>(pick(1, 80));
  model.kv_heads.assign(model.blocks, static_cast<std::uint32_t>(pick(0, 16)));
  model.key_length = model.value_length = static_cast<std::uint32_t>(pick(1, 8) * 32);
  model.embedding_length = pick(1, 64) * 128;
  model.feed_forward_length = pick(1, 128) * 128;
  model.vocabulary = pick(1, 200'000);
  model.context_length = pick(0, 1) * pick(256, 200'000);
  model.places.output = pick(0, kGiB);
  model.tensor_bytes = model.places.output;
  for (std::uint32_t i = 0; i < model.blocks; ++i) {
    model.places.blocks.push_back(pick(0, 400 * kMiB));
    model.places.repacked.push_back(pick(0, 1) * model.places.blocks.back());
    model.tensor_bytes += model.places.blocks.back();
    model.repacked_bytes += model.places.repacked.back();
  }
  model.parameters = model.tensor_bytes * 2;
  if (pick(0, 2) == 0) {
    model.sliding_window = 1024;
    for (std::uint32_t i = 0; i < model.blocks; ++i) model.sliding.push_back(i % 6 < 5);
  }
  out.machine.cores = static_cast<unsigned>(pick(0, 64));
  out.machine.memory = pick(0, 64 * kGiB);
  for (std::uint64_t i = pick(0, 3); i > 0; --i) {
    out.machine.accelerators.push_back({"CUDA" + std::to_string(i), "", pick(0, 48 * kGiB)});
  }
  out.wishes.context = pick(0, 100'000);
  out.wishes.slots = pick(0, 16);
  out.wishes.checkpoints = pick(0, 2);
  out.wishes.smaller_cache = pick(0, 1) == 1;
  out.wishes.embedding = pick(0, 5) == 0;
  if (pick(0, 4) == 0) out.wishes.gpu_layers = pick(0, 90);
  if (pick(0, 6) == 0) out.wishes.device = "cpu";
  return out;
}

TEST(PlanProperty, NeverOverBudgetAndEveryChoiceExplained) {
  std::mt19937_64 random(7);
  int made = 0;
  for (int i = 0; i < 600; ++i) {
    const Case each = random_case(random);
    const auto plan = plan_start(each.model, each.machine, each.wishes);
    if (!plan) {
      EXPECT_FALSE(plan.error().message.empty());
      EXPECT_FALSE(plan.error().hint_text.empty());
      continue;
    }
    ++made;
    EXPECT_LE(plan->host_bytes, each.machine.memory);
    EXPECT_LE(plan->estimate.host.total(), each.machine.memory);
    std::uint64_t layers = 0, on_devices = 0;
    for (const DeviceShare& share : plan->shares) {
      const auto& all = each.machine.accelerators;
      const auto there = std::ranges::find(all, share.device, &Accelerator::name);
      ASSERT_NE(there, all.end());
      EXPECT_LE(share.bytes, there->memory);
      layers += share.layers;
      on_devices += share.bytes;
    }
    EXPECT_EQ(layers, plan->gpu_layers);
    EXPECT_EQ(on_devices, plan->device_bytes);
    EXPECT_LE(plan->slots, std::max<std::uint64_t>(each.wishes.slots, 1));
    EXPECT_LE(plan->context, std::max<std::uint64_t>(each.wishes.context, 1));
    if (each.model.context_length != 0) EXPECT_LE(plan->context, each.model.context_length);
    EXPECT_LE(plan->gpu_layers, all_layers(each.model));
    EXPECT_EQ(plan->gpu_layers == 0, plan->device == kHostDevice);
    for (const char* what :
         {"device", "slots", "context", "cache", "threads", "batch", "memory of the host"}) {
      EXPECT_NE(choice(*plan, what), nullptr) << what;
    }
    for (const Choice& told : plan->choices) {
      EXPECT_FALSE(told.value.empty()) << told.what;
      EXPECT_FALSE(told.why.empty()) << told.what;
    }
    if (plan->slots < each.wishes.slots) EXPECT_NE(why(*plan, "slots"), "as asked");
    if (plan->context < each.wishes.context) EXPECT_NE(why(*plan, "context"), "as asked");
  }
  EXPECT_GT(made, 150);
}

TEST(PlanProperty, MoreMemoryNeverGivesLess) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 150; ++i) {
    Case each = random_case(random);
    bool fitted = false;
    std::uint64_t slots = 0, context = 0;
    for (int step = 0; step < 8; ++step) {
      const auto plan = plan_start(each.model, each.machine, each.wishes);
      EXPECT_TRUE(plan || !fitted) << "fitted into less";
      if (plan) {
        fitted = true;
        EXPECT_GE(plan->slots, slots);
        EXPECT_GE(plan->context, context);
        slots = plan->slots;
        context = plan->context;
      }
      each.machine.memory += each.machine.memory / 2 + kGiB;
      for (auto& device : each.machine.accelerators) device.memory += device.memory / 2 + kGiB;
    }
  }
}

TEST(PlanProperty, HostileFiguresEndInAnAnswer) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  GgufMetadata model;
  model.blocks = 4096;
  model.kv_heads.assign(4096, 1u << 26);
  model.key_length = model.value_length = 1u << 26;
  model.embedding_length = model.feed_forward_length = model.vocabulary = kMost;
  model.tensor_bytes = model.repacked_bytes = model.parameters = kMost;
  model.places.blocks.assign(4096, kMost);
  const Machine machine = with_gpu(kMost - 1, kMost - 1);
  const auto plan = plan_start(model, machine, {.context = kMost, .slots = kMost});
  EXPECT_FALSE(plan);
  EXPECT_TRUE(plan_start(GgufMetadata{}, host(kGiB), {}));
}

TEST(SmallerModel, KnowsQuantizations) {
  EXPECT_EQ(best_quantization(100)->name, "BF16");
  EXPECT_EQ(best_quantization(5)->name, "Q4_K_M");
  EXPECT_FALSE(best_quantization(1));
  EXPECT_EQ(find_quantization("q4_k_m")->name, "Q4_K_M");
  EXPECT_FALSE(find_quantization("Q9"));
}

}  // namespace
}  // namespace corral::models::plan_test
