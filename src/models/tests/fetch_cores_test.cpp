// What decides about downloads: ranges, answers, throttle, rate. No I/O.
#include <gtest/gtest.h>

#include <random>

#include "models/core/range_answer.hpp"
#include "models/core/ranges.hpp"
#include "models/core/throttle.hpp"
#include "models/core/transfer_rate.hpp"

namespace corral::models::fetch_cores_test {
namespace {

using namespace std::chrono_literals;
using Ranges = std::vector<ByteRange>;

TEST(RangeSet, IsTheSetOfItsBytes) {
  std::mt19937 random(7);
  auto number = [&](std::uint64_t below) { return random() % below; };
  for (int round = 0; round < 200; ++round) {
    RangeSet set;
    std::vector<bool> bytes(64);
    for (int step = 0; step < 40; ++step) {
      std::uint64_t begin = number(64);
      std::uint64_t end = number(65);
      bool add = number(3) != 0;
      if (add) {
        set.add({begin, end});
      } else {
        set.remove({begin, end});
      }
      for (std::uint64_t i = begin; i < end; ++i) bytes[i] = add;
      std::vector<bool> seen(64);
      std::uint64_t last = 0;
      for (auto range : set.ranges()) {
        ASSERT_LT(range.begin, range.end);
        ASSERT_TRUE(range.begin > last || last == 0) << "ranges touch";
        last = range.end;
        for (std::uint64_t i = range.begin; i < range.end; ++i) seen[i] = true;
      }
      ASSERT_EQ(seen, bytes);
      auto gap = std::find(bytes.begin(), bytes.end(), false) - bytes.begin();
      ASSERT_EQ(set.contiguous(), static_cast<std::uint64_t>(gap));
      ASSERT_EQ(set.bytes(), static_cast<std::uint64_t>(std::ranges::count(bytes, true)));
    }
  }
}

TEST(RangePlan, GivesPiecesInOrder) {
  RangePlan plan(100);
  auto one = plan.take(40);
  auto two = plan.take(40);
  auto three = plan.take(40);
  EXPECT_EQ(one->begin, 0u);
  EXPECT_EQ(two->begin, 40u);
  EXPECT_EQ(three->end, 100u);
  EXPECT_FALSE(plan.take(40)) << "too small to be split";
  plan.wrote(two->id, {40, 60});
  EXPECT_EQ(plan.contiguous(), 0u);
  plan.give_back(two->id);
  EXPECT_EQ(plan.take(100)->begin, 60u);
  plan.wrote(one->id, {0, 40});
  EXPECT_EQ(plan.contiguous(), 60u);
  EXPECT_EQ(plan.done_bytes(), 60u);
  EXPECT_FALSE(plan.complete());
  plan.give_back(99);
  EXPECT_EQ(plan.end_of(99), 0u);
}

TEST(RangePlan, SplitsTheLongestPieceAtTheEnd) {
  constexpr std::uint64_t kSize = 8 * RangePlan::kLeastShare;
  RangePlan plan(kSize);
  auto one = plan.take(kSize);
  auto half = plan.take(1);
  ASSERT_TRUE(half);
  EXPECT_EQ(half->begin, kSize / 2);
  EXPECT_EQ(half->end, kSize);
  EXPECT_EQ(plan.end_of(one->id), kSize / 2);
  // Bytes that were on their way past the new end are no less there.
  plan.wrote(one->id, {0, kSize / 2 + 10});
  plan.give_back(one->id);
  plan.give_back(half->id);
  auto rest = plan.take(kSize);
  EXPECT_EQ(rest->begin, kSize / 2 + 10);
}

TEST(RangePlan, RestoresWhatIsThere) {
  RangePlan plan(100);
  plan.restore(Ranges{{0, 10}, {50, 200}});
  EXPECT_EQ(plan.done_bytes(), 60u);
  auto piece = plan.take(100);
  EXPECT_EQ(piece->begin, 10u);
  EXPECT_EQ(piece->end, 50u);
  plan.wrote(piece->id, {10, 50});
  EXPECT_TRUE(plan.complete());
  EXPECT_FALSE(plan.anything_open());
}

// However pieces come, fail and come again, every byte is written in the end, and none is asked
// for while it is there.
TEST(RangePlan, EveryByteComesInTheEnd) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::uint64_t size = 1 + random() % (12 * RangePlan::kLeastShare);
    RangePlan plan(size);
    RangeSet written;
    std::vector<std::pair<Piece, std::uint64_t>> out;
    for (int step = 0; step < 2000 && !plan.complete(); ++step) {
      if (out.size() < 4) {
        if (auto piece = plan.take(1 + random() % (3 * RangePlan::kLeastShare))) {
          out.emplace_back(*piece, piece->begin);
        }
      }
      if (out.empty()) continue;
      auto& [piece, at] = out[random() % out.size()];
      std::uint64_t end = plan.end_of(piece.id);
      std::uint64_t next = std::min(end, at + 1 + random() % RangePlan::kLeastShare);
      if (at < end) {
        std::uint64_t before = written.bytes();
        written.add({at, next});
        ASSERT_EQ(written.bytes(), before + next - at) << "a byte came twice";
        plan.wrote(piece.id, {at, next});
        at = next;
      }
      if (at >= end || random() % 10 == 0) {
        plan.give_back(piece.id);
        auto id = piece.id;
        std::erase_if(out, [&](const auto& each) { return each.first.id == id; });
      }
    }
    ASSERT_TRUE(plan.complete());
    ASSERT_EQ(written.bytes(), size);
  }
}

TEST(HashOrder, OnlyTheNextBytesMayBeClaimed) {
  HashOrder order;
  EXPECT_FALSE(order.claim(5));
  EXPECT_TRUE(order.claim(0));
  EXPECT_FALSE(order.claim(0)) << "somebody has them";
  EXPECT_FALSE(order.claim_next(100, 10));
  order.release(8);
  EXPECT_EQ(order.at(), 8u);
  EXPECT_FALSE(order.claim_next(8, 10));
  EXPECT_EQ(order.claim_next(100, 10), (ByteRange{8, 18}));
  order.release(18);
  EXPECT_EQ(order.claim_next(20, 10), (ByteRange{18, 20}));
}

TEST(RangeJournal, ComesBackAsItWas) {
  RangeJournal journal{1000, "\"abc\"", {{0, 10}, {20, 1000}}};
  EXPECT_EQ(*parse_range_journal(to_text(journal)), journal);
  RangeJournal bare{5, "", {}};
  EXPECT_EQ(*parse_range_journal(to_text(bare)), bare);
  RangeJournal odd{5, "a\nb", {}};
  EXPECT_EQ(parse_range_journal(to_text(odd))->tag, "") << "such a tag is not kept";
}

TEST(RangeJournal, AnyChangeIsSeen) {
  std::string text = to_text({1000, "\"abc\"", {{0, 10}, {20, 1000}}});
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(parse_range_journal(changed)) << i;
    EXPECT_FALSE(parse_range_journal(text.substr(0, i))) << i;
  }
  EXPECT_FALSE(parse_range_journal(text + "x"));
}

TEST(RangeJournal, RightlySummedNonsenseIsRefused) {
  for (const auto& done : std::vector<Ranges>{{{5, 5}}, {{0, 11}}, {{5, 8}, {2, 4}}, {{8, 2}}}) {
    EXPECT_FALSE(parse_range_journal(to_text({10, "", done})));
  }
}

// --- answers

using Kind = RangeVerdict::Kind;

RangeHead part(std::string_view range, std::string_view length, std::string_view tag = "\"t\"") {
  return {206, range, length, tag};
}

TEST(RangeAnswer, APartIsWhatWasAskedFor) {
  RangeAsk ask{{10, 20}, 100, "\"t\""};
  auto verdict = judge(ask, part("bytes 10-19/100", "10"));
  EXPECT_EQ(verdict.kind, Kind::part);
  EXPECT_EQ(verdict.range, (ByteRange{10, 20}));
  EXPECT_EQ(judge(ask, part("bytes 10-14/100", "5")).range.end, 15u) << "less is no lie";
  EXPECT_EQ(judge({{0, 50}, std::nullopt, ""}, part("bytes 0-9/10", "10")).total, 10u);
}

TEST(RangeAnswer, WhatContradictsItselfIsWrong) {
  RangeAsk ask{{10, 20}, 100, ""};
  for (auto range : {"bytes 11-20/100", "bytes 10-20/100", "bytes 9-19/100", "bytes 10-19",
                     "items 10-19/100", "bytes */100", "bytes 19-10/100", "bytes x-19/100", ""}) {
    EXPECT_EQ(judge(ask, part(range, "10")).kind, Kind::wrong) << range;
  }
  EXPECT_EQ(judge(ask, part("bytes 10-19/100", "11")).kind, Kind::wrong);
  EXPECT_EQ(judge(ask, {206, std::nullopt, "10", "\"t\""}).kind, Kind::wrong);
  EXPECT_EQ(judge({{0, 5}, std::nullopt, ""}, part("bytes 0-4/*", "5")).kind, Kind::wrong);
  EXPECT_EQ(judge({{0, 5}, std::nullopt, ""}, part("bytes 0-4/3", "5")).kind, Kind::wrong);
}

TEST(RangeAnswer, AnotherFileIsSeen) {
  RangeAsk ask{{10, 20}, 100, "\"t\""};
  EXPECT_EQ(judge(ask, part("bytes 10-19/101", "10")).kind, Kind::changed);
  EXPECT_EQ(judge(ask, part("bytes 10-19/100", "10", "\"u\"")).kind, Kind::changed);
  EXPECT_EQ(judge(ask, {200, std::nullopt, "100", "\"u\""}).kind, Kind::changed);
  EXPECT_EQ(judge(ask, {200, std::nullopt, "99", "\"t\""}).kind, Kind::changed);
  EXPECT_EQ(judge(ask, {416, "bytes */5", std::nullopt, std::nullopt}).kind, Kind::changed);
}

TEST(RangeAnswer, TheWholeFile) {
  RangeAsk ask{{0, 20}, std::nullopt, ""};
  auto verdict = judge(ask, {200, std::nullopt, "100", "\"t\""});
  EXPECT_EQ(verdict.kind, Kind::whole);
  EXPECT_EQ(verdict.range, (ByteRange{0, 100}));
  EXPECT_EQ(judge(ask, {200, std::nullopt, std::nullopt, std::nullopt}).total, std::nullopt);
  EXPECT_EQ(judge(ask, {416, "bytes */0", std::nullopt, std::nullopt}).kind, Kind::part);
  EXPECT_EQ(judge(ask, {416, std::nullopt, std::nullopt, std::nullopt}).kind, Kind::refused);
  EXPECT_EQ(judge(ask, {404, std::nullopt, std::nullopt, std::nullopt}).kind, Kind::refused);
}

TEST(RangeAnswer, OnlyStrongTagsCompare) {
  EXPECT_TRUE(is_strong_tag("\"x\""));
  EXPECT_FALSE(is_strong_tag("W/\"x\""));
  EXPECT_FALSE(is_strong_tag("\""));
}

// --- time

TEST(Throttle, HoldsTheRate) {
  sys::ManualClock clock;
  Throttle throttle(1000);
  EXPECT_EQ(throttle.take(200, clock.now()).count(), 0) << "a burst is free";
  auto began = clock.now();
  std::uint64_t taken = 200;
  for (int i = 0; i < 100; ++i) {
    clock.advance(throttle.take(100, clock.now()));
    taken += 100;
  }
  double seconds = std::chrono::duration<double>(clock.now() - began).count();
  EXPECT_NEAR(seconds, static_cast<double>(taken) / 1000, 0.3);
  throttle.set_rate(0);
  EXPECT_EQ(throttle.rate(), 0u);
  EXPECT_EQ(throttle.take(1 << 30, clock.now()).count(), 0);
}

TEST(Throttle, DoesNotSaveUp) {
  sys::ManualClock clock;
  Throttle throttle(1000);
  (void)throttle.take(1, clock.now());
  clock.advance(1h);
  EXPECT_GT(throttle.take(2000, clock.now()), 1s);
}

TEST(TransferRate, IsThatOfTheLastSeconds) {
  sys::ManualClock clock;
  TransferRate rate;
  EXPECT_EQ(rate.bytes_per_second(), 0u);
  EXPECT_FALSE(rate.remaining(100));
  std::uint64_t bytes = 0;
  for (int i = 0; i < 100; ++i) {
    rate.observe(bytes, clock.now());
    bytes += i < 50 ? 10 : 100;
    clock.advance(100ms);
  }
  EXPECT_NEAR(static_cast<double>(rate.bytes_per_second()), 1000, 60);
  EXPECT_NEAR(static_cast<double>(rate.remaining(10'000)->count()), 10, 1);
  rate.observe(5, clock.now());
  EXPECT_EQ(rate.bytes_per_second(), 0u) << "it began anew";
  rate.reset();
  EXPECT_FALSE(rate.remaining(1));
}

}  // namespace
}  // namespace corral::models::fetch_cores_test
