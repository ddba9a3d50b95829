#include "gateway/core/answer_cache.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace corral::gateway::answer_cache_test {
namespace {

using namespace std::chrono_literals;
using Time = AnswerCache::Time;

AnswerKey key_of(std::uint64_t number) {
  AnswerKey key{};
  for (std::size_t i = 0; i < 8; ++i) key[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return key;
}

KeptAnswerPtr answer_of(std::string body) {
  return std::make_shared<const KeptAnswer>(KeptAnswer{"", std::move(body)});
}

// An answer that costs exactly `cost`.
KeptAnswerPtr costing(std::size_t cost) {
  return answer_of(std::string(cost - AnswerCache::kOverhead, 'x'));
}

TEST(AnswerCache, FindsWhatWasPutAndSaysHowOldItIs) {
  AnswerCache cache({.limit = 1 << 20});
  Time now{};
  EXPECT_FALSE(cache.find(key_of(1), now));
  auto put = cache.put(key_of(1), answer_of("one"), 60s, now);
  EXPECT_TRUE(put.kept);
  EXPECT_TRUE(put.dropped.empty());
  auto found = cache.find(key_of(1), now + 7s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->answer->body, "one");
  EXPECT_EQ(found->age, 7s);
  EXPECT_FALSE(cache.find(key_of(2), now));
}

TEST(AnswerCache, ForgetsWhenTheTimeIsOver) {
  AnswerCache cache({.limit = 1 << 20});
  Time now{};
  cache.put(key_of(1), answer_of("one"), 60s, now);
  EXPECT_TRUE(cache.find(key_of(1), now + 60s - 1ns));
  EXPECT_FALSE(cache.find(key_of(1), now + 60s));
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(AnswerCache, AnAnswerThatIsOldAlreadyLeavesEarlier) {
  AnswerCache cache({.limit = 1 << 20});
  Time now = Time{} + 1h;
  EXPECT_TRUE(cache.put(key_of(1), answer_of("one"), 60s, now, 50s).kept);
  EXPECT_EQ(cache.find(key_of(1), now + 5s)->age, 55s);
  EXPECT_FALSE(cache.find(key_of(1), now + 10s));
  EXPECT_FALSE(cache.put(key_of(2), answer_of("two"), 60s, now, 60s).kept);
}

TEST(AnswerCache, NothingIsKeptForNoTime) {
  AnswerCache cache({.limit = 1 << 20});
  EXPECT_FALSE(cache.put(key_of(1), answer_of("one"), 0s, Time{}).kept);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(AnswerCache, ReplacesTheAnswerOfAKey) {
  AnswerCache cache({.limit = 1 << 20});
  Time now{};
  cache.put(key_of(1), answer_of("old and long"), 60s, now);
  auto before = cache.bytes();
  auto put = cache.put(key_of(1), answer_of("new"), 60s, now + 1s);
  ASSERT_EQ(put.dropped.size(), 1u);
  EXPECT_EQ(put.dropped[0]->body, "old and long");
  EXPECT_EQ(put.evicted, 0u);
  EXPECT_EQ(cache.find(key_of(1), now + 2s)->answer->body, "new");
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(cache.bytes(), before - 9);
}

TEST(AnswerCache, TheLeastRecentlyUsedLeavesFirst) {
  AnswerCache cache({.limit = 8000});
  Time now{};
  for (std::uint64_t i = 0; i < 8; ++i) cache.put(key_of(i), costing(1000), 60s, now);
  EXPECT_EQ(cache.bytes(), 8000u);
  EXPECT_TRUE(cache.find(key_of(0), now));
  auto put = cache.put(key_of(8), costing(1000), 60s, now);
  EXPECT_TRUE(put.kept);
  EXPECT_EQ(put.evicted, 1u);
  EXPECT_TRUE(cache.find(key_of(0), now));
  EXPECT_FALSE(cache.find(key_of(1), now));
  EXPECT_EQ(cache.bytes(), 8000u);
}

TEST(AnswerCache, AHugeAnswerIsRefusedAndEvictsNothing) {
  AnswerCache cache({.limit = 8000});
  Time now{};
  for (std::uint64_t i = 0; i < 8; ++i) cache.put(key_of(i), costing(1000), 60s, now);
  auto put = cache.put(key_of(99), costing(1001), 60s, now);
  EXPECT_FALSE(put.kept);
  EXPECT_TRUE(put.dropped.empty());
  EXPECT_EQ(cache.size(), 8u);
  EXPECT_EQ(cache.largest(), 1000 - AnswerCache::kOverhead);
}

TEST(AnswerCache, AHugeAnswerUnderAKnownKeyTakesTheOldOneAway) {
  // The old one is no longer what the backend says.
  AnswerCache cache({.limit = 8000});
  cache.put(key_of(1), costing(500), 60s, Time{});
  EXPECT_FALSE(cache.put(key_of(1), costing(2000), 60s, Time{}).kept);
  EXPECT_FALSE(cache.find(key_of(1), Time{}));
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(AnswerCache, ALimitOfZeroKeepsNothing) {
  AnswerCache cache({.limit = 0});
  EXPECT_FALSE(cache.put(key_of(1), answer_of(""), 60s, Time{}).kept);
  EXPECT_EQ(cache.largest(), 0u);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(AnswerCache, ExpiredOnesGoBeforeGoodOnes) {
  AnswerCache cache({.limit = 8000});
  Time now{};
  cache.put(key_of(0), costing(1000), 1s, now);
  for (std::uint64_t i = 1; i < 8; ++i) cache.put(key_of(i), costing(1000), 60s, now);
  auto put = cache.put(key_of(8), costing(1000), 60s, now + 2s);
  EXPECT_TRUE(put.kept);
  EXPECT_EQ(put.evicted, 0u);  // its time was over
  EXPECT_EQ(put.dropped.size(), 1u);
  EXPECT_TRUE(cache.find(key_of(1), now + 2s));
}

TEST(AnswerCache, ExpireTakesAtMostSoMany) {
  AnswerCache cache({.limit = 1 << 20});
  for (std::uint64_t i = 0; i < 5; ++i) cache.put(key_of(i), answer_of("x"), 1s, Time{});
  EXPECT_TRUE(cache.expire(Time{}, 10).empty());
  EXPECT_EQ(cache.expire(Time{} + 1s, 3).size(), 3u);
  EXPECT_EQ(cache.expire(Time{} + 1s, 3).size(), 2u);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(AnswerCache, ASmallerLimitEvictsAtOnce) {
  AnswerCache cache({.limit = 8000});
  for (std::uint64_t i = 0; i < 8; ++i) cache.put(key_of(i), costing(1000), 60s, Time{});
  auto result = cache.set_limit(3500);
  EXPECT_EQ(result.evicted, 5u);
  EXPECT_EQ(cache.bytes(), 3000u);
  EXPECT_TRUE(cache.find(key_of(7), Time{}));
  EXPECT_FALSE(cache.find(key_of(4), Time{}));
  cache.set_limit(0);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(AnswerCache, AnAnswerOutlivesItsEviction) {
  AnswerCache cache({.limit = 8000});
  cache.put(key_of(1), answer_of("still read"), 60s, Time{});
  auto found = cache.find(key_of(1), Time{});
  cache.set_limit(0);
  EXPECT_EQ(found->answer->body, "still read");
}

TEST(AnswerCache, KeysThatDifferInTheirEndAreDifferent) {
  AnswerCache cache({.limit = 1 << 20, .seed = 7});
  AnswerKey a{}, b{};
  b[31] = 1;
  cache.put(a, answer_of("a"), 60s, Time{});
  EXPECT_FALSE(cache.find(b, Time{}));
  cache.put(b, answer_of("b"), 60s, Time{});
  EXPECT_EQ(cache.find(a, Time{})->answer->body, "a");
  EXPECT_EQ(cache.find(b, Time{})->answer->body, "b");
}

TEST(AnswerKeyHash, DependsOnTheSeed) {
  int same = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    same += AnswerKeyHash(1)(key_of(i)) == AnswerKeyHash(2)(key_of(i));
  }
  EXPECT_LT(same, 2);
}

// A slow, plain model of the cache: a list of what was used, newest first.
class Model {
 public:
  explicit Model(std::size_t limit) : limit_(limit) {}
  struct Entry {
    std::uint64_t key;
    std::string body;
    Time until;
  };
  static std::size_t cost(const Entry& e) { return AnswerCache::kOverhead + e.body.size(); }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& e : entries_) sum += cost(e);
    return sum;
  }
  const std::string* find(std::uint64_t key, Time now) {
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->key != key) continue;
      Entry entry = *it;
      entries_.erase(it);
      if (now >= entry.until) return nullptr;
      entries_.push_front(entry);
      return &entries_.front().body;
    }
    return nullptr;
  }
  void put(std::uint64_t key, std::string body, AnswerCache::Duration ttl, Time now) {
    std::erase_if(entries_, [&](const Entry& e) { return e.key == key; });
    Entry entry{key, std::move(body), now + ttl};
    if (cost(entry) > limit_ / AnswerCache::kLargestPart || ttl <= 0s) return;
    for (int i = 0; i < 2 && !entries_.empty() && now >= entries_.back().until; ++i) {
      entries_.pop_back();
    }
    while (bytes() + cost(entry) > limit_) entries_.pop_back();
    entries_.push_front(std::move(entry));
  }
  std::size_t size() const { return entries_.size(); }

 private:
  std::size_t limit_;
  std::deque<Entry> entries_;
};

TEST(AnswerCacheProperty, BehavesAsAPlainModelDoes) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    AnswerCache cache({.limit = 20'000, .seed = seed});
    Model model(20'000);
    Time now{};
    for (int step = 0; step < 2000; ++step) {
      std::uint64_t key = random() % 60;
      now += std::chrono::milliseconds(random() % 300);
      if (random() % 2 == 0) {
        std::string body(random() % 2600, static_cast<char>('a' + random() % 26));
        auto ttl = std::chrono::seconds(random() % 20);
        cache.put(key_of(key), answer_of(body), ttl, now);
        model.put(key, body, ttl, now);
      } else {
        auto found = cache.find(key_of(key), now);
        const std::string* expected = model.find(key, now);
        ASSERT_EQ(found.has_value(), expected != nullptr) << "seed " << seed << " step " << step;
        if (found) ASSERT_EQ(found->answer->body, *expected);
      }
      ASSERT_EQ(cache.size(), model.size());
      ASSERT_EQ(cache.bytes(), model.bytes());
      ASSERT_LE(cache.bytes(), cache.limit());
    }
  }
}

}  // namespace
}  // namespace corral::gateway::answer_cache_test
