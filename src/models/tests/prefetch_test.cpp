// Which models are asked for newer versions, and when.
#include "models/core/prefetch.hpp"

#include <gtest/gtest.h>

namespace corral::models::prefetch_test {
namespace {

using namespace std::chrono_literals;

std::string digest(char of) { return "sha256:" + std::string(64, of); }

HereModel model(const std::string& name, const std::string& origin = "lab/x") {
  return {name, origin, "", {{FileRole::weights, digest('a'), 100, true}}};
}

std::string names(const std::vector<PrefetchDue>& due) {
  std::string text;
  for (const auto& each : due) text += each.model.name + " ";
  return text;
}

class PrefetchTest : public testing::Test {
 protected:
  std::vector<PrefetchDue> look(std::vector<PrefetchModel> used, PrefetchView view = {}) {
    if (!prefetch_.turn(view, now_).ask) return {};
    return prefetch_.due(std::move(used), now_);
  }
  std::string after_quiet(const std::vector<PrefetchModel>& used) {
    (void)look(used);
    now_ += PrefetchView().quiet;
    return names(look(used));
  }

  Prefetch prefetch_;
  sys::Wall now_ = sys::Wall(1'700'000'000s);
};

TEST_F(PrefetchTest, TheMostUsedOnSeveralDaysAreAsked) {
  EXPECT_EQ(after_quiet({{model("once"), 900, 1},
                         {model("some"), 10, 3},
                         {model("most"), 50, 2},
                         {model("few"), 5, 2},
                         {model("none"), 1, 14}}),
            "most some few ");
  EXPECT_EQ(look({{model("most"), 50, 2}})[0].why, "50 requests on 2 of the last 14 days");
}

TEST_F(PrefetchTest, EachAtMostOnceADay) {
  const std::vector<PrefetchModel> used = {{model("a"), 9, 2}, {model("b"), 8, 2}};
  EXPECT_EQ(after_quiet(used), "a b ");
  prefetch_.asked("a", now_);
  EXPECT_EQ(names(look(used)), "b ");
  now_ += 23h;
  EXPECT_EQ(names(look(used)), "b ");
  now_ += 1h;
  EXPECT_EQ(names(look(used)), "a b ");
  prefetch_.asked("a", now_ + 100h);
  EXPECT_EQ(names(look(used)), "a b ") << "a clock that was set back must not stop it for long";
}

TEST_F(PrefetchTest, OnlyAfterAQuietTime) {
  const std::vector<PrefetchModel> used = {{model("a"), 9, 2}};
  EXPECT_EQ(names(look(used)), "");
  now_ += 59s;
  EXPECT_EQ(names(look(used)), "");
  EXPECT_EQ(names(look(used, {.busy = true})), "");
  now_ += 1h;
  EXPECT_EQ(names(look(used)), "") << "the quiet time begins anew";
  now_ += 1h;
  EXPECT_EQ(names(look(used, {.pulling = true})), "");
  EXPECT_EQ(after_quiet(used), "a ");
  now_ -= 100h;
  EXPECT_EQ(names(look(used)), "");
  EXPECT_EQ(after_quiet(used), "a ");
}

// What is done with pulls, as text: "-a" is paused, "+a" resumed, "?" may begin another.
class PrefetchTurnTest : public testing::Test {
 protected:
  std::string turn(PrefetchView view) {
    auto done = prefetch_.turn(view, now_);
    std::string text;
    for (const auto& id : done.pause) text += "-" + id;
    if (done.resume) text += "+" + *done.resume;
    if (done.ask) text += "?";
    return text;
  }
  static PrefetchView with(std::vector<PrefetchPull> own) { return {.own = std::move(own)}; }
  static PrefetchView busy(std::vector<PrefetchPull> own) {
    return {.busy = true, .own = std::move(own)};
  }

  Prefetch prefetch_;
  sys::Wall now_ = sys::Wall(1'700'000'000s);
};

TEST_F(PrefetchTurnTest, WhatItBeganGivesWayAndGoesOn) {
  EXPECT_EQ(turn(with({{"a", true}})), "");
  EXPECT_EQ(turn(busy({{"a", true}})), "-a");
  EXPECT_EQ(prefetch_.gave_way(), std::set<std::string>{"a"});
  EXPECT_EQ(turn(busy({{"a", false}})), "");
  EXPECT_EQ(turn(with({{"a", false}})), "") << "the quiet time begins";
  now_ += 59s;
  EXPECT_EQ(turn(with({{"a", false}})), "");
  now_ += 1s;
  EXPECT_EQ(turn(with({{"a", false}})), "+a");
  EXPECT_EQ(turn(with({{"a", true}})), "") << "one at a time";
  EXPECT_EQ(turn(with({})), "?");
}

TEST_F(PrefetchTurnTest, SomebodysPullGoesFirst) {
  EXPECT_EQ(turn({.pulling = true, .own = {{"a", true}}}), "-a");
  now_ += 1h;
  EXPECT_EQ(turn({.pulling = true, .own = {{"a", false}}}), "");
  EXPECT_EQ(turn(with({{"a", false}})), "");
  now_ += 1min;
  EXPECT_EQ(turn(with({{"a", false}})), "+a");
}

TEST_F(PrefetchTurnTest, WhatSomebodyElseDidStays) {
  (void)turn(with({}));
  now_ += 1min;
  EXPECT_EQ(turn(with({{"hand", false}})), "?") << "paused by hand, it is not resumed";
  EXPECT_EQ(turn(busy({{"a", true}, {"hand", false}})), "-a");
  EXPECT_EQ(turn(busy({{"a", true}, {"hand", false}})), "") << "resumed by hand, it goes on";
  EXPECT_EQ(turn(busy({{"a", true}})), "");
  EXPECT_EQ(turn(busy({})), "");
  EXPECT_EQ(turn(busy({{"a", true}})), "-a") << "another one";
}

TEST_F(PrefetchTurnTest, SeveralGoOnOneAfterTheOther) {
  EXPECT_EQ(turn(busy({{"a", true}, {"b", true}})), "-a-b");
  (void)turn(with({{"a", false}, {"b", false}}));
  now_ += 1min;
  EXPECT_EQ(turn(with({{"a", false}, {"b", false}})), "+a");
  EXPECT_EQ(turn(with({{"a", true}, {"b", false}})), "");
  EXPECT_EQ(turn(with({{"b", false}})), "+b");
}

TEST_F(PrefetchTurnTest, WhatGaveWayInAnEarlierRunGoesOn) {
  prefetch_ = Prefetch({}, {"a", "gone"});
  (void)turn(with({{"a", false}}));
  EXPECT_EQ(prefetch_.gave_way(), std::set<std::string>{"a"});
  now_ += 1min;
  EXPECT_EQ(turn(with({{"a", false}})), "+a");
}

TEST_F(PrefetchTurnTest, TheQuietTimeIsAsWished) {
  PrefetchView view{.quiet = 5s};
  EXPECT_EQ(turn(view), "");
  now_ += 5s;
  EXPECT_EQ(turn(view), "?");
}

TEST_F(PrefetchTest, WhatCannotChangeIsNotAskedFor) {
  const std::string commit(40, 'a');
  EXPECT_EQ(after_quiet({{model("local", ""), 9, 2},
                         {model("sum", "https://h/x.gguf#sha256=" + commit), 9, 2},
                         {model("commit", "hf:o/r:Q4_0@" + commit), 9, 2},
                         {model("branch", "hf:o/r:Q4_0@main"), 9, 2}}),
            "branch ");
  EXPECT_FALSE(is_fixed_origin("hf:o/r@" + std::string(40, 'x')));
}

TEST_F(PrefetchTest, AnEarlierRunIsRemembered) {
  Prefetch other({{"a", now_ - 1h}});
  EXPECT_EQ(names(other.due({{model("a"), 9, 2}}, now_ + 1h)), "");
  EXPECT_EQ(names(other.due({{model("a"), 9, 2}}, now_ + 24h)), "a ");
  EXPECT_EQ(other.asked().size(), 1u);
}

TEST(NewerVerdict, OnlyOtherBytesAndWithRoomToSpare) {
  RemoteModel there;
  there.name = there.origin = "lab/x";
  there.files = {{FileRole::weights, "m.gguf", "", 100, digest('a')}};
  auto mine = model("mine", "lab/x");
  EXPECT_FALSE(judge_newer(there, mine, 1'000).fetch);
  there.files[0].digest = digest('b');
  auto verdict = judge_newer(there, mine, 1'000);
  EXPECT_TRUE(verdict.fetch);
  EXPECT_EQ(verdict.why, "the source has other bytes, 100 B to fetch");
  EXPECT_FALSE(judge_newer(there, mine, 199).fetch);
  EXPECT_TRUE(judge_newer(there, mine, 199).why.contains("are free for downloads"));
  there.files[0].bytes.reset();
  EXPECT_FALSE(judge_newer(there, mine, 1'000).fetch);
  there.files[0].digest = digest('a');
  there.origin = "hf:o/r:Q4_0";
  EXPECT_FALSE(judge_newer(there, model("y", "hf:o/r:Q4_0"), 1'000).fetch);
}

}  // namespace
}  // namespace corral::models::prefetch_test
