#include "gateway/core/balancer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace corral::gateway::balancer_test {
namespace {

std::vector<Member> members_of(std::vector<std::uint32_t> weights) {
  std::vector<Member> members;
  for (auto weight : weights) members.push_back({.id = 1000 + members.size(), .weight = weight});
  return members;
}

// A balancer with its targets, and how often each was chosen.
struct Bench {
  Bench(Policy policy, std::vector<std::uint32_t> weights)
      : balancer(policy, members_of(weights)), targets(weights.size()) {}

  std::optional<Choice> choose(BalanceKeys keys = {}) {
    return balancer.choose(CandidateView(targets), keys, random());
  }
  std::vector<int> count(int rounds) {
    std::vector<int> counts(targets.size());
    for (int i = 0; i < rounds; ++i) ++counts[choose()->index];
    return counts;
  }

  Balancer balancer;
  std::vector<Candidate> targets;
  std::mt19937_64 random{7};
};

constexpr std::array kPolicies = {Policy::weighted,  Policy::round_robin, Policy::least_busy,
                                  Policy::peak_ewma, Policy::sticky,      Policy::prefix};

TEST(Balancer, PolicyNamesGoBothWays) {
  for (auto policy : kPolicies) EXPECT_EQ(parse_policy(to_string(policy)), policy);
  EXPECT_EQ(to_string(Policy::peak_ewma), "peak_ewma");
  EXPECT_EQ(parse_policy("random"), std::nullopt);
  EXPECT_EQ(parse_policy(""), std::nullopt);
}

TEST(Balancer, EveryReasonHasANameAndAnExplanation) {
  std::set<std::string_view> names, texts;
  for (int i = 0; i <= static_cast<int>(Reason::drained); ++i) {
    names.insert(to_string(static_cast<Reason>(i)));
    texts.insert(explanation(static_cast<Reason>(i)));
  }
  EXPECT_EQ(names.size(), 11u);
  EXPECT_EQ(texts.size(), 11u);
  EXPECT_EQ(to_string(Reason::drained), "drained");
  EXPECT_EQ(to_string(Reason::turn), "turn");
}

TEST(Balancer, NobodyToChooseFrom) {
  for (auto policy : kPolicies) {
    EXPECT_EQ(Bench(policy, {}).choose(), std::nullopt);
    Bench all_down(policy, {1, 2, 0});
    for (auto& target : all_down.targets) target.usable = false;
    EXPECT_EQ(all_down.choose({.sticky = 5}), std::nullopt);
    std::vector<std::uint64_t> holders = {1000};
    EXPECT_EQ(all_down.choose({.holders = holders}), std::nullopt);
  }
}

// Whatever the state: never an unusable one, one if there is any, drained ones only at last.
TEST(Balancer, NeverChoosesWhatIsNotUsable) {
  std::mt19937_64 random(11);
  for (auto policy : kPolicies) {
    for (int round = 0; round < 300; ++round) {
      auto size = 1 + random() % 40;
      std::vector<std::uint32_t> weights;
      for (std::size_t i = 0; i < size; ++i) weights.push_back(random() % 4);
      Bench bench(policy, weights);
      for (int request = 0; request < 20; ++request) {
        bool any = false, any_weighted = false;
        auto odds = 1 + random() % 10;
        for (std::size_t i = 0; i < size; ++i) {
          auto usable = random() % odds == 0;
          any |= usable;
          any_weighted |= usable && weights[i] > 0;
          bench.targets[i] = {.usable = usable,
                              .load = {.in_flight = static_cast<std::uint32_t>(random() % 5),
                                       .capacity = static_cast<std::uint32_t>(random() % 5),
                                       .cost_ns = static_cast<double>(random() % 3) * 1e6,
                                       .share = static_cast<double>(random() % 11) / 10}};
        }
        std::vector<std::uint64_t> holders = {1000 + random() % size, 1000 + random() % size, 1};
        BalanceKeys keys;
        if (random() % 4 != 0) keys = {.sticky = random(), .holders = holders};
        auto choice = bench.choose(keys);
        ASSERT_EQ(choice.has_value(), any);
        if (!choice) continue;
        ASSERT_TRUE(bench.targets[choice->index].usable);
        ASSERT_EQ(weights[choice->index] > 0, any_weighted);
        ASSERT_EQ(choice->reason == Reason::drained, !any_weighted);
        if (choice->other) {
          ASSERT_NE(*choice->other, choice->index);
        }
      }
    }
  }
}

TEST(Balancer, WeightedTurnsAreExactAndSmooth) {
  Bench bench(Policy::weighted, {5, 1, 1});
  std::string turns;
  for (int i = 0; i < 7; ++i) turns += static_cast<char>('a' + bench.choose()->index);
  EXPECT_EQ(std::ranges::count(turns, 'a'), 5);
  EXPECT_EQ(std::ranges::count(turns, 'b'), 1);
  EXPECT_EQ(turns.find("aaaa"), std::string::npos) << turns;
  EXPECT_EQ(Bench(Policy::weighted, {3, 1, 2}).count(6000), (std::vector{3000, 1000, 2000}));
}

TEST(Balancer, WeightedKeepsProportionsWhileSomeAreAway) {
  Bench bench(Policy::weighted, {100, 3, 1, 2});
  bench.targets[0].usable = false;
  auto counts = bench.count(600);
  EXPECT_EQ(counts[0], 0);
  EXPECT_NEAR(counts[1], 300, 2);
  EXPECT_NEAR(counts[2], 100, 2);
  EXPECT_NEAR(counts[3], 200, 2);
  bench.targets[0].usable = true;  // and it does not take the turns that it missed
  counts = bench.count(1060);
  EXPECT_NEAR(counts[0], 1000, 5);
  EXPECT_NEAR(counts[1], 30, 3);
}

TEST(Balancer, WeightedComesBackAfterAllWereAway) {
  Bench bench(Policy::weighted, std::vector<std::uint32_t>(50, 1));
  for (auto& target : bench.targets) target.usable = false;
  EXPECT_EQ(bench.choose(), std::nullopt);
  bench.targets[33].usable = true;
  EXPECT_EQ(bench.choose()->index, 33u);
  for (auto& target : bench.targets) target.usable = true;
  auto counts = bench.count(5000);
  EXPECT_GE(*std::ranges::min_element(counts), 90);
  EXPECT_LE(*std::ranges::max_element(counts), 115);
}

TEST(Balancer, SlowStartGetsItsPart) {
  for (auto policy : {Policy::weighted, Policy::round_robin}) {
    Bench bench(policy, {1, 1});
    bench.targets[1].load.share = 0.25;
    auto counts = bench.count(10'000);
    EXPECT_NEAR(counts[1] / 10'000.0, 0.2, 0.02) << to_string(policy);  // 1 : 0.25
  }
  Bench sticky(Policy::sticky, {1, 1});
  sticky.targets[1].load.share = 0.25;
  int slow = 0;
  for (int i = 0; i < 10'000; ++i) slow += sticky.choose({.sticky = sticky.random()})->index == 1;
  EXPECT_NEAR(slow / 10'000.0, 0.125, 0.02);
}

TEST(Balancer, SlowStartIsNotShutOut) {
  for (auto policy : kPolicies) {
    Bench bench(policy, {1, 1});
    bench.targets[0].usable = false;
    bench.targets[1].load.share = 0.01;
    for (int i = 0; i < 200; ++i) EXPECT_EQ(bench.choose({.sticky = 9})->index, 1u);
  }
}

TEST(Balancer, RoundRobinGoesOnBehindTheOneChosen) {
  Bench bench(Policy::round_robin, {1, 1, 0, 1, 1});
  bench.targets[1].usable = false;
  EXPECT_EQ(bench.count(300), (std::vector{100, 0, 0, 100, 100}));
}

TEST(Balancer, LeastBusyLooksAtTheShareOfTheCapacity) {
  Bench bench(Policy::least_busy, {1, 1, 1});
  bench.targets[0].load = {.in_flight = 2, .capacity = 4};
  bench.targets[1].load = {.in_flight = 5, .capacity = 16};
  bench.targets[2].load = {.in_flight = 1, .capacity = 2};
  auto choice = bench.choose();
  EXPECT_EQ(choice->index, 1u);
  EXPECT_EQ(choice->reason, Reason::least_busy);
  EXPECT_DOUBLE_EQ(choice->figure, 6.0 / 16);
  EXPECT_EQ(choice->other, 0u);
  EXPECT_DOUBLE_EQ(choice->other_figure, 3.0 / 4);
  bench.targets[0].usable = bench.targets[2].usable = false;
  EXPECT_EQ(bench.choose()->reason, Reason::only_one);
  bench.targets[0].usable = bench.targets[1].usable = false;
}

TEST(Balancer, LeastBusyGivesEqualsTheirTurns) {
  auto counts = Bench(Policy::least_busy, {1, 1, 1, 1}).count(4000);
  for (auto count : counts) EXPECT_NEAR(count, 1000, 120);
}

TEST(Balancer, LeastBusyFindsTheOneUsableOfMany) {
  Bench bench(Policy::least_busy, std::vector<std::uint32_t>(1000, 1));
  for (auto& target : bench.targets) target.usable = false;
  bench.targets[777].usable = true;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(bench.choose()->index, 777u);
}

TEST(Balancer, TheCheaperOfTwoCountsLatencyAndWorkInFlight) {
  Bench bench(Policy::peak_ewma, {1, 1});
  bench.targets[0].load = {.in_flight = 1, .capacity = 8, .cost_ns = 40e6};
  bench.targets[1].load = {.in_flight = 9, .capacity = 16, .cost_ns = 10e6};
  auto choice = bench.choose();
  EXPECT_EQ(choice->index, 0u);
  EXPECT_EQ(choice->reason, Reason::cheaper);
  EXPECT_DOUBLE_EQ(choice->figure, 80e6);
  EXPECT_EQ(choice->other, 1u);
  EXPECT_DOUBLE_EQ(choice->other_figure, 100e6);
  bench.targets[1].load.in_flight = 2;
  EXPECT_EQ(bench.choose()->index, 1u);
  bench.targets[1].load.share = 0.25;  // slow start counts as four times the cost
  EXPECT_EQ(bench.choose()->index, 0u);
}

TEST(Balancer, AnUnknownTargetIsTriedAtOnceButByOneRequestOnly) {
  Bench bench(Policy::peak_ewma, {1, 1});
  bench.targets[0].load = {.in_flight = 3, .capacity = 8, .cost_ns = 5e9};
  EXPECT_EQ(bench.choose()->index, 1u);
  bench.targets[1].load.in_flight = 1;
  EXPECT_EQ(bench.choose()->index, 0u);
}

TEST(Balancer, TheSlowOneOfThreeGetsAlmostNothing) {
  Bench bench(Policy::peak_ewma, {1, 1, 1});
  for (auto& target : bench.targets) target.load.cost_ns = 1e7;
  bench.targets[1].load.cost_ns = 1e8;
  auto counts = bench.count(3000);
  EXPECT_EQ(counts[1], 0);
  EXPECT_NEAR(counts[0], 1500, 150);
}

TEST(Balancer, PeakEwmaFindsTheOneUsableOfMany) {
  Bench bench(Policy::peak_ewma, std::vector<std::uint32_t>(1000, 1));
  for (auto& target : bench.targets) target.usable = false;
  bench.targets[5].usable = true;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(bench.choose()->index, 5u);
}

// A view that counts its questions.
class CountingView final : public LoadView {
 public:
  bool usable(std::size_t) const override { return ++asked > 0; }
  Load load(std::size_t) const override { return ++asked, Load{}; }
  mutable int asked = 0;
};

TEST(Balancer, LooksAtFewOfManyTargets) {
  std::vector<std::uint64_t> holders = {1003};
  for (auto [policy, most] : {std::pair{Policy::weighted, 4},
                              {Policy::round_robin, 4},
                              {Policy::least_busy, 256},
                              {Policy::peak_ewma, 8},
                              {Policy::sticky, 60},
                              {Policy::prefix, 270}}) {
    Bench bench(policy, std::vector<std::uint32_t>(1000, 1));
    for (int i = 0; i < 100; ++i) {
      CountingView view;
      ASSERT_TRUE(bench.balancer.choose(view, {.sticky = bench.random(), .holders = holders},
                                        bench.random()));
      ASSERT_LE(view.asked, most) << to_string(policy);
    }
  }
}

TEST(Balancer, StickyKeysStayAndAreSpreadByWeight) {
  Bench bench(Policy::sticky, {1, 2, 1, 4});
  std::vector<int> counts(4);
  for (std::uint64_t key = 0; key < 16'000; ++key) {
    auto choice = bench.choose({.sticky = key});
    EXPECT_EQ(choice->reason, Reason::home);
    EXPECT_EQ(bench.choose({.sticky = key})->index, choice->index);
    ++counts[choice->index];
  }
  EXPECT_NEAR(counts[0], 2000, 200);
  EXPECT_NEAR(counts[1], 4000, 300);
  EXPECT_NEAR(counts[2], 2000, 200);
  EXPECT_NEAR(counts[3], 8000, 300);
}

TEST(Balancer, OnlyTheKeysOfALostTargetMove) {
  Bench bench(Policy::sticky, {1, 1, 1, 1, 1});
  std::map<std::size_t, int> moved_to;
  for (std::uint64_t key = 0; key < 4000; ++key) {
    bench.targets[2].usable = true;
    auto before = bench.choose({.sticky = key});
    bench.targets[2].usable = false;
    auto after = bench.choose({.sticky = key});
    if (before->index != 2) {
      ASSERT_EQ(after->index, before->index);
      continue;
    }
    ASSERT_EQ(after->reason, Reason::away);
    ASSERT_EQ(after->other, 2u);
    ASSERT_GT(after->figure, before->figure);
    ASSERT_DOUBLE_EQ(after->other_figure, before->figure);
    ++moved_to[after->index];
  }
  ASSERT_EQ(moved_to.size(), 4u);
  for (auto [index, count] : moved_to) EXPECT_NEAR(count, 200, 60) << index;
}

TEST(Balancer, StickyAndPrefixWithoutAKeyTakeTheCheaper) {
  for (auto policy : {Policy::sticky, Policy::prefix}) {
    Bench bench(policy, {1, 1});
    bench.targets[0].load.cost_ns = 2e6;
    bench.targets[1].load.cost_ns = 1e6;
    auto choice = bench.choose();
    EXPECT_EQ(choice->index, 1u);
    EXPECT_EQ(choice->reason, policy == Policy::sticky ? Reason::no_key : Reason::prefix_unknown);
  }
}

TEST(Balancer, PrefixGoesToItsHolderWithinTheBound) {
  Bench bench(Policy::prefix, {1, 1, 1, 1});
  for (auto& target : bench.targets) target.load = {.in_flight = 4, .capacity = 10, .cost_ns = 1e6};
  std::vector<std::uint64_t> holders = {1002};
  auto choice = bench.choose({.holders = holders});
  EXPECT_EQ(choice->index, 2u);
  EXPECT_EQ(choice->reason, Reason::holder);
  EXPECT_DOUBLE_EQ(choice->bound, 6);  // ceil(1.25 * 17 / 4)
  bench.targets[2].load.in_flight = 5;
  EXPECT_EQ(bench.choose({.holders = holders})->index, 2u);
  bench.targets[2].load.in_flight = 6;  // ceil(1.25 * 19 / 4) = 6: one more would be too many
  choice = bench.choose({.holders = holders});
  EXPECT_NE(choice->index, 2u);
  EXPECT_EQ(choice->reason, Reason::holders_busy);
  for (auto other : {0, 1, 3}) bench.targets[static_cast<std::size_t>(other)].usable = false;
  EXPECT_EQ(bench.choose({.holders = holders})->index, 2u);  // nobody else
}

TEST(Balancer, PrefixTakesTheCheaperOfItsHolders) {
  Bench bench(Policy::prefix, {1, 1, 1});
  for (auto& target : bench.targets) target.load = {.in_flight = 2, .capacity = 10, .cost_ns = 1e6};
  bench.targets[0].load.cost_ns = 9e6;
  std::vector<std::uint64_t> holders = {1000, 1001, 424242};
  EXPECT_EQ(bench.choose({.holders = holders})->index, 1u);
  bench.targets[1].usable = false;
  EXPECT_EQ(bench.choose({.holders = holders})->index, 0u);
  bench.targets[0].usable = false;
  auto choice = bench.choose({.holders = holders});
  EXPECT_EQ(choice->index, 2u);
  EXPECT_EQ(choice->reason, Reason::holders_busy);
}

// However hot a prefix is, its holder never carries more than its bound (while others are free).
TEST(Balancer, AHotPrefixOverloadsNobody) {
  Bench bench(Policy::prefix, std::vector<std::uint32_t>(8, 1));
  for (auto& target : bench.targets) target.load.capacity = 100;
  std::vector<std::uint64_t> holders = {1000};
  std::uint32_t total = 0;
  for (int i = 0; i < 400; ++i) {
    auto choice = bench.choose({.holders = holders});
    auto& load = bench.targets[choice->index].load;
    load.cost_ns = 1e6;
    ++load.in_flight;
    ++total;
    if (choice->reason == Reason::holder) {
      ASSERT_LE(load.in_flight, std::ceil(1.25 * total / 8));
    }
  }
  EXPECT_GE(bench.targets[0].load.in_flight, 55u);
}

TEST(Balancer, FindsMembersByTheirId) {
  Balancer balancer(Policy::weighted, {{.id = 9}, {.id = 3, .weight = 2}});
  EXPECT_EQ(balancer.index_of(3), 1u);
  EXPECT_EQ(balancer.index_of(9), 0u);
  EXPECT_EQ(balancer.index_of(4), std::nullopt);
  EXPECT_EQ(balancer.policy(), Policy::weighted);
  EXPECT_EQ(balancer.members()[1].weight, 2u);
}

TEST(Balancer, TheLeastBusyOfTheDrainedIsTheLastResort) {
  Bench bench(Policy::peak_ewma, {0, 0, 1});
  bench.targets[0].load = {.in_flight = 3, .capacity = 4};
  bench.targets[1].load = {.in_flight = 1, .capacity = 4};
  EXPECT_EQ(bench.choose()->index, 2u);
  bench.targets[2].usable = false;
  for (int i = 0; i < 20; ++i) {
    auto choice = bench.choose();
    EXPECT_EQ(choice->index, 1u);
    EXPECT_EQ(choice->reason, Reason::drained);
  }
}

}  // namespace
}  // namespace corral::gateway::balancer_test
