#include "api/openai/cached_answers.hpp"

#include <gtest/gtest.h>

#include <random>

#include "net/tests/test_support.hpp"
#include "net/websocket.hpp"

namespace corral::api::openai::cached_answers_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;

constexpr std::string_view kStream = "data: {\"x\":1}\n\ndata: {\"x\":2}\n\ndata: [DONE]\n\n";

// A client's connection that remembers what it was sent.
class Client final : public net::HttpExchange {
 public:
  const net::HttpRequest& request() const override { return request_; }
  net::Task<Result<std::string_view>> read_body(std::uint64_t) override {
    co_return std::string_view{};
  }
  net::Task<Result<void>> reply(net::HttpReply reply) override {
    outcome_.status = reply.status;
    text += reply.body;
    finished = true;
    co_return Result<void>();
  }
  net::Headers& extra_headers() override { return headers; }
  Result<void> begin(int status, std::string_view) override {
    outcome_.status = status;
    return {};
  }
  net::Task<Result<void>> flush_head() override { co_return Result<void>(); }
  net::Task<Result<void>> send(std::span<const std::string_view> parts) override {
    for (auto part : parts) text += part;
    co_return Result<void>();
  }
  net::Task<Result<void>> finish() override {
    finished = true;
    co_return Result<void>();
  }
  void abort() override { aborted = true; }
  bool begun() const override { return outcome_.status != 0; }
  bool client_gone() const override { return false; }
  const net::HttpOutcome& outcome() const override { return outcome_; }
  net::Task<Result<std::unique_ptr<net::WebSocket>>> upgrade() override {
    co_return std::unexpected(fail(ErrorCode::unsupported, "no"));
  }
  std::string use() const { return std::string(headers.get("x-corral-cache").value_or("none")); }

  net::Headers headers;
  std::string text;
  bool finished = false, aborted = false;

 private:
  net::HttpRequest request_;
  net::HttpOutcome outcome_;
};

// Makes answers as it is told to, and counts.
struct Backend {
  std::atomic<int> begun{0}, ended{0}, cancelled{0};
  std::atomic<bool> open{true};  // false: waits after the first event
  std::atomic<bool> breaks{false}, silent{false};
};

net::Task<void> make_answer(Backend* backend, Call* call, Order* order) {
  ++backend->begun;
  call->notes.model = "made";
  call->notes.usage.completion_tokens = 7;
  if (backend->silent) co_return;
  if (!order->request.stream) {
    while (!backend->open) {
      auto slept = co_await net::sleep_for(1ms);
      if (!slept) {
        ++backend->cancelled;
        co_return;
      }
    }
    net::HttpReply reply;
    reply.body = order->request.body;
    (void)co_await call->exchange.reply(std::move(reply));
    ++backend->ended;
    co_return;
  }
  if (!call->exchange.begin(200, "text/event-stream")) co_return;
  for (std::size_t at = 0; at < kStream.size(); at += 15) {
    std::string_view parts[] = {kStream.substr(at, 15)};
    auto sent = co_await call->exchange.send(parts);
    auto slept = co_await net::sleep_for(1ms);
    while (sent && slept && !backend->open) slept = co_await net::sleep_for(1ms);
    if (!sent || !slept) {
      ++backend->cancelled;
      co_return;
    }
    if (backend->breaks) {
      call->exchange.abort();
      co_return;
    }
  }
  (void)co_await call->exchange.finish();
  ++backend->ended;
}

class CachedAnswersTest : public testing::Test {
 protected:
  struct Asking {
    Client client;
    Call call{client, {}, {}};
    std::atomic<bool> over{false};
    std::unique_ptr<net::TaskGroup> group;
    net::Shard* shard = nullptr;
  };

  ~CachedAnswersTest() override {
    for (auto& asking : askings) {
      EXPECT_TRUE(eventually([&] { return asking->group->running() == 0; }, 20s));
      loops.call(*asking->shard, [&] {
        asking->group.reset();
        return true;
      });
    }
    loops.run(loops.shards().control(), answers.stop());
    loops.end();
  }

  static net::Task<void> run(CachedAnswers* answers, Asking* asking, Order order, CachePlan plan) {
    co_await answers->answer(asking->call, std::move(order), std::move(plan));
    asking->over = true;
  }

  CachePlan plan(std::string_view name, bool stream) {
    CachePlan made;
    made.key = gateway::answer_key({name, stream ? "s" : "d"});
    made.flight = gateway::answer_key({gateway::text_of(made.key), "f"});
    made.ttl = 60s;
    made.stream = stream;
    made.route = "route";
    return made;
  }

  Asking& ask(std::size_t shard, CachePlan wanted, std::string_view body = "the body") {
    Order order;
    order.request.stream = wanted.stream;
    order.request.body = body;
    auto& asking = *askings.emplace_back(std::make_unique<Asking>());
    asking.shard = &loops.shards().serving(shard);
    asking.group = std::make_unique<net::TaskGroup>(*asking.shard);
    asking.group->spawn(run(&answers, &asking, std::move(order), std::move(wanted)));
    return asking;
  }
  // Until it waits for something.
  void settle(Asking& asking) {
    for (int i = 0; i < 3; ++i) loops.call(*asking.shard, [] { return true; });
  }
  void leave(Asking& asking) {
    loops.call(*asking.shard, [&] {
      asking.group->cancel();
      return true;
    });
  }
  bool over(const Asking& asking) {
    return eventually([&] { return asking.over.load(); });
  }

  Loops loops{3};
  telemetry::Metrics metrics;
  gateway::AnswerStore store{{}, metrics};
  Backend backend;
  CachedAnswers answers{loops.shards(), store, [this](Call& call, Order& order) {
                          return make_answer(&backend, &call, &order);
                        }};
  std::vector<std::unique_ptr<Asking>> askings;
};

TEST_F(CachedAnswersTest, ADocumentIsMadeOnceAndKept) {
  backend.open = false;
  auto& first = ask(0, plan("k", false));
  EXPECT_TRUE(eventually([&] { return backend.begun == 1; }));
  auto& second = ask(1, plan("k", false));
  settle(second);
  EXPECT_FALSE(second.over);
  backend.open = true;
  ASSERT_TRUE(over(first) && over(second));
  for (auto* each : {&first, &second}) {
    EXPECT_EQ(each->client.text, "the body");
    EXPECT_TRUE(each->client.finished);
  }
  EXPECT_EQ(first.client.use(), "miss");
  EXPECT_EQ(second.client.use(), "joined");
  EXPECT_EQ(first.call.notes.model, "made");
  EXPECT_EQ(first.call.notes.usage.completion_tokens, 7u);
  EXPECT_EQ(second.call.notes.model, "route");
  EXPECT_EQ(second.call.notes.usage.completion_tokens, 0u);  // they are counted once
  auto& third = ask(2, plan("k", false));
  ASSERT_TRUE(over(third));
  EXPECT_EQ(third.client.use(), "hit");
  EXPECT_EQ(third.client.headers.get("age"), "0");
  EXPECT_EQ(third.client.text, "the body");
  EXPECT_EQ(backend.begun, 1);
}

TEST_F(CachedAnswersTest, AStreamIsMadeOnceAndKept) {
  auto& first = ask(0, plan("k", true));
  auto& second = ask(1, plan("k", true));
  ASSERT_TRUE(over(first) && over(second));
  auto& third = ask(2, plan("k", true));
  ASSERT_TRUE(over(third));
  for (auto* each : {&first, &second, &third}) {
    EXPECT_EQ(each->client.text, kStream);
    EXPECT_TRUE(each->client.finished);
  }
  EXPECT_EQ(third.client.use(), "hit");
  EXPECT_EQ(backend.begun, 1);
}

TEST_F(CachedAnswersTest, WhoAskedFirstMayLeave) {
  backend.open = false;
  auto& first = ask(0, plan("k", true));
  EXPECT_TRUE(eventually([&] { return backend.begun == 1; }));
  auto& second = ask(1, plan("k", true));
  settle(second);
  leave(first);
  ASSERT_TRUE(over(first));
  backend.open = true;
  ASSERT_TRUE(over(second));
  EXPECT_EQ(second.client.text, kStream);
  EXPECT_EQ(backend.cancelled, 0);
  EXPECT_EQ(backend.begun, 1);
}

TEST_F(CachedAnswersTest, WhenAllLeaveTheMakingIsCancelled) {
  backend.open = false;
  auto& first = ask(0, plan("k", false));
  auto& second = ask(1, plan("k", false));
  EXPECT_TRUE(eventually([&] { return backend.begun == 1; }));
  leave(first);
  leave(second);
  ASSERT_TRUE(over(first) && over(second));
  // Who joins only when the first has left makes an answer of its own.
  EXPECT_TRUE(eventually([&] { return backend.cancelled == backend.begun; }));
  EXPECT_TRUE(eventually([&] { return store.flights() == 0; }));
  EXPECT_EQ(backend.ended, 0);
  EXPECT_FALSE(store.find(plan("k", false).key));
}

TEST_F(CachedAnswersTest, AMakerWithoutAnAnswerIsAnErrorForAll) {
  backend.silent = true;
  auto& first = ask(0, plan("k", false));
  ASSERT_TRUE(over(first));
  EXPECT_EQ(first.client.outcome().status, 503);
  EXPECT_TRUE(first.client.text.contains("broke off"));
}

TEST_F(CachedAnswersTest, AStreamThatIsCutIsCutForAll) {
  backend.breaks = true;
  auto& first = ask(0, plan("k", true));
  ASSERT_TRUE(over(first));
  EXPECT_TRUE(first.client.aborted);
  EXPECT_FALSE(first.client.finished);
  EXPECT_FALSE(store.find(plan("k", true).key));
}

TEST_F(CachedAnswersTest, AFreshAnswerReplacesTheKept) {
  auto& first = ask(0, plan("k", false), "old");
  ASSERT_TRUE(over(first));
  auto fresh = plan("k", false);
  fresh.fresh = true;
  fresh.flight = gateway::answer_key({"of its own"});
  auto& second = ask(1, fresh, "new");
  ASSERT_TRUE(over(second));
  EXPECT_EQ(second.client.use(), "miss");
  EXPECT_EQ(second.client.text, "new");
  auto& third = ask(2, plan("k", false));
  ASSERT_TRUE(over(third));
  EXPECT_EQ(third.client.text, "new");
}

TEST_F(CachedAnswersTest, StoppingCancelsWhatIsMade) {
  backend.open = false;
  auto& first = ask(0, plan("k", false));
  EXPECT_TRUE(eventually([&] { return backend.begun == 1; }));
  loops.run(loops.shards().control(), answers.stop());
  ASSERT_TRUE(over(first));
  EXPECT_EQ(first.client.outcome().status, 503);
  EXPECT_EQ(backend.cancelled, 1);
}

// What another process kept meanwhile.
class Elsewhere final : public gateway::SharedAnswers {
 public:
  net::Task<std::optional<Found>> find(gateway::AnswerKey) override {
    co_return Found{std::make_shared<const gateway::KeptAnswer>("application/json", "afar"), 30s};
  }
  net::Task<void> keep(gateway::AnswerKey, gateway::KeptAnswerPtr,
                       std::chrono::milliseconds) override {
    co_return;
  }
};

TEST_F(CachedAnswersTest, WhatAnotherProcessKeptIsAHit) {
  Elsewhere elsewhere;
  gateway::AnswerStore shared({}, metrics, &elsewhere);
  {
    CachedAnswers both(loops.shards(), shared, [this](Call& call, Order& order) {
      return make_answer(&backend, &call, &order);
    });
    Asking asking;
    loops.run(loops.shards().serving(0), run(&both, &asking, Order{}, plan("k", false)));
    EXPECT_EQ(asking.client.text, "afar");
    EXPECT_EQ(asking.client.use(), "hit");
    EXPECT_EQ(asking.client.headers.get("age"), "30");
    EXPECT_EQ(backend.begun, 0);
    EXPECT_TRUE(shared.find(plan("k", false).key));
    loops.run(loops.shards().control(), both.stop());
  }
}

TEST_F(CachedAnswersTest, ACrowdThatComesAndGoes) {
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    auto wanted = plan(std::to_string(random() % 40), random() % 2 == 0);
    if (random() % 3 == 0) wanted.ttl = 0s;
    auto& asking = ask(random() % 3, wanted);
    if (random() % 4 == 0) leave(asking);
    if (random() % 30 == 0) std::this_thread::sleep_for(2ms);
  }
  int whole = 0;
  for (auto& asking : askings) {
    ASSERT_TRUE(over(*asking));
    if (!asking->client.finished) continue;
    ++whole;
    EXPECT_TRUE(asking->client.text == kStream || asking->client.text == "the body")
        << asking->client.text;
  }
  EXPECT_GT(whole, 150);
  EXPECT_TRUE(eventually([&] { return store.flights() == 0; }));
}

}  // namespace
}  // namespace corral::api::openai::cached_answers_test
