#include "gateway/core/embedding_batch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace corral::gateway::embedding_batch_test {
namespace {

using namespace std::chrono_literals;
using Verdict = EmbeddingBatch::Verdict;
using Time = EmbeddingBatch::Time;

AnswerKey key_of(std::uint8_t number) {
  AnswerKey key{};
  key[0] = number;
  return key;
}

const AnswerKey kKey = key_of(1);
const Time kStart{1h};

class EmbeddingBatchTest : public testing::Test {
 protected:
  EmbeddingBatch::Place offer(std::size_t inputs = 1, std::size_t bytes = 10,
                              AnswerKey key = kKey) {
    return batch.offer(key, inputs, bytes, 3ms, kStart);
  }
  EmbeddingBatch batch{{.inputs = 4, .bytes = 100}};
};

TEST_F(EmbeddingBatchTest, NobodyWaitsAlone) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(offer().verdict, Verdict::alone);
    EXPECT_EQ(batch.ended(kKey), std::nullopt);
  }
  EXPECT_TRUE(batch.idle());
}

TEST_F(EmbeddingBatchTest, OthersGatherWhileOneIsUnderWay) {
  EXPECT_EQ(offer().verdict, Verdict::alone);
  auto first = offer();
  EXPECT_EQ(first.verdict, Verdict::opened);
  EXPECT_EQ(first.due, kStart + 3ms);
  EXPECT_EQ(first.take_now, std::nullopt);
  auto second = offer();
  EXPECT_EQ(second.verdict, Verdict::joined);
  EXPECT_EQ(second.batch, first.batch);
  EXPECT_EQ(batch.waiting(), 2u);
  EXPECT_EQ(batch.take(first.batch), (std::vector{first.member, second.member}));
  EXPECT_TRUE(batch.take(first.batch).empty());
  EXPECT_EQ(batch.waiting(), 0u);
  // The first and the batch are under way now.
  EXPECT_EQ(batch.ended(kKey), std::nullopt);
  EXPECT_EQ(offer().verdict, Verdict::opened);
}

TEST_F(EmbeddingBatchTest, ABatchGoesWhenNothingIsLeftToWaitFor) {
  (void)offer();
  (void)offer(4);  // too large to be joined: it goes, and counts
  auto open = offer();
  EXPECT_EQ(batch.ended(kKey), std::nullopt);
  EXPECT_EQ(batch.ended(kKey), open.batch);
  EXPECT_EQ(batch.take(open.batch).size(), 1u);
  EXPECT_EQ(batch.ended(kKey), std::nullopt);
  EXPECT_TRUE(batch.idle());
}

TEST_F(EmbeddingBatchTest, ABatchIsFullByInputsOrBytes) {
  (void)offer();
  (void)offer(2);
  auto full = offer(2);
  EXPECT_EQ(full.take_now, full.batch);
  EXPECT_EQ(batch.take(full.batch).size(), 2u);
  (void)offer(1, 60);
  full = offer(1, 40);
  EXPECT_EQ(full.take_now, full.batch);
}

TEST_F(EmbeddingBatchTest, WhatDoesNotFitOpensTheNextBatch) {
  (void)offer();
  auto first = offer(3);
  auto second = offer(2);
  EXPECT_EQ(second.verdict, Verdict::opened);
  EXPECT_NE(second.batch, first.batch);
  EXPECT_EQ(second.take_now, first.batch);
  EXPECT_EQ(batch.take(first.batch), std::vector{first.member});
  EXPECT_EQ(batch.take(second.batch), std::vector{second.member});
}

TEST_F(EmbeddingBatchTest, LargeRequestsAndNoWindowAreNeverJoined) {
  (void)offer();
  EXPECT_EQ(offer(4).verdict, Verdict::alone);
  EXPECT_EQ(offer(1, 100).verdict, Verdict::alone);
  EXPECT_EQ(batch.offer(kKey, 1, 1, 0ms, kStart).verdict, Verdict::alone);
  for (int i = 0; i < 4; ++i) (void)batch.ended(kKey);
  EXPECT_TRUE(batch.idle());
}

TEST_F(EmbeddingBatchTest, KeysDoNotMix) {
  (void)offer();
  (void)offer(1, 1, key_of(2));
  auto one = offer();
  auto two = offer(1, 1, key_of(2));
  EXPECT_EQ(two.verdict, Verdict::opened);
  EXPECT_NE(one.batch, two.batch);
  EXPECT_EQ(batch.ended(key_of(2)), two.batch);
  EXPECT_EQ(batch.ended(key_of(3)), std::nullopt);
}

TEST_F(EmbeddingBatchTest, WhoLeavesMakesRoomAndTheLastOneClosesTheBatch) {
  (void)offer();
  auto first = offer(2);
  auto second = offer(1);
  batch.leave(first.batch, first.member);
  batch.leave(first.batch, first.member);
  auto third = offer(2);
  EXPECT_EQ(third.verdict, Verdict::joined);
  EXPECT_EQ(third.take_now, std::nullopt);
  batch.leave(second.batch, second.member);
  batch.leave(third.batch, third.member);
  batch.leave(third.batch, third.member);
  EXPECT_EQ(batch.waiting(), 0u);
  EXPECT_TRUE(batch.take(first.batch).empty());
  EXPECT_EQ(batch.ended(kKey), std::nullopt);
  EXPECT_TRUE(batch.idle());
}

TEST_F(EmbeddingBatchTest, TheLastToLeaveForgetsItsKey) {
  (void)offer();
  auto open = offer();
  EXPECT_EQ(batch.ended(kKey), open.batch);  // told, but before it is taken...
  batch.leave(open.batch, open.member);
  EXPECT_TRUE(batch.idle());
}

// Whatever comes in whatever order: everybody is sent exactly once or leaves; no batch is over its
// limits or mixes keys; members keep their order; nobody waits past the window; a request waits
// only while another of its key is under way; nothing is left at the end.
TEST(EmbeddingBatchProperty, HoldsWhateverHappens) {
  constexpr auto kWindow = 3ms;
  constexpr std::size_t kInputs = 8, kBytes = 200;
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    EmbeddingBatch batch({.inputs = kInputs, .bytes = kBytes}, seed);
    struct Waiting {
      int key;
      std::size_t inputs, bytes;
      EmbeddingBatch::BatchId batch;
      Time since;
    };
    std::map<EmbeddingBatch::MemberId, Waiting> waiting;
    std::multimap<Time, EmbeddingBatch::BatchId> due;
    std::map<int, std::size_t> under_way;
    std::vector<int> calls;  // keys of calls under way
    Time now = kStart;

    auto take = [&](EmbeddingBatch::BatchId id) {
      auto members = batch.take(id);
      if (members.empty()) return;
      std::size_t inputs = 0, bytes = 0;
      int key = waiting.at(members.front()).key;
      EXPECT_TRUE(std::ranges::is_sorted(members));
      for (auto member : members) {
        auto one = waiting.extract(member);
        ASSERT_FALSE(one.empty()) << "sent twice";
        EXPECT_EQ(one.mapped().key, key);
        EXPECT_LE(now - one.mapped().since, kWindow);
        inputs += one.mapped().inputs;
        bytes += one.mapped().bytes;
      }
      EXPECT_LE(inputs, kInputs);
      EXPECT_LE(bytes, kBytes);
      ++under_way[key];
      calls.push_back(key);
    };
    auto end_one = [&] {
      if (calls.empty()) return;
      std::size_t which = random() % calls.size();
      int key = calls[which];
      calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(which));
      --under_way[key];
      if (auto next = batch.ended(key_of(static_cast<std::uint8_t>(key)))) take(*next);
      if (under_way[key] == 0) {
        EXPECT_TRUE(std::ranges::none_of(
            waiting, [key](const auto& each) { return each.second.key == key; }));
      }
    };
    auto come = [&] {
      int key = static_cast<int>(random() % 3);
      std::size_t inputs = 1 + random() % 4, bytes = 1 + random() % 80;
      if (random() % 20 == 0) inputs = kInputs;
      auto place = batch.offer(key_of(static_cast<std::uint8_t>(key)), inputs, bytes, kWindow, now);
      if (place.verdict == Verdict::alone) {
        EXPECT_TRUE(under_way[key] == 0 || inputs >= kInputs || bytes >= kBytes);
        ++under_way[key];
        calls.push_back(key);
      } else {
        waiting[place.member] = {key, inputs, bytes, place.batch, now};
        if (place.verdict == Verdict::opened) due.emplace(place.due, place.batch);
      }
      if (place.take_now) take(*place.take_now);
    };
    auto leave_one = [&] {
      if (waiting.empty()) return;
      auto one = std::next(waiting.begin(), static_cast<std::ptrdiff_t>(random() % waiting.size()));
      batch.leave(one->second.batch, one->first);
      waiting.erase(one);
    };
    auto pass_time = [&] {
      now += std::chrono::microseconds(random() % 2000);
      // A driver's timers fire when they are due, not when it next looks.
      auto look = std::exchange(now, now);
      while (!due.empty() && due.begin()->first <= look) {
        now = due.begin()->first;
        auto id = due.begin()->second;
        due.erase(due.begin());
        take(id);
      }
      now = look;
    };
    for (int step = 0; step < 1500; ++step) {
      switch (random() % 8) {
        case 0:
        case 1: end_one(); break;
        case 2: leave_one(); break;
        case 3: pass_time(); break;
        default: come(); break;
      }
      EXPECT_EQ(batch.waiting(), waiting.size());
    }
    while (!calls.empty()) end_one();
    EXPECT_TRUE(waiting.empty());
    EXPECT_TRUE(batch.idle()) << seed;
  }
}

}  // namespace
}  // namespace corral::gateway::embedding_batch_test
