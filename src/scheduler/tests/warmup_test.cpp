// Which model is loaded ahead of requests, and when.
#include "scheduler/core/warmup.hpp"

#include <gtest/gtest.h>

namespace corral::scheduler::warmup_test {
namespace {

using namespace std::chrono_literals;

class WarmupTest : public testing::Test {
 protected:
  std::string next() { return warmup_.next(view_, now_).value_or("-"); }
  void answered(const std::string& name, WarmupAnswer answer) {
    warmup_.answered(name, answer, now_);
  }

  Warmup warmup_;
  WarmupView view_{.busy = false, .ranked = {{"a"}, {"b"}, {"c"}}};
  sys::Steady now_{};
};

TEST_F(WarmupTest, AtTheStartTheMostUsedComesAtOnceAndOneAfterTheOther) {
  EXPECT_EQ(next(), "a");
  answered("a", WarmupAnswer::begun);
  view_.ranked[0].loaded = true;
  view_.busy = true;
  EXPECT_EQ(next(), "-");
  now_ += 30s;
  view_.busy = false;
  EXPECT_EQ(next(), "b") << "loading a model is no work of somebody else's";
}

TEST_F(WarmupTest, WhatDoesNotFitIsPassedOverForAWhile) {
  answered(next(), WarmupAnswer::no_room);
  EXPECT_EQ(next(), "b");
  answered("b", WarmupAnswer::failed);
  answered(next(), WarmupAnswer::no_room);
  EXPECT_EQ(next(), "-");
  now_ += Warmup::kAgain;
  EXPECT_EQ(next(), "a");
}

TEST_F(WarmupTest, WhatIsLoadedAnywayNeedsNothing) {
  answered(next(), WarmupAnswer::loaded);
  view_.ranked[1].loaded = true;
  EXPECT_EQ(next(), "c");
}

TEST_F(WarmupTest, AfterWorkOnlyWhenItIsQuiet) {
  view_.busy = true;
  (void)next();
  view_.busy = false;
  EXPECT_EQ(next(), "a") << "nothing was loaded yet: this is the start still";
  view_.busy = true;
  EXPECT_EQ(next(), "-");
  view_.busy = false;
  EXPECT_EQ(next(), "-");
  now_ += Warmup::kQuiet - 1s;
  EXPECT_EQ(next(), "-");
  now_ += 1s;
  EXPECT_EQ(next(), "a");
}

TEST_F(WarmupTest, WhatWasPutAwayByHandStaysAway) {
  view_.ranked[0].put_away = true;
  EXPECT_EQ(next(), "b");
  EXPECT_EQ(warmup_.kept(view_), (std::set<std::string>{"b", "c"}));
  view_.ranked[0].put_away = false;
  EXPECT_EQ(next(), "a");
}

TEST_F(WarmupTest, OnlySoManyAreKept) {
  view_.ranked.clear();
  for (int i = 0; i < 20; ++i) view_.ranked.push_back({"m" + std::to_string(i), i < 8});
  EXPECT_EQ(next(), "-");
  EXPECT_EQ(warmup_.kept(view_).size(), Warmup::kMost);
}

TEST_F(WarmupTest, TurnedOffItForgets) {
  answered("a", WarmupAnswer::no_room);
  EXPECT_EQ(next(), "b");
  warmup_.reset();
  EXPECT_EQ(next(), "a");
}

}  // namespace
}  // namespace corral::scheduler::warmup_test
