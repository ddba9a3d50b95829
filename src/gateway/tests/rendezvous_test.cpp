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
  EXPECT_LT(asked, 1000 * 115);
}

TEST(Rendezvous, AsksOnlyTheHomeWhileItIsUsable) {
  auto rendezvous = members(1000, 5);
  for (std::uint64_t key = 0; key < 200; ++key) {
    int asked = 0;
    auto result = rendezvous.rank(key, [&](std::size_t) { return ++asked > 0; });
    EXPECT_EQ(asked, 1);
    EXPECT_EQ(result.first.index, result.home.index);
  }
}

// A slow start draws a random number for each question: the second one would get another answer.
TEST(Rendezvous, AsksNobodyTwice) {
  std::mt19937_64 random(11);
  auto rendezvous = members(300, 3);
  for (int round = 0; round < 500; ++round) {
    std::vector<int> asked(300);
    const auto odds = 1 + random() % 300;
    rendezvous.rank(random(), [&](std::size_t index) {
      ++asked[index];
      return random() % odds == 0;
    });
    ASSERT_LE(std::ranges::max(asked), 1);
  }
}

// Weights so large that the first batch lies below the least bound there is.
TEST(Rendezvous, TheGreatestWeightsAreAsGoodAsTheLeast) {
  Rendezvous rendezvous;
  for (std::size_t i = 0; i < 40; ++i) rendezvous.add(i, i, 0xffff'ffffu);
  for (std::uint64_t key = 0; key < 50; ++key) {
    auto order = order_of(rendezvous, 40, key);
    EXPECT_EQ(order.size(), 40u);
  }
}

TEST(Rendezvous, AsksEverybodyBeforeItGivesUp) {
  auto rendezvous = members(300, 3);
  for (std::uint64_t key = 0; key < 20; ++key) {
    rendezvous.rank(key, [](std::size_t index) { return index % 50 == 7; });  // who may be known
    int asked = 0;
    auto result = rendezvous.rank(key, [&](std::size_t) { return ++asked < 0; });
    EXPECT_EQ(asked, 300);
    EXPECT_FALSE(result.first.found());
    EXPECT_TRUE(result.home.found());
  }
}

// Against the formula, one member at a time.
TEST(RendezvousScan, ListsThoseWhoseBoundLiesInTheRange) {
  using Instructions = RendezvousScan::Instructions;
  constexpr auto kAll = RendezvousScan::kAll;
  std::mt19937_64 random(13);
  for (auto instructions : {Instructions::best, Instructions::any}) {
    for (std::size_t count : {0, 1, 7, 8, 9, 63, 64, 65, 200}) {
      RendezvousScan scan(instructions);
      for (std::size_t i = 0; i < count; ++i) scan.add(i, static_cast<std::uint32_t>(1 + i % 7));
      for (int round = 0; round < 20; ++round) {
        const RendezvousScan::Salt salt(random());
        auto begin = static_cast<std::uint32_t>(random());
        auto end = round == 0 ? kAll : static_cast<std::uint32_t>(random() | 1);
        auto expected = [&](std::uint32_t from, std::uint32_t below) {
          std::vector<std::uint32_t> positions;
          for (std::uint32_t i = 0; i < count; ++i) {
            const auto factor = std::uint64_t{kAll / (1 + i % 7)};
            const auto bound = (scan.distance(i, salt) * factor) >> 32;
            if (bound >= from && bound < below) positions.push_back(i);
          }
          return positions;
        };
        auto found = scan.below(salt, end);
        ASSERT_EQ(std::vector(found.begin(), found.end()), expected(0, end)) << count;
        found = scan.between(begin, end);
        ASSERT_EQ(std::vector(found.begin(), found.end()), expected(begin, end)) << count;
        if (count == 0) continue;
        scan.leave_out(count / 2);
        EXPECT_EQ(std::ranges::count(scan.between(0, kAll), count / 2), 0);
      }
    }
  }
}

}  // namespace
}  // namespace corral::gateway::rendezvous_test
