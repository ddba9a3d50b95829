#include "gateway/core/outliers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace corral::gateway::outliers_test {
namespace {

using namespace std::chrono_literals;
using Indexes = std::vector<std::size_t>;

TEST(Outliers, OneThatFailsWhileTheOthersDoNot) {
  std::vector<GroupFigure> group{{100, 1, 50ms}, {100, 60, 50ms}, {100, 2, 50ms}, {100, 0, 50ms}};
  EXPECT_EQ(outliers(group, {}), (Indexes{1}));
  group[1].out_of_use = true;
  EXPECT_EQ(outliers(group, {}), Indexes{});
}

TEST(Outliers, AFaultOfAllIsNoOutlier) {
  std::vector<GroupFigure> group{{100, 80, 50ms}, {100, 90, 50ms}, {100, 85, 50ms}};
  EXPECT_EQ(outliers(group, {}), Indexes{});
}

TEST(Outliers, OneThatIsFarSlower) {
  std::vector<GroupFigure> group{
      {100, 0, 200ms}, {100, 0, 2100ms}, {100, 0, 210ms}, {100, 0, 1900ms}};
  EXPECT_EQ(outliers(group, {}), (Indexes{1}));
  group[1].latency = 1900ms;  // not ten times
  EXPECT_EQ(outliers(group, {}), Indexes{});
  // Fast machines may differ by much without harm.
  std::vector<GroupFigure> fast{{100, 0, 1ms}, {100, 0, 900ms}, {100, 0, 1ms}};
  EXPECT_EQ(outliers(fast, {}), Indexes{});
}

TEST(Outliers, FewRequestsSayNothing) {
  std::vector<GroupFigure> group{{100, 0, 50ms}, {19, 19, 60s}, {100, 0, 50ms}, {0, 0, 0ms}};
  EXPECT_EQ(outliers(group, {}), Indexes{});
  group[1].requests = 20;
  EXPECT_EQ(outliers(group, {}), (Indexes{1}));
  OutlierPolicy any;
  any.minimum_requests = 0;
  group[1].requests = 0;
  group[1].failures = 0;
  EXPECT_EQ(outliers(group, any), Indexes{});
}

TEST(Outliers, AloneNobodyIsOne) {
  EXPECT_EQ(outliers({}, {}), Indexes{});
  std::vector<GroupFigure> one{{100, 100, 60s}};
  EXPECT_EQ(outliers(one, {}), Indexes{});
  // Also alone is who has no other with figures.
  std::vector<GroupFigure> two{{100, 100, 60s}, {0, 0, 0ms}};
  EXPECT_EQ(outliers(two, {}), Indexes{});
}

TEST(Outliers, RulesCanBeSwitchedOff) {
  std::vector<GroupFigure> group{{100, 100, 50ms}, {100, 0, 60s}, {100, 0, 50ms}, {100, 0, 50ms}};
  EXPECT_EQ(outliers(group, {}), (Indexes{0, 1}));  // failing is worse than slow
  OutlierPolicy policy;
  policy.error_percent_above = 0;
  EXPECT_EQ(outliers(group, policy), (Indexes{1}));
  policy.latency_times = 0;
  EXPECT_EQ(outliers(group, policy), Indexes{});
}

TEST(Outliers, TheWorstFirstAndNeverMoreThanHalf) {
  std::vector<GroupFigure> group{
      {1000, 500, 50ms}, {100, 90, 50ms}, {1000, 0, 50ms}, {100, 99, 50ms}, {1000, 0, 50ms}};
  EXPECT_EQ(outliers(group, {}), (Indexes{3, 1}));
  group[4].out_of_use = true;
  EXPECT_EQ(outliers(group, {}), (Indexes{3}));
}

TEST(OutliersProperty, HalfOfTheGroupAlwaysStays) {
  std::mt19937_64 random(3);
  std::size_t ejected = 0;
  for (int round = 0; round < 5000; ++round) {
    std::vector<GroupFigure> group(random() % 12);
    for (auto& one : group) {
      one.requests = static_cast<std::uint32_t>(random() % 200);
      one.failures = one.requests == 0 ? 0 : static_cast<std::uint32_t>(random() % one.requests);
      one.latency =
          std::chrono::milliseconds(random() % 3 == 0 ? random() % 60'000 : random() % 99);
      one.out_of_use = random() % 4 == 0;
    }
    auto before = static_cast<std::size_t>(std::ranges::count_if(group, &GroupFigure::out_of_use));
    auto found = outliers(group, {});
    std::set<std::size_t> distinct(found.begin(), found.end());
    ASSERT_EQ(distinct.size(), found.size());
    for (auto i : found) {
      ASSERT_LT(i, group.size());
      ASSERT_FALSE(group[i].out_of_use);
    }
    if (!found.empty()) {
      ASSERT_LE(before + found.size(), group.size() / 2);
    }
    ejected += found.size();
  }
  EXPECT_GT(ejected, 100u);
}

}  // namespace
}  // namespace corral::gateway::outliers_test
