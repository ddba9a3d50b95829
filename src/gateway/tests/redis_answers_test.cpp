#include "gateway/redis_answers.hpp"

#include <gtest/gtest.h>

#include <random>

#include "gateway/answer_key.hpp"
#include "net/tests/test_support.hpp"
#include "store/tests/redis_server.hpp"

namespace corral::gateway::redis_answers_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;

const WallTime kMade = WallTime(std::chrono::sys_days{std::chrono::year{2026} / 5 / 4});

// --- the form ------------------------------------------------------------------------------------

TEST(KeptForm, ComesBackAsItWas) {
  KeptAnswer answer{"text/event-stream", std::string("data: \0\xff\n\n", 10)};
  auto packed = pack_answer(answer, kMade + 123ms);
  EXPECT_TRUE(packed.starts_with("CRA1"));
  auto unpacked = unpack_answer(packed);
  ASSERT_TRUE(unpacked);
  EXPECT_EQ(unpacked->answer.content_type, answer.content_type);
  EXPECT_EQ(unpacked->answer.body, answer.body);
  EXPECT_EQ(unpacked->made, kMade + 123ms);
  EXPECT_TRUE(unpack_answer(pack_answer({"a", ""}, kMade)));
}

TEST(KeptForm, NothingElseIsTakenForAnAnswer) {
  auto good = pack_answer({"application/json", "{}"}, kMade);
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(unpack_answer(std::string_view(good).substr(0, size))) << size;
  }
  EXPECT_FALSE(unpack_answer(good + "x"));
  auto other_version = good;
  other_version[3] = '2';
  EXPECT_FALSE(unpack_answer(other_version));
  EXPECT_FALSE(unpack_answer(pack_answer({"", "{}"}, kMade)));
  EXPECT_FALSE(unpack_answer(pack_answer({"a\r\nset-cookie: b", "{}"}, kMade)));
  EXPECT_FALSE(unpack_answer(pack_answer({std::string(300, 'a'), "{}"}, kMade)));
  EXPECT_FALSE(unpack_answer(pack_answer({"a", "{}"}, WallTime(-1ms))));
  std::mt19937 random(5);
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = good;
    for (int k = 0; k < 3; ++k) bytes[random() % bytes.size()] = static_cast<char>(random());
    auto unpacked = unpack_answer(bytes);
    if (unpacked) {
      EXPECT_EQ(unpacked->answer.content_type.size() + unpacked->answer.body.size(), 18u);
    }
  }
}

// --- the shared level ----------------------------------------------------------------------------

class Records final : public telemetry::LogSink {
 public:
  bool enabled(telemetry::LogLevel) const override { return true; }
  void write(const telemetry::LogRecord& record) override {
    std::lock_guard lock(mutex_);
    text_ += record.message;
    for (const auto& field : record.fields) {
      if (const auto* value = std::get_if<std::string_view>(&field.value)) {
        text_ += fmt::format(" {}={}", field.key, *value);
      }
    }
    text_ += '\n';
  }
  void flush() override {}
  int count(std::string_view wanted) const {
    std::lock_guard lock(mutex_);
    int found = 0;
    for (auto at = text_.find(wanted); at != std::string::npos; at = text_.find(wanted, at + 1)) {
      ++found;
    }
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

KeptAnswerPtr answer_of(std::string body) {
  return std::make_shared<const KeptAnswer>(KeptAnswer{"application/json", std::move(body)});
}

class RedisAnswersTest : public testing::Test {
 protected:
  ~RedisAnswersTest() override {
    stop();
    loops_.end();
  }
  void make(store::RedisUrl url) {
    store::RedisOptions options;
    options.url = std::move(url);
    options.pause_min = 5ms;
    options.pause_max = 20ms;
    options.limits.patience = 10s;  // tests run beside each other
    answers_ = std::make_unique<RedisAnswers>(loops_.shards(), options, metrics_,
                                              telemetry::Logger(log_, "gateway"), clock_);
    answers_->start();
  }
  void stop() {
    if (!answers_) return;
    loops_.run(loops_.shards().control(), answers_->stop());
    answers_.reset();
  }
  bool exposed(const std::string& line) { return metrics_.expose().contains(line + "\n"); }
  bool connected() {
    return eventually([this] { return exposed("corral_shared_cache_connections 2"); });
  }
  std::optional<SharedAnswers::Found> find(std::size_t shard, const AnswerKey& key) {
    return loops_.run(loops_.shards().serving(shard), answers_->find(key));
  }
  void keep(std::size_t shard, const AnswerKey& key, KeptAnswerPtr answer,
            std::chrono::milliseconds ttl = 60s) {
    loops_.run(loops_.shards().serving(shard), answers_->keep(key, std::move(answer), ttl));
  }

  Loops loops_{2};
  telemetry::Metrics metrics_;
  std::shared_ptr<Records> log_ = std::make_shared<Records>();
  sys::ManualClock clock_;
  std::unique_ptr<RedisAnswers> answers_;
  AnswerKey key_ = answer_key({"k"});
};

TEST_F(RedisAnswersTest, WhatOneShardKeepsAnotherFinds) {
  store::RedisServer server("secret");
  make(server.url());
  ASSERT_TRUE(connected());
  EXPECT_FALSE(find(0, key_));
  keep(0, key_, answer_of("kept"));
  clock_.advance(7s);
  auto found = find(1, key_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->answer->body, "kept");
  EXPECT_EQ(found->answer->content_type, "application/json");
  EXPECT_EQ(found->age, 7s);
  clock_.advance(-60s);  // another machine's clock
  EXPECT_EQ(find(1, key_)->age, 0s);
  EXPECT_TRUE(exposed("corral_shared_cache_hits_total 2"));
  EXPECT_TRUE(exposed("corral_shared_cache_misses_total 1"));
  EXPECT_TRUE(exposed("corral_shared_cache_errors_total 0"));
}

TEST_F(RedisAnswersTest, AnswersLeaveWhenTheirTimeIsOver) {
  store::RedisServer server;
  make(server.url());
  ASSERT_TRUE(connected());
  keep(0, key_, answer_of("kept"), 30ms);
  EXPECT_TRUE(eventually([this] { return !find(1, key_); }));
}

TEST_F(RedisAnswersTest, AHugeAnswerIsNotShared) {
  store::RedisServer server;
  make(server.url());
  ASSERT_TRUE(connected());
  keep(0, key_, answer_of(std::string(RedisAnswers::kLargest + 1, 'x')));
  EXPECT_FALSE(find(0, key_));
  keep(0, key_, answer_of(std::string(RedisAnswers::kLargest, 'x')));
  ASSERT_TRUE(find(1, key_));
  EXPECT_EQ(find(1, key_)->answer->body.size(), RedisAnswers::kLargest);
}

TEST_F(RedisAnswersTest, WithoutRedisThereIsNothingAndItIsSaidOnce) {
  store::RedisServer server("secret");
  make(server.url());
  ASSERT_TRUE(connected());
  server.kill();
  ASSERT_TRUE(eventually([this] { return exposed("corral_shared_cache_connections 0"); }));
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(find(static_cast<std::size_t>(i % 2), key_));
    keep(0, key_, answer_of("lost"));
  }
  EXPECT_TRUE(exposed("corral_shared_cache_errors_total 10"));
  EXPECT_TRUE(eventually([this] { return log_->count("cannot be reached") == 1; }));
  server.start();
  ASSERT_TRUE(connected());
  EXPECT_EQ(log_->count("shared again"), 1);
  EXPECT_EQ(log_->count("cannot be reached"), 1);
  EXPECT_EQ(log_->count("secret"), 0);
  keep(0, key_, answer_of("kept"));
  EXPECT_TRUE(find(1, key_));
}

TEST_F(RedisAnswersTest, WhatRedisRefusesIsSaidOnceUntilItWorksAgain) {
  store::RedisServer server({}, {"maxmemory 1", "maxmemory-policy noeviction"});
  make(server.url());
  ASSERT_TRUE(connected());
  for (int i = 0; i < 3; ++i) keep(0, key_, answer_of("kept"));
  EXPECT_EQ(log_->count("refuses"), 1);
  EXPECT_TRUE(exposed("corral_shared_cache_errors_total 3"));
  EXPECT_FALSE(find(0, key_));
}

TEST_F(RedisAnswersTest, TheStoreFindsWhatAnotherProcessKept) {
  store::RedisServer server;
  make(server.url());
  ASSERT_TRUE(connected());
  AnswerStore one({}, metrics_, answers_.get()), other({}, metrics_, answers_.get());
  auto& shard = loops_.shards().serving(0);
  loops_.run(shard, one.share(key_, answer_of("kept"), 60s));
  EXPECT_FALSE(other.find(key_));
  auto found = loops_.run(shard, other.find_anywhere(key_, 60s));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->answer->body, "kept");
  EXPECT_TRUE(other.find(key_));
}

}  // namespace
}  // namespace corral::gateway::redis_answers_test
