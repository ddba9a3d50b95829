#include "gateway/core/prefix_affinity.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace corral::gateway::prefix_affinity_test {
namespace {

std::string text_of(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed);
  std::string text;
  while (text.size() < size) text += static_cast<char>('a' + random() % 26);
  return text;
}

PrefixKeys keys_of(std::string_view text, std::uint64_t seed = 1) {
  PrefixHasher hasher(seed);
  hasher.add(text);
  return hasher.finish();
}

std::vector<std::uint64_t> holders(const PrefixAffinity& affinity, const PrefixKeys& keys) {
  auto match = affinity.find(keys);
  return {match.holders().begin(), match.holders().end()};
}

TEST(PrefixHasher, StepsGrowWithTheLength) {
  EXPECT_EQ(PrefixHasher::covered(0), 256u);
  EXPECT_EQ(PrefixHasher::covered(15), 4096u);
  EXPECT_EQ(PrefixHasher::covered(16), 5120u);
  EXPECT_EQ(PrefixHasher::covered(43), 32'768u);
  EXPECT_EQ(PrefixHasher::covered(44), 36'864u);
  EXPECT_EQ(PrefixHasher::covered(99), 262'144u);
  EXPECT_EQ(keys_of(text_of(1, 255)).hashes.size(), 0u);
  EXPECT_EQ(keys_of(text_of(1, 256)).hashes.size(), 1u);
  EXPECT_EQ(keys_of(text_of(1, 5119)).hashes.size(), 16u);
  EXPECT_EQ(keys_of(text_of(1, 5120)).hashes.size(), 17u);
  auto longest = keys_of(text_of(1, 300'000));
  EXPECT_EQ(longest.hashes.size(), PrefixHasher::kMostHashes);
  EXPECT_EQ(longest.bytes, 300'000u);
}

TEST(PrefixHasher, PiecesMakeNoDifference) {
  auto text = text_of(2, 9000);
  auto whole = keys_of(text);
  std::mt19937_64 random(3);
  for (int round = 0; round < 50; ++round) {
    PrefixHasher hasher(1);
    for (std::size_t at = 0; at < text.size();) {
      auto size = std::min<std::size_t>(random() % 700, text.size() - at);
      hasher.add(std::string_view(text).substr(at, size));
      at += size;
    }
    ASSERT_EQ(hasher.finish().hashes, whole.hashes);
    ASSERT_EQ(hasher.finish().bytes, whole.bytes);
  }
}

TEST(PrefixHasher, AHashCoversAllBeforeIt) {
  auto text = text_of(4, 4096);
  auto whole = keys_of(text);
  for (std::size_t at : {0u, 255u, 256u, 2000u, 4095u}) {
    auto other = text;
    other[at] ^= 1;
    auto changed = keys_of(other);
    for (std::size_t i = 0; i < whole.hashes.size(); ++i) {
      ASSERT_EQ(whole.hashes[i] == changed.hashes[i], PrefixHasher::covered(i) <= at) << at;
    }
  }
  EXPECT_NE(keys_of(text, 2).hashes[0], whole.hashes[0]);
}

TEST(PrefixHasher, NoCollisionsAmongSimilarBlocks) {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 20'000; ++i) {
    std::string block(256, '\0');
    block[static_cast<std::size_t>(i % 256)] = static_cast<char>(1 + i / 256);
    seen.insert(keys_of(block).hashes[0]);
  }
  EXPECT_EQ(seen.size(), 20'000u);
}

TEST(PrefixAffinity, FindsTheLongestKnownPrefix) {
  PrefixAffinity affinity;
  auto shared = text_of(1, 3000);
  affinity.learn(keys_of(shared + text_of(2, 2000)), 77);
  auto match = affinity.find(keys_of(shared + text_of(3, 1000)));
  EXPECT_EQ(match.bytes, 2816u);  // 11 blocks of 256
  ASSERT_EQ(match.count, 1u);
  EXPECT_EQ(match.holders()[0], 77u);
  EXPECT_EQ(affinity.find(keys_of(text_of(9, 3000))).count, 0u);
  EXPECT_EQ(affinity.find(keys_of("short")).count, 0u);
}

TEST(PrefixAffinity, ALittleInCommonIsNoMatch) {
  PrefixAffinity affinity;
  auto greeting = text_of(1, 512);
  affinity.learn(keys_of(greeting + text_of(2, 4000)), 1);
  EXPECT_EQ(affinity.find(keys_of(greeting + text_of(3, 4000))).count, 0u);
  EXPECT_EQ(affinity.find(keys_of(greeting + text_of(3, 400))).count, 1u);  // half of it
  auto book = text_of(5, 5000);
  affinity.learn(keys_of(book), 2);
  EXPECT_EQ(affinity.find(keys_of(book + text_of(6, 90'000))).count, 1u);  // 4 KiB
}

TEST(PrefixAffinity, RemembersThreeHoldersNewestFirst) {
  PrefixAffinity affinity;
  auto keys = keys_of(text_of(1, 1000));
  for (std::uint64_t target : {1, 2, 3, 2, 4}) affinity.learn(keys, target);
  EXPECT_EQ(holders(affinity, keys), (std::vector<std::uint64_t>{4, 2, 3}));
}

TEST(PrefixAffinity, ALongerPromptKeepsItsOwnHolder) {
  PrefixAffinity affinity;
  auto shared = text_of(1, 1024);
  auto first = keys_of(shared + text_of(2, 1024));
  auto second = keys_of(shared + text_of(3, 1024));
  affinity.learn(first, 1);
  affinity.learn(second, 2);
  EXPECT_EQ(holders(affinity, first), (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(holders(affinity, second), (std::vector<std::uint64_t>{2}));
  EXPECT_EQ(holders(affinity, keys_of(shared)), (std::vector<std::uint64_t>{2, 1}));
}

TEST(PrefixAffinity, TheForgottenIsNoHolder) {
  PrefixAffinity affinity;
  auto shared = text_of(1, 1024);
  auto longer = keys_of(shared + text_of(2, 512));
  affinity.learn(keys_of(shared), 1);
  affinity.learn(longer, 2);
  affinity.forget(2);
  affinity.forget(99);                 // never heard of
  auto match = affinity.find(longer);  // falls back to what target 1 has seen
  EXPECT_EQ(match.bytes, 1024u);
  EXPECT_EQ(holders(affinity, longer), (std::vector<std::uint64_t>{1}));
  affinity.learn(longer, 2);  // it has the prefix again
  EXPECT_EQ(holders(affinity, longer), (std::vector<std::uint64_t>{2}));
  affinity.forget(1);
  affinity.forget(2);
  EXPECT_TRUE(holders(affinity, longer).empty());
}

TEST(PrefixAffinity, TargetsForgottenOverTheYearsTakeNoMemory) {
  PrefixAffinity affinity;
  auto kept = keys_of(text_of(1, 512));
  affinity.learn(kept, 1);
  auto other = keys_of(text_of(2, 512));
  auto before = affinity.memory_bytes();
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    affinity.learn(other, 100 + i);
    affinity.forget(100 + i);
  }
  EXPECT_LT(affinity.memory_bytes(), before + 64 * 1024);
  EXPECT_EQ(holders(affinity, kept), (std::vector<std::uint64_t>{1}));
  EXPECT_TRUE(holders(affinity, other).empty());
}

TEST(PrefixAffinity, TheLeastRecentPromptMakesRoom) {
  PrefixAffinity affinity({.capacity = 40});
  auto first = keys_of(text_of(1, 256 * 10));
  auto second = keys_of(text_of(2, 256 * 10));
  affinity.learn(first, 1);
  affinity.learn(second, 2);
  affinity.learn(keys_of(text_of(3, 256 * 10)), 3);
  affinity.learn(first, 1);  // asked again
  affinity.learn(keys_of(text_of(4, 256 * 20)), 4);
  EXPECT_EQ(affinity.size(), 40u);
  EXPECT_EQ(affinity.find(first).count, 1u);
  EXPECT_EQ(affinity.find(second).count, 0u);
  // A prompt of more steps than there is room for: its beginning is known.
  PrefixAffinity tiny({.capacity = 3});
  auto book = keys_of(text_of(5, 256 * 10));
  tiny.learn(book, 5);
  EXPECT_EQ(tiny.size(), 3u);
  EXPECT_EQ(tiny.find(keys_of(text_of(5, 256 * 4))).bytes, 768u);
}

// Against a plain model: what was learned last is found, for as long as it fits.
TEST(PrefixAffinity, AgreesWithAPlainModelOverManyRounds) {
  std::mt19937_64 random(5);
  PrefixAffinity affinity({.capacity = 500});
  std::vector<std::pair<PrefixKeys, std::uint64_t>> recent;
  std::uint64_t seed = 100;
  for (int round = 0; round < 3'000; ++round) {
    auto keys = recent.empty() || random() % 3 != 0
                    ? keys_of(text_of(seed++, 256 * (1 + random() % 20)))
                    : recent[random() % recent.size()].first;
    auto target = random() % 10;
    affinity.learn(keys, target);
    std::erase_if(recent, [&](const auto& pair) { return pair.first.hashes == keys.hashes; });
    recent.emplace_back(keys, target);
    if (recent.size() > 25) recent.erase(recent.begin());  // 25 * 20 steps at most
    ASSERT_LE(affinity.size(), 500u);
    const auto& [some, holder] = recent[random() % recent.size()];
    auto match = affinity.find(some);
    ASSERT_GE(match.count, 1u);
    ASSERT_EQ(match.targets[0], holder);
    ASSERT_EQ(match.bytes, PrefixHasher::covered(some.hashes.size() - 1));
  }
}

TEST(PrefixAffinity, StaysSmallWhenFull) {
  PrefixAffinity affinity;
  for (std::uint64_t seed = 0; affinity.size() < 65'536; ++seed) {
    PrefixKeys keys;
    std::mt19937_64 random(seed);
    for (int i = 0; i < 100; ++i) keys.hashes.push_back(random());
    affinity.learn(keys, seed % 5);
  }
  EXPECT_LT(affinity.memory_bytes(), 3u << 20);
}

}  // namespace
}  // namespace corral::gateway::prefix_affinity_test
