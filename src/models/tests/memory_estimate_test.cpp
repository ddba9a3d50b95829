#include "models/memory_estimate.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace corral::models::memory_estimate_test {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

GgufMetadata shaped(double weights, unsigned blocks, unsigned width, unsigned heads,
                    unsigned kv_heads, unsigned forward) {
  GgufMetadata out;
  out.tensor_bytes = static_cast<std::uint64_t>(weights * kMiB);
  out.blocks = blocks;
  out.embedding_length = width;
  out.heads = heads;
  out.kv_heads.assign(blocks, kv_heads);
  out.key_length = out.value_length = width / heads;
  out.feed_forward_length = forward;
  out.vocabulary = 32'000;
  return out;
}

struct Measured {
  const char* what;
  GgufMetadata model;
  std::uint64_t context;
  CacheType cache;
  double kv;         // MiB, as the engine's log says
  double predicted;  // MiB, all in all
  double resident;   // MiB, as measured
};

std::vector<Measured> measured() {
  const auto dense = shaped(358, 12, 1024, 16, 16, 2688);
  const auto grouped = shaped(204, 12, 1024, 16, 4, 2688);
  auto repacked = shaped(108, 12, 1024, 16, 4, 2688);
  repacked.repacked_bytes = static_cast<std::uint64_t>(73 * kMiB);
  auto experts = shaped(234, 8, 512, 8, 2, 512);
  experts.experts = 16;
  experts.experts_used = 2;
  auto sliding = shaped(200, 12, 768, 4, 1, 2048);
  sliding.key_length = sliding.value_length = 256;
  sliding.sliding_window = 512;
  for (int i = 0; i < 12; ++i) sliding.sliding.push_back(i % 6 < 5);
  using enum CacheType;
  return {
      {"dense", dense, 2048, f16, 96, 502, 501},
      {"dense", dense, 2048, q8_0, 51, 457, 454},
      {"dense", dense, 16384, f16, 768, 1188, 1174},
      {"dense", dense, 16384, q8_0, 408, 828, 814},
      {"grouped heads", grouped, 2048, f16, 24, 276, 277},
      {"grouped heads", grouped, 16384, f16, 192, 458, 446},
      {"grouped heads", grouped, 16384, q8_0, 102, 368, 356},
      {"repacked", repacked, 2048, f16, 24, 253, 249},
      {"repacked", repacked, 16384, q8_0, 102, 345, 328},
      {"experts", experts, 2048, f16, 8, 276, 274},
      {"experts", experts, 16384, f16, 64, 346, 330},
      {"sliding", sliding, 2048, f16, 14, 257, 269},
      {"sliding", sliding, 16384, f16, 42, 299, 298},
      {"sliding", sliding, 16384, q8_0, 22.3, 279, 274},
  };
}

TEST(MemoryEstimate, AgreesWithWhatWasMeasured) {
  for (const Measured& row : measured()) {
    const auto got = estimate_memory(
        row.model,
        {.context = row.context, .slots = 1, .batch = 512, .keys = row.cache, .values = row.cache});
    EXPECT_NEAR(got.host.kv_cache / kMiB, row.kv, 0.1) << row.what << " " << row.context;
    EXPECT_NEAR(got.total() / kMiB, row.predicted, 1.0) << row.what << " " << row.context;
    EXPECT_LT(std::abs(got.total() / kMiB - row.resident) / row.resident, 0.06)
        << row.what << " " << row.context;
  }
}

TEST(MemoryEstimate, RoundsEachSlotUp) {
  EXPECT_EQ(cache_cells({.context = 334, .slots = 3}), 1536u);
  EXPECT_EQ(cache_cells({.context = 256, .slots = 1}), 256u);
  EXPECT_EQ(cache_cells({.context = 0, .slots = 4}), 0u);
}

TEST(MemoryEstimate, SlidingBlocksOfFourSlotsDependOnSharing) {
  auto model = shaped(200, 10, 768, 4, 1, 2048);
  model.key_length = model.value_length = 256;
  model.sliding_window = 512;
  model.sliding.assign(10, true);
  MemoryRequest request{.context = 4096, .slots = 4, .batch = 512};
  EXPECT_DOUBLE_EQ(estimate_memory(model, request).host.kv_cache / kMiB, 40.0);
  request.unified_cache = true;
  EXPECT_DOUBLE_EQ(estimate_memory(model, request).host.kv_cache / kMiB, 25.0);
}

TEST(MemoryEstimate, ComputeGrowsWithTheBatch) {
  const auto model = shaped(358, 12, 1024, 16, 16, 2688);
  const auto at = [&](std::uint64_t batch) {
    return estimate_memory(model, {.context = 2048, .slots = 1, .batch = batch}).host.compute /
           kMiB;
  };
  EXPECT_NEAR(at(128), 6.6, 0.1);
  EXPECT_NEAR(at(512), 26.5, 0.1);
  EXPECT_NEAR(at(2048), 106, 0.5);
}

TEST(MemoryEstimate, WithoutFlashAttentionTheScoresAreKept) {
  const auto model = shaped(358, 12, 1024, 16, 16, 2688);
  const auto got = estimate_memory(
      model, {.context = 16384, .slots = 1, .batch = 512, .flash_attention = false});
  EXPECT_NEAR(got.host.compute / kMiB, 558, 10);
}

TEST(MemoryEstimate, PromptCacheAndOutputAreCounted) {
  const auto model = shaped(10, 2, 64, 4, 4, 128);
  const auto one = estimate_memory(model, {.context = 256, .slots = 1, .batch = 64});
  const auto four =
      estimate_memory(model, {.context = 256, .slots = 4, .batch = 64, .prompt_cache = 1 << 20});
  EXPECT_EQ(one.host.output * 4, four.host.output);
  EXPECT_EQ(one.host.kv_cache * 4, four.host.kv_cache);
  EXPECT_EQ(four.host.prompt_cache, 1u << 20);
  EXPECT_EQ(four.total(), four.host.private_bytes() + four.host.weights);
}

TEST(MemoryEstimate, HostileFiguresDoNotWrap) {
  auto model = shaped(0, 4096, 1 << 26, 1, 1 << 26, 1 << 26);
  model.tensor_bytes = std::numeric_limits<std::uint64_t>::max();
  model.vocabulary = std::numeric_limits<std::uint64_t>::max();
  const auto got = estimate_memory(
      model, {.context = std::numeric_limits<std::uint64_t>::max(), .slots = 1u << 31});
  EXPECT_EQ(got.total(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_GT(got.host.kv_cache, 1ull << 62);
}

TEST(MemoryEstimate, KnowsTheSizeOfEachCacheType) {
  using enum CacheType;
  EXPECT_EQ(cache_bytes(f32), 4.0);
  EXPECT_EQ(cache_bytes(bf16), 2.0);
  EXPECT_EQ(cache_bytes(q8_0), 34.0 / 32);
  EXPECT_EQ(cache_bytes(q5_1), 24.0 / 32);
  EXPECT_EQ(cache_bytes(q5_0), 22.0 / 32);
  EXPECT_EQ(cache_bytes(q4_1), 20.0 / 32);
  EXPECT_EQ(cache_bytes(q4_0), 18.0 / 32);
  EXPECT_EQ(cache_bytes(iq4_nl), 18.0 / 32);
}

// Four blocks of 100 MiB, of which the CPU copies 80, an output layer of 50 and an embedding of 50.
GgufMetadata placed() {
  auto out = shaped(500, 4, 1024, 16, 4, 2816);
  const auto mib = [](double value) { return static_cast<std::uint64_t>(value * kMiB); };
  out.places.blocks.assign(4, mib(100));
  out.places.repacked.assign(4, mib(80));
  out.places.output = mib(50);
  out.places.output_repacked = mib(40);
  out.repacked_bytes = mib(360);
  return out;
}

MemoryEstimate offloaded(const GgufMetadata& model, std::uint64_t layers) {
  return estimate_memory(model, {.context = 2048, .slots = 2, .batch = 256, .gpu_layers = layers});
}

TEST(MemoryEstimate, WithoutAnAcceleratorAllIsOnTheHost) {
  const auto got = offloaded(placed(), 0);
  EXPECT_EQ(got.device, MemoryParts{});
  EXPECT_DOUBLE_EQ(got.host.weights / kMiB, 500);
  EXPECT_DOUBLE_EQ(got.host.repacked / kMiB, 360);
  EXPECT_EQ(got.total(), got.host.total());
}

TEST(MemoryEstimate, TheOutputLayerGoesFirstThenTheLastBlocks) {
  const auto one = offloaded(placed(), 1);
  EXPECT_DOUBLE_EQ(one.device.weights / kMiB, 50);
  EXPECT_DOUBLE_EQ(one.host.weights / kMiB, 450);
  EXPECT_DOUBLE_EQ(one.host.repacked / kMiB, 320);
  EXPECT_EQ(one.device.kv_cache, 0u);
  EXPECT_EQ(one.device.compute, one.host.compute);
  const auto three = offloaded(placed(), 3);
  EXPECT_DOUBLE_EQ(three.device.weights / kMiB, 250);
  EXPECT_DOUBLE_EQ(three.host.weights / kMiB, 250);
  EXPECT_DOUBLE_EQ(three.host.repacked / kMiB, 160);
  EXPECT_EQ(three.device.kv_cache, three.host.kv_cache);
  EXPECT_GT(three.device.program, 0u);
}

TEST(MemoryEstimate, WithAllLayersAwayTheHostKeepsTheEmbedding) {
  const auto all = offloaded(placed(), 5);
  EXPECT_DOUBLE_EQ(all.device.weights / kMiB, 450);
  EXPECT_DOUBLE_EQ(all.host.weights / kMiB, 50);
  EXPECT_EQ(all.host.repacked, 0u);
  EXPECT_EQ(all.host.kv_cache, 0u);
  EXPECT_LT(all.host.compute, all.device.compute);
  EXPECT_EQ(offloaded(placed(), 99), all);
  EXPECT_EQ(all_layers(placed()), 5u);
}

TEST(MemoryEstimate, ASharedEmbeddingIsCopied) {
  auto model = placed();
  model.places.shared_output = true;
  const auto all = offloaded(model, 5);
  EXPECT_DOUBLE_EQ(all.device.weights / kMiB, 450);
  EXPECT_DOUBLE_EQ(all.host.weights / kMiB, 100);
}

TEST(MemoryEstimate, WithoutTheRearrangedCopy) {
  const auto got = estimate_memory(placed(), {.context = 2048, .repack = false});
  EXPECT_EQ(got.host.repacked, 0u);
}

TEST(MemoryEstimate, TheProjectorLiesWithTheLayers) {
  const auto model = placed();
  EXPECT_EQ(estimate_memory(model, {.projector = 7}).host.projector, 7u);
  const auto away = estimate_memory(model, {.projector = 7, .gpu_layers = 5});
  EXPECT_EQ(away.host.projector, 0u);
  EXPECT_EQ(away.device.projector, 7u);
}

TEST(MemoryEstimate, CheckpointsAreOfWhatForgets) {
  auto model = shaped(200, 4, 768, 4, 1, 2048);
  MemoryRequest request{.context = 4096, .slots = 2, .batch = 256, .checkpoints = 3};
  EXPECT_EQ(estimate_memory(model, request).host.checkpoints, 0u);
  model.sliding_window = 512;
  model.sliding = {true, true, true, false};
  const auto got = estimate_memory(model, request).host;
  const double sliding = 3.0 * 2 * 768 * (192 * 4);  // blocks, slots, cells, bytes
  EXPECT_EQ(got.checkpoints, static_cast<std::uint64_t>(sliding) * 3);
}

TEST(MemoryEstimate, RecurrentBlocksKeepAStateForEachSlot) {
  auto model = shaped(200, 4, 768, 4, 1, 2048);
  model.kv_heads.assign(4, 0);
  model.state_bytes = 1000;
  const auto got = estimate_memory(model, {.context = 4096, .slots = 3, .checkpoints = 2});
  EXPECT_EQ(got.host.kv_cache, 3000u);
  EXPECT_EQ(got.host.checkpoints, 6000u);
  const auto half =
      estimate_memory(model, {.context = 4096, .slots = 3, .checkpoints = 2, .gpu_layers = 3});
  EXPECT_EQ(half.device.kv_cache, 1500u);
  EXPECT_EQ(half.host.kv_cache, 1500u);
}

TEST(MemoryEstimate, SlidingBlocksMayHaveHeadsOfTheirOwn) {
  auto model = shaped(200, 2, 512, 4, 1, 2048);
  model.sliding_window = 256;
  model.sliding = {true, false};
  model.sliding_key_length = 64;
  const auto got = estimate_memory(model, {.context = 4096, .slots = 1, .batch = 256});
  EXPECT_EQ(got.host.kv_cache, 512u * (64 + 128) * 2 + 4096u * (128 + 128) * 2);
}

TEST(MemoryEstimate, CacheTypesHaveTheEnginesNames) {
  for (const char* name :
       {"f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"}) {
    const auto type = parse_cache_type(name);
    ASSERT_TRUE(type) << name;
    EXPECT_EQ(to_string(*type), name);
  }
  EXPECT_FALSE(parse_cache_type("q3"));
  EXPECT_FALSE(parse_cache_type(""));
  EXPECT_TRUE(is_quantized(CacheType::q8_0));
  EXPECT_FALSE(is_quantized(CacheType::bf16));
}

}  // namespace
}  // namespace corral::models::memory_estimate_test
