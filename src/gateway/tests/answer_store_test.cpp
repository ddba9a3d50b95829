#include "gateway/answer_store.hpp"

#include <gtest/gtest.h>

#include <random>

#include "gateway/answer_key.hpp"
#include "net/tests/test_support.hpp"

namespace corral::gateway::answer_store_test {
namespace {

using namespace std::chrono_literals;
using Ending = FlightGroup::Ending;
using Kind = AnswerReader::Kind;
using net::testing::eventually;
using net::testing::Loops;

AnswerPiecePtr piece(std::string bytes) {
  return std::make_shared<const AnswerPiece>(AnswerPiece{nullptr, std::move(bytes)});
}

KeptAnswerPtr answer_of(std::string body) {
  return std::make_shared<const KeptAnswer>(KeptAnswer{"application/json", std::move(body)});
}

struct ReadAll {
  std::string text;
  Kind end = Kind::failed;
  bool led = false;
};

// Reads to the end; who is told to lead says `own` and is done.
net::Task<ReadAll> read_all(std::shared_ptr<AnswerReader> reader, std::string own) {
  ReadAll all;
  for (;;) {
    auto next = co_await reader->next();
    if (next.kind == Kind::piece) {
      all.text += next.piece->bytes;
      continue;
    }
    if (next.kind == Kind::lead) {
      all.led = true;
      auto appended = co_await next.maker->append(piece(own));
      EXPECT_TRUE(appended);
      next.maker->end(Ending::complete);
      continue;
    }
    all.end = next.kind;
    co_return all;
  }
}

net::Task<bool> say(AnswerMaker* maker, std::vector<std::string> texts) {
  for (auto& text : texts) {
    auto appended = co_await maker->append(piece(std::move(text)));
    if (!appended) co_return false;
  }
  co_return true;
}

net::Task<void> note_first(std::shared_ptr<AnswerReader> reader, std::atomic<int>* kind) {
  auto next = co_await reader->next();
  *kind = static_cast<int>(next.kind);
}

class AnswerStoreTest : public testing::Test {
 protected:
  AnswerStoreTest() { make(); }
  ~AnswerStoreTest() override { loops.end(); }

  void make(std::size_t flight_bytes = 1 << 20) {
    AnswerStore::Options options;
    options.cache_bytes = 80'000;
    options.flight_bytes = flight_bytes;
    options.seed = 42;
    store = std::make_unique<AnswerStore>(options, metrics, shared.get());
  }
  net::Shard& shard(std::size_t index) { return loops.shards().serving(index); }
  bool exposed(const std::string& line) { return metrics.expose().contains(line + "\n"); }

  Loops loops{3};
  telemetry::Metrics metrics;
  std::unique_ptr<SharedAnswers> shared;
  std::unique_ptr<AnswerStore> store;
  AnswerKey key = answer_key({"k"});
};

TEST(AnswerKey, DependsOnTheBoundsOfItsParts) {
  EXPECT_EQ(answer_key({"a", "b"}), answer_key({"a", "b"}));
  EXPECT_NE(answer_key({"ab", ""}), answer_key({"a", "b"}));
  EXPECT_NE(answer_key({"ab"}), answer_key({"ab", ""}));
  EXPECT_NE(answer_key({"a"}), answer_key({"b"}));
  auto key = answer_key({"x"});
  EXPECT_EQ(text_of(key).size(), 32u);
  EXPECT_NE(answer_key({text_of(key), "high"}), answer_key({text_of(key), "low"}));
}

TEST_F(AnswerStoreTest, KeepsFindsAndCounts) {
  EXPECT_FALSE(store->find(key));
  store->keep(key, answer_of("kept"), 60s);
  auto found = store->find(key);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->answer->body, "kept");
  EXPECT_GT(store->bytes(), 4u);
  EXPECT_TRUE(exposed("corral_cache_bytes " + std::to_string(store->bytes())));
  for (auto use : {CacheUse::hit, CacheUse::miss, CacheUse::miss, CacheUse::joined}) {
    store->count(use);
  }
  EXPECT_TRUE(exposed("corral_cache_hits_total 1"));
  EXPECT_TRUE(exposed("corral_cache_misses_total 2"));
  EXPECT_TRUE(exposed("corral_cache_joined_total 1"));
}

TEST_F(AnswerStoreTest, KeepsToItsLimit) {
  EXPECT_EQ(store->largest(), 10'000 - AnswerCache::kOverhead);
  for (int i = 0; i < 20; ++i) {
    store->keep(answer_key({std::to_string(i)}), answer_of(std::string(8'000, 'x')), 60s);
    EXPECT_LE(store->bytes(), 80'000u);
  }
  EXPECT_TRUE(exposed("corral_cache_evictions_total 11"));
  store->set_limit(0);
  EXPECT_EQ(store->bytes(), 0u);
  EXPECT_TRUE(exposed("corral_cache_bytes 0"));
  store->keep(key, answer_of("x"), 60s);
  EXPECT_FALSE(store->find(key));
}

TEST_F(AnswerStoreTest, TheTickDropsWhatIsTooOld) {
  store->keep(key, answer_of("short-lived"), 1ms);
  EXPECT_TRUE(eventually([&] {
    store->tick();
    return store->bytes() == 0;
  }));
}

TEST_F(AnswerStoreTest, ReadersOnAllShardsGetTheSame) {
  auto lead = store->join(key);
  ASSERT_TRUE(lead.maker);
  std::vector<std::future<ReadAll>> readings;
  auto read_on = [&](std::size_t index, std::shared_ptr<AnswerReader> reader) {
    readings.push_back(std::async(std::launch::async, [this, index, reader] {
      return loops.run(shard(index), read_all(reader, "unused"));
    }));
  };
  read_on(0, std::move(lead.reader));
  for (std::size_t i = 0; i < 8; ++i) {
    auto seat = store->join(key);
    EXPECT_FALSE(seat.maker);
    read_on(i % 3, std::move(seat.reader));
  }
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    expected += std::to_string(i) + ",";
    EXPECT_TRUE(loops.run(shard(1), say(lead.maker.get(), {std::to_string(i), ","})));
  }
  auto late = store->join(key);
  read_on(2, std::move(late.reader));
  lead.maker->end(Ending::complete);
  for (auto& reading : readings) {
    auto all = reading.get();
    EXPECT_EQ(all.text, expected);
    EXPECT_EQ(all.end, Kind::complete);
  }
  readings.clear();
  EXPECT_TRUE(eventually([&] { return store->flights() == 0; }));
}

TEST_F(AnswerStoreTest, TheLastToLeaveCancelsTheMaking) {
  auto lead = store->join(key);
  auto other = store->join(key);
  int cancelled = 0;
  lead.maker->on_nobody_left([&] { ++cancelled; });
  lead.reader.reset();
  EXPECT_EQ(cancelled, 0);
  EXPECT_TRUE(lead.maker->wanted());
  other.reader.reset();
  EXPECT_EQ(cancelled, 1);
  EXPECT_FALSE(lead.maker->wanted());
  EXPECT_FALSE(loops.run(shard(0), say(lead.maker.get(), {"to nobody"})));
  // Who asks only now is told at once.
  lead.maker->on_nobody_left([&] { ++cancelled; });
  EXPECT_EQ(cancelled, 2);
  EXPECT_TRUE(store->join(key).maker);
}

TEST_F(AnswerStoreTest, AnotherLeadsWhenTheMakerIsGone) {
  auto lead = store->join(key);
  auto follower = store->join(key);
  auto reading = std::async(std::launch::async, [&] {
    return loops.run(shard(2), read_all(std::move(follower.reader), "made by the follower"));
  });
  lead.reader.reset();
  lead.maker.reset();
  auto all = reading.get();
  EXPECT_TRUE(all.led);
  EXPECT_EQ(all.text, "made by the follower");
  EXPECT_EQ(all.end, Kind::complete);
}

TEST_F(AnswerStoreTest, AFailureIsForAll) {
  auto lead = store->join(key);
  auto follower = store->join(key);
  lead.maker->end(Ending::failed);
  EXPECT_EQ(loops.run(shard(0), read_all(std::move(lead.reader), "")).end, Kind::failed);
  EXPECT_EQ(loops.run(shard(1), read_all(std::move(follower.reader), "")).end, Kind::failed);
}

TEST_F(AnswerStoreTest, AWaitingReaderCanBeCancelled) {
  auto lead = store->join(key);
  std::shared_ptr<AnswerReader> reader = std::move(lead.reader);
  std::atomic<int> kind{-1};
  std::optional<net::TaskGroup> group;
  loops.call(shard(0), [&] {
    group.emplace(shard(0));
    group->spawn(note_first(reader, &kind));
    return true;
  });
  loops.call(shard(0), [&] {
    group->cancel();
    return true;
  });
  EXPECT_TRUE(eventually([&] { return kind == static_cast<int>(Kind::left); }));
  EXPECT_TRUE(eventually([&] { return group->running() == 0; }));
  loops.call(shard(0), [&] {
    group.reset();
    return true;
  });
  bool cancelled = false;
  lead.maker->on_nobody_left([&] { cancelled = true; });
  reader.reset();
  EXPECT_TRUE(cancelled);
}

TEST_F(AnswerStoreTest, TheMakerWaitsForTheFastestReaderOnly) {
  make(100);
  auto lead = store->join(key);
  auto slow = store->join(key);
  std::vector<std::string> texts(20, std::string(30, 'x'));
  auto making = std::async(std::launch::async, [&] {
    bool said = loops.run(shard(0), say(lead.maker.get(), texts));
    lead.maker->end(Ending::complete);
    return said;
  });
  auto all = loops.run(shard(1), read_all(std::move(lead.reader), ""));
  EXPECT_TRUE(making.get());
  EXPECT_EQ(all.text.size(), 600u);
  EXPECT_EQ(all.end, Kind::complete);
  EXPECT_EQ(loops.run(shard(2), read_all(std::move(slow.reader), "")).end, Kind::cut);
}

TEST_F(AnswerStoreTest, AMakerThatWaitsLearnsThatNobodyIsLeft) {
  make(100);
  auto lead = store->join(key);
  auto making = std::async(std::launch::async, [&] {
    return loops.run(shard(0), say(lead.maker.get(), {std::string(300, 'x'), "more"}));
  });
  EXPECT_EQ(making.wait_for(20ms), std::future_status::timeout);
  lead.reader.reset();
  EXPECT_FALSE(making.get());
}

// The shared level, as two processes would see it.
class SharedMap final : public SharedAnswers {
 public:
  net::Task<std::optional<Found>> find(AnswerKey wanted) override {
    std::lock_guard lock(mutex_);
    auto found = kept_.find(wanted);
    if (found == kept_.end()) co_return std::nullopt;
    co_return Found{found->second, 5s};
  }
  net::Task<void> keep(AnswerKey wanted, KeptAnswerPtr answer, std::chrono::milliseconds) override {
    std::lock_guard lock(mutex_);
    kept_[wanted] = std::move(answer);
    co_return;
  }

 private:
  std::mutex mutex_;
  std::map<AnswerKey, KeptAnswerPtr> kept_;
};

TEST_F(AnswerStoreTest, WhatOneProcessKeepsAnotherFinds) {
  shared = std::make_unique<SharedMap>();
  make();
  EXPECT_FALSE(loops.run(shard(0), store->find_anywhere(key, 60s)));
  loops.run(shard(0), store->share(key, answer_of("from afar"), 60s));
  loops.run(shard(0), store->share(answer_key({"no time"}), answer_of("x"), 0s));
  telemetry::Metrics others;
  AnswerStore second({}, others, shared.get());
  EXPECT_FALSE(second.find(key));
  auto found = loops.run(shard(1), second.find_anywhere(key, 60s));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->answer->body, "from afar");
  EXPECT_EQ(found->age, 5s);
  auto own = second.find(key);  // kept here too, with its age
  ASSERT_TRUE(own);
  EXPECT_GE(own->age, 5s);
  EXPECT_FALSE(loops.run(shard(1), second.find_anywhere(answer_key({"no time"}), 60s)));
}

// --- many clients of few keys on all shards
// -------------------------------------------------------

struct Crowd {
  AnswerStore& store;
  std::atomic<int> made{0};
  std::atomic<int> wrong{0};
  std::atomic<int> whole{0};
};

constexpr int kPieces = 20;

std::string text_at(int index) { return "<" + std::to_string(index) + ">"; }

net::Task<void> make_answer(std::shared_ptr<AnswerMaker> maker, Crowd* crowd, unsigned luck) {
  ++crowd->made;
  for (int i = 0; i < kPieces; ++i) {
    if (luck % 7 == 0 && i == static_cast<int>(luck % kPieces)) co_return;  // goes away
    auto appended = co_await maker->append(piece(text_at(i)));
    if (!appended) co_return;
    auto slept = co_await net::sleep_for(std::chrono::microseconds(luck % 50));
    if (!slept) co_return;
  }
  maker->end(luck % 11 == 0 ? Ending::failed : Ending::complete);
}

net::Task<void> one_client(Crowd* crowd, net::TaskGroup* group, AnswerKey key, unsigned luck) {
  auto seat = crowd->store.join(key);
  std::string whole;
  for (int i = 0; i < kPieces; ++i) whole += text_at(i);
  std::shared_ptr<AnswerMaker> maker = std::move(seat.maker);
  if (maker) group->spawn(make_answer(std::move(maker), crowd, luck));
  std::string text;
  for (int reads = 0;; ++reads) {
    if (luck % 5 == 0 && reads == static_cast<int>(luck % 13)) co_return;  // leaves early
    auto next = co_await seat.reader->next();
    if (next.kind == Kind::piece) {
      text += next.piece->bytes;
      continue;
    }
    if (next.kind == Kind::lead) {
      if (!text.empty()) ++crowd->wrong;
      maker = std::move(next.maker);
      group->spawn(make_answer(std::move(maker), crowd, luck + 1));
      continue;
    }
    if (next.kind == Kind::complete) ++(text == whole ? crowd->whole : crowd->wrong);
    if (!whole.starts_with(text)) ++crowd->wrong;
    co_return;
  }
}

net::Task<bool> finish(net::TaskGroup* group) {
  co_await group->close();
  co_return true;
}

TEST_F(AnswerStoreTest, ACrowdOnAllShardsGetsWholeAnswersOnly) {
  Crowd crowd{*store};
  std::vector<std::unique_ptr<net::TaskGroup>> groups;
  for (std::size_t i = 0; i < 3; ++i) groups.push_back(std::make_unique<net::TaskGroup>(shard(i)));
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 30; ++i) {
      auto* group = groups[static_cast<std::size_t>(i) % 3].get();
      AnswerKey wanted = answer_key({std::to_string(random() % 3)});
      group->spawn(one_client(&crowd, group, wanted, static_cast<unsigned>(random() % 10'000)));
    }
    if (round % 8 == 0) std::this_thread::yield();
  }
  EXPECT_TRUE(eventually(
      [&] { return groups[0]->running() + groups[1]->running() + groups[2]->running() == 0; },
      30s));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(loops.run(shard(i), finish(groups[i].get())));
    loops.call(shard(i), [&] {
      groups[i].reset();
      return true;
    });
  }
  EXPECT_EQ(crowd.wrong, 0);
  EXPECT_GT(crowd.whole, 100);
  EXPECT_LT(crowd.made, 1200);
  EXPECT_EQ(store->flights(), 0u);
}

}  // namespace
}  // namespace corral::gateway::answer_store_test
