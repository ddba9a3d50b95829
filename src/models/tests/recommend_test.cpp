#include "models/core/recommend.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace corral::models::recommend_test {
namespace {

constexpr std::uint64_t kGiB = 1ull << 30;

Candidate candidate(std::string name, double billions, std::string quantization, double bits,
                    std::uint64_t downloads = 0) {
  Candidate out;
  out.name = std::move(name);
  out.parameters = static_cast<std::uint64_t>(billions * 1e9);
  out.quantization = std::move(quantization);
  out.bytes = static_cast<std::uint64_t>(billions * 1e9 * bits / 8);
  out.downloads = downloads;
  return out;
}

std::vector<Candidate> shelf() {
  return {candidate("1b-q8", 1, "Q8_0", 8.5),     candidate("3b-q4", 3, "Q4_K_M", 4.9),
          candidate("8b-q4", 8, "Q4_K_M", 4.9),   candidate("8b-q2", 8, "Q2_K", 3.2),
          candidate("70b-q4", 70, "Q4_K_M", 4.9), candidate("8b-f16", 8, "F16", 16)};
}

Machine machine(std::uint64_t memory, std::uint64_t gpu = 0) {
  Machine out{.cores = 8, .memory = memory};
  if (gpu > 0) out.accelerators.push_back({"CUDA0", "", gpu});
  return out;
}

std::vector<std::string> names(const std::vector<Recommendation>& list) {
  std::vector<std::string> out;
  for (const auto& each : list) out.push_back(each.name);
  return out;
}

bool has(const std::vector<Recommendation>& list, std::string_view name) {
  return std::ranges::find(list, name, &Recommendation::name) != list.end();
}

TEST(Recommend, OnlyWhatFits) {
  const auto small = recommend(shelf(), machine(4 * kGiB), {.slots = 1});
  EXPECT_TRUE(has(small, "1b-q8"));
  EXPECT_FALSE(has(small, "70b-q4"));
  EXPECT_FALSE(has(small, "8b-f16"));
  EXPECT_TRUE(recommend(shelf(), machine(kGiB / 2), {.slots = 1}).empty());
  EXPECT_EQ(recommend(shelf(), machine(512 * kGiB), {.slots = 1}).size(), shelf().size());
  for (const auto& each : small) EXPECT_LE(each.memory, 4 * kGiB) << each.name;
}

TEST(Recommend, ABigAcceleratorMakesBigModelsBest) {
  const auto list = recommend(shelf(), machine(64 * kGiB, 80 * kGiB), {});
  ASSERT_FALSE(list.empty());
  EXPECT_EQ(list.front().name, "70b-q4");
  EXPECT_EQ(list.front().device, "CUDA0");
  EXPECT_NE(list.front().why.find("wholly on CUDA0"), std::string::npos) << list.front().why;
}

TEST(Recommend, OnTheCpuSpeedCounts) {
  const auto list = recommend(shelf(), machine(128 * kGiB), {});
  ASSERT_FALSE(list.empty());
  // 70 billion would fit, but nobody would wait for it.
  EXPECT_NE(list.front().name, "70b-q4");
  const auto big = std::ranges::find(list, "70b-q4", &Recommendation::name);
  ASSERT_NE(big, list.end());
  EXPECT_NE(big->why.find("tokens a second at most"), std::string::npos) << big->why;
}

TEST(Recommend, ABetterQuantizationOfOneModelWins) {
  const auto list = recommend({candidate("q2", 8, "Q2_K", 3.2), candidate("q5", 8, "Q5_K_M", 5.7)},
                              machine(64 * kGiB, 24 * kGiB), {});
  EXPECT_EQ(names(list), (std::vector<std::string>{"q5", "q2"}));
}

TEST(Recommend, DownloadsThenNamesDecideBetweenEquals) {
  const auto list =
      recommend({candidate("c", 3, "Q8_0", 8.5, 5), candidate("b", 3, "Q8_0", 8.5, 5),
                 candidate("a", 3, "Q8_0", 8.5, 1), candidate("d", 3, "Q8_0", 8.5, 9)},
                machine(64 * kGiB), {});
  EXPECT_EQ(names(list), (std::vector<std::string>{"d", "b", "c", "a"}));
}

TEST(Recommend, EveryOneSaysWhy) {
  for (const auto& each : recommend(shelf(), machine(16 * kGiB, 6 * kGiB), {.context = 65536})) {
    EXPECT_NE(each.why.find("parameters"), std::string::npos) << each.name;
    EXPECT_NE(each.why.find("takes"), std::string::npos) << each.name;
    EXPECT_GT(each.score, 0) << each.name;
    EXPECT_GT(each.context, 0u) << each.name;
  }
}

TEST(Recommend, MetadataIsBelievedOverGuesses) {
  Candidate known = candidate("known", 1, "Q8_0", 8.5);
  GgufMetadata metadata;
  metadata.tensor_bytes = 3 * kGiB;  // much more than the guess
  metadata.blocks = 8;
  metadata.kv_heads.assign(8, 1);
  metadata.key_length = metadata.value_length = 64;
  metadata.experts = 8;
  metadata.experts_used = 2;
  known.metadata = std::make_shared<GgufMetadata>(metadata);
  EXPECT_TRUE(recommend({known}, machine(2 * kGiB), {.slots = 1}).empty());
  const auto list = recommend({known}, machine(8 * kGiB), {.slots = 1});
  ASSERT_EQ(list.size(), 1u);
  EXPECT_GT(list.front().memory, 3 * kGiB);
}

TEST(Recommend, NothingKnownButTheBytes) {
  Candidate bare;
  bare.name = "bare";
  bare.bytes = 2 * kGiB;
  const auto list = recommend({bare}, machine(16 * kGiB), {});
  ASSERT_EQ(list.size(), 1u);
  EXPECT_NE(list.front().why.find("billion parameters"), std::string::npos) << list.front().why;
}

}  // namespace
}  // namespace corral::models::recommend_test
