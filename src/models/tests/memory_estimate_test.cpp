#include "models/memory_estimate.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace corral::models {
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
    EXPECT_NEAR(got.kv_cache / kMiB, row.kv, 0.1) << row.what << " " << row.context;
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
  EXPECT_DOUBLE_EQ(estimate_memory(model, request).kv_cache / kMiB, 40.0);
  request.unified_cache = true;
  EXPECT_DOUBLE_EQ(estimate_memory(model, request).kv_cache / kMiB, 25.0);
}

TEST(MemoryEstimate, ComputeGrowsWithTheBatch) {
  const auto model = shaped(358, 12, 1024, 16, 16, 2688);
  const auto at = [&](std::uint64_t batch) {
    return estimate_memory(model, {.context = 2048, .slots = 1, .batch = batch}).compute / kMiB;
  };
  EXPECT_NEAR(at(128), 6.6, 0.1);
  EXPECT_NEAR(at(512), 26.5, 0.1);
  EXPECT_NEAR(at(2048), 106, 0.5);
}

TEST(MemoryEstimate, WithoutFlashAttentionTheScoresAreKept) {
  const auto model = shaped(358, 12, 1024, 16, 16, 2688);
  const auto got = estimate_memory(
      model, {.context = 16384, .slots = 1, .batch = 512, .flash_attention = false});
  EXPECT_NEAR(got.compute / kMiB, 558, 10);
}

TEST(MemoryEstimate, PromptCacheAndOutputAreCounted) {
  const auto model = shaped(10, 2, 64, 4, 4, 128);
  const auto one = estimate_memory(model, {.context = 256, .slots = 1, .batch = 64});
  const auto four =
      estimate_memory(model, {.context = 256, .slots = 4, .batch = 64, .prompt_cache = 1 << 20});
  EXPECT_EQ(one.output * 4, four.output);
  EXPECT_EQ(one.kv_cache * 4, four.kv_cache);
  EXPECT_EQ(four.prompt_cache, 1u << 20);
  EXPECT_EQ(four.total(), four.private_bytes() + four.weights);
}

TEST(MemoryEstimate, HostileFiguresDoNotWrap) {
  auto model = shaped(0, 4096, 1 << 26, 1, 1 << 26, 1 << 26);
  model.tensor_bytes = std::numeric_limits<std::uint64_t>::max();
  model.vocabulary = std::numeric_limits<std::uint64_t>::max();
  const auto got = estimate_memory(
      model, {.context = std::numeric_limits<std::uint64_t>::max(), .slots = 1u << 31});
  EXPECT_EQ(got.total(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_GT(got.kv_cache, 1ull << 62);
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

}  // namespace
}  // namespace corral::models
