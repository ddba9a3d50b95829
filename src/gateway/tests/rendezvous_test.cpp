#include "gateway/core/rendezvous.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace corral::gateway::rendezvous_test {
namespace {

Rendezvous members(std::size_t count, std::uint32_t weights) {
  Rendezvous rendezvous;
  for (std::size_t i = 0; i < count; ++i) {
    rendezvous.add(i, 1000 + i, static_cast<std::uint32_t>(1 + i % weights));
  }
  return rendezvous;
}

// The key's whole order: whoever is first once those before it are gone.
std::vector<std::size_t> order_of(Rendezvous& rendezvous, std::size_t count, std::uint64_t key) {
  std::vector<std::size_t> order;
  std::vector<bool> gone(count);
  for (;;) {
    auto first = rendezvous.rank(key, [&](std::size_t index) { return !gone[index]; }).first;
    if (!first.found()) return order;
    order.push_back(first.index);
    gone[first.index] = true;
  }
}

TEST(Rendezvous, WithNobodyThereIsNoFirst) {
  Rendezvous rendezvous;
  auto result = rendezvous.rank(1, [](std::size_t) { return true; });
  EXPECT_FALSE(result.first.found());
  EXPECT_FALSE(result.home.found());
}

// Whoever may be chosen, the first of them in the key's order is: a member that comes or goes moves
// nobody else's keys. All sizes of batches are met: a hundred that are refused before the first.
TEST(Rendezvous, EachKeyHasOneOrderWhoeverIsAccepted) {
  std::mt19937_64 random(7);
  for (std::size_t count : {1, 2, 7, 63, 64, 65, 400}) {
    auto rendezvous = members(count, 4);
    for (std::uint64_t key = 0; key < 5; ++key) {
      auto order = order_of(rendezvous, count, key);
      ASSERT_EQ(order.size(), count);
      for (int round = 0; round < 20; ++round) {
        std::vector<bool> accepted(count);
        auto odds = 1 + random() % 200;
        for (std::size_t i = 0; i < count; ++i) accepted[i] = random() % odds == 0;
        auto result = rendezvous.rank(key, [&](std::size_t index) { return accepted[index]; });
        ASSERT_EQ(result.home.index, order[0]);
        auto expected = std::ranges::find_if(order, [&](auto index) { return accepted[index]; });
        ASSERT_EQ(result.first.found(), expected != order.end());
        if (result.first.found()) {
          ASSERT_EQ(result.first.index, *expected);
        }
      }
    }
  }
}

// As above for members that join: what was second of all stays before what was third.
TEST(Rendezvous, ANewMemberTakesKeysButMovesNoOthers) {
  auto before = members(200, 3);
  auto after = members(201, 3);
  int taken = 0;
  for (std::uint64_t key = 0; key < 5000; ++key) {
    auto all = [](std::size_t) { return true; };
    auto now = after.rank(key, all).first.index;
    if (now == 200) {
      ++taken;
    } else {
      ASSERT_EQ(now, before.rank(key, all).first.index);
    }
  }
  EXPECT_NEAR(taken, 5000 * 3.0 / 402, 20);  // its weight of all weights
}

TEST(Rendezvous, WeightsAreKeptAmongAThousand) {
  auto rendezvous = members(1000, 5);
  std::vector<int> by_weight(6);
  std::mt19937_64 random(5);
  for (int i = 0; i < 6'000; ++i) {
    ++by_weight[1 + rendezvous.rank(random(), [](std::size_t) { return true; }).first.index % 5];
  }
  for (int weight = 1; weight <= 5; ++weight) {
    EXPECT_NEAR(by_weight[static_cast<std::size_t>(weight)], 400 * weight, 150) << weight;
  }
}

// A question costs a look at a place of memory that is seldom near: those before the first usable
// one in the key's order must be asked, and hardly any more.
TEST(Rendezvous, AsksLittleMoreThanItMustWhenFewAreUsable) {
  auto rendezvous = members(1000, 5);
  std::mt19937_64 random(3);
  int asked = 0;
  for (int i = 0; i < 1000; ++i) {
    auto result = rendezvous.rank(random(), [&](std::size_t index) {
      ++asked;
      return index % 100 == 42;  // one of a hundred
    });
    ASSERT_EQ(result.first.index % 100, 42u);
  }
  EXPECT_LT(asked, 1000 * 150);
}

}  // namespace
}  // namespace corral::gateway::rendezvous_test
