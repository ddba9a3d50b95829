// What a sync has to fetch.
#include "models/core/sync_plan.hpp"

#include <gtest/gtest.h>

namespace corral::models::sync_plan_test {
namespace {

std::string digest(char of) { return "sha256:" + std::string(64, of); }

RemoteModel there(const std::string& name, std::vector<RemoteFile> files) {
  RemoteModel model;
  model.name = model.origin = "lab/" + name;
  model.files = std::move(files);
  return model;
}

RemoteFile weights(char of, std::uint64_t bytes = 100) {
  RemoteFile file;
  file.name = "model.gguf";
  file.bytes = bytes;
  file.digest = of == '?' ? "" : digest(of);
  return file;
}

HereModel here(const std::string& name, const std::string& origin, char of) {
  return {name, origin, "", {{FileRole::weights, digest(of), 100, true}}};
}

std::string told(const SyncPlan& plan) {
  std::string text;
  for (const auto& item : plan.items) {
    text += item.name + "=" + std::string(to_string(item.state));
    if (!item.here_as.empty()) text += "(" + item.here_as + ")";
    text += " ";
  }
  return text;
}

TEST(SyncPlan, TellsNewNewerAndSame) {
  auto plan = plan_sync({there("a", {weights('a')}), there("b", {weights('b')}),
                         there("c", {weights('c'), weights('d', 7)})},
                        {here("lab/a", "lab/a", 'a'), here("lab/b", "lab/b", '0')}, {"lab", {}});
  EXPECT_EQ(told(plan), "lab/a=same lab/b=newer lab/c=new ");
  EXPECT_EQ(plan.to_fetch, 207u);
  EXPECT_EQ(plan.items[2].bytes, 107u);
  EXPECT_EQ(plan.items[2].reference, "lab/c");
  EXPECT_EQ(to_string(static_cast<SyncState>(99)), "unknown");
}

TEST(SyncPlan, FilesThatAreHereAreNotFetchedAgainAndSharedOnesOnce) {
  auto plan = plan_sync(
      {there("a", {weights('x'), weights('y', 5)}), there("b", {weights('x'), weights('y', 5)})},
      {here("other", "", 'x')}, {"lab", {}});
  EXPECT_EQ(told(plan), "lab/a=new lab/b=new ");
  EXPECT_EQ(plan.items[0].to_fetch, 5u);
  EXPECT_EQ(plan.to_fetch, 5u);
}

TEST(SyncPlan, ContentUnderAnotherNameIsHere) {
  auto plan =
      plan_sync({there("office/tiny", {weights('t')})}, {here("tiny", "hf:a/b", 't')}, {"lab", {}});
  EXPECT_EQ(told(plan), "lab/office/tiny=same(tiny) ");
  EXPECT_EQ(plan.to_fetch, 0u);
}

TEST(SyncPlan, AModelPulledUnderAnotherNameIsKnownByItsOrigin) {
  auto plan = plan_sync({there("a", {weights('2')})}, {here("mine", "lab/a", '1')}, {"lab", {}});
  EXPECT_EQ(told(plan), "lab/a=newer(mine) ");
  plan = plan_sync({there("a", {weights('2')})},
                   {here("mine", "lab/a", '1'), here("lab/a", "lab/a", '2')}, {"lab", {}});
  EXPECT_EQ(told(plan), "lab/a=same ");
}

TEST(SyncPlan, WithoutChecksumsRevisionAndSizesDecide) {
  auto one = there("a", {weights('?')});
  one.revision = "2";
  auto mine = here("lab/a", "lab/a", 'a');
  mine.revision = "2";
  auto state = [&] { return plan_sync({one}, {mine}, {"lab", {}}).items[0].state; };
  EXPECT_EQ(state(), SyncState::same);
  mine.revision = "1";
  EXPECT_EQ(state(), SyncState::newer);
  one.revision.clear();
  EXPECT_EQ(state(), SyncState::same);
  one.files[0].bytes = 101;
  EXPECT_EQ(state(), SyncState::newer);
  one.files[0].bytes.reset();
  EXPECT_EQ(state(), SyncState::same);
  EXPECT_FALSE(plan_sync({one}, {mine}, {"lab", {}}).items[0].bytes);
  one.files.push_back(weights('?'));
  EXPECT_EQ(state(), SyncState::newer);
}

TEST(SyncPlan, ADamagedModelIsFetchedAgain) {
  auto mine = here("lab/a", "lab/a", 'a');
  mine.files[0].sound = false;
  auto plan = plan_sync({there("a", {weights('a')})}, {mine}, {"lab", {}});
  EXPECT_EQ(told(plan), "lab/a=damaged ");
  EXPECT_TRUE(plan.items[0].fetched());
  EXPECT_EQ(plan.to_fetch, 100u);
}

TEST(SyncPlan, PatternsChooseAndWhatIsGoneIsSaid) {
  const std::vector<RemoteModel> all = {there("qwen-a", {weights('a')}),
                                        there("qwen-b", {weights('b')}),
                                        there("llama", {weights('c')})};
  const std::vector<HereModel> mine = {here("lab/old", "lab/old", 'o'),
                                       here("lab/qwen-old", "lab/qwen-old", 'p'),
                                       here("x", "labor/x", 'q')};
  EXPECT_EQ(told(plan_sync(all, mine, {"lab", {"qwen*"}})),
            "lab/qwen-a=new lab/qwen-b=new lab/qwen-old=gone ");
  EXPECT_EQ(told(plan_sync(all, mine, {"lab", {"llama", "nothing"}})), "lab/llama=new ");
  EXPECT_EQ(told(plan_sync({}, mine, {"lab", {}}, {"old"})), "lab/qwen-old=gone ")
      << "an entry that could not be read is not gone";
}

TEST(SyncPlan, OfTwoWithOneNameTheFirstCounts) {
  auto plan = plan_sync({there("a", {weights('1')}), there("a", {weights('2')})},
                        {here("lab/a", "lab/a", '1')}, {"lab", {}});
  EXPECT_EQ(told(plan), "lab/a=same ");
}

}  // namespace
}  // namespace corral::models::sync_plan_test
