#include "api/openai/embedding_batcher.hpp"

#include <gtest/gtest.h>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "base/json.hpp"
#include "net/tests/test_support.hpp"
#include "net/websocket.hpp"

namespace corral::api::openai::embedding_batcher_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;

// A client that remembers what it was sent.
class Client final : public net::HttpExchange {
 public:
  const net::HttpRequest& request() const override { return request_; }
  net::Task<Result<std::string_view>> read_body(std::uint64_t) override {
    co_return std::string_view{};
  }
  net::Task<Result<void>> reply(net::HttpReply reply) override {
    outcome_.status = reply.status;
    text = std::move(reply.body);
    co_return Result<void>();
  }
  net::Headers& extra_headers() override { return headers; }
  Result<void> begin(int status, std::string_view) override {
    outcome_.status = status;
    return {};
  }
  net::Task<Result<void>> flush_head() override { co_return Result<void>(); }
  net::Task<Result<void>> send(std::span<const std::string_view>) override {
    co_return Result<void>();
  }
  net::Task<Result<void>> finish() override { co_return Result<void>(); }
  void abort() override {}
  bool begun() const override { return outcome_.status != 0; }
  bool client_gone() const override { return false; }
  const net::HttpOutcome& outcome() const override { return outcome_; }
  net::Task<Result<std::unique_ptr<net::WebSocket>>> upgrade() override {
    co_return std::unexpected(fail(ErrorCode::unsupported, "no"));
  }

  net::Headers headers;
  std::string text;

 private:
  net::HttpRequest request_;
  net::HttpOutcome outcome_;
};

// Embeds a text as the text; waits while closed.
struct Backend {
  std::atomic<bool> open{true};
  std::atomic<int> alone{0}, joint{0}, cancelled{0};
  std::atomic<bool> breaks{false}, short_answer{false}, away{false};
  std::mutex mutex;
  std::vector<std::string> bodies;  // of joint calls

  static std::string document(std::string_view body) {
    auto inputs = bindings::openai::embedding_inputs(body);
    if (!inputs) return "odd";
    std::string data;
    for (std::size_t i = 0; i < inputs->inputs.size(); ++i) {
      if (i > 0) data += ',';
      data += fmt::format(R"({{"embedding":{},"index":{}}})", inputs->inputs[i], i);
    }
    return fmt::format(R"({{"data":[{}],"usage":{{"prompt_tokens":{},"total_tokens":1}}}})", data,
                       inputs->bytes);
  }
};

net::Task<bool> wait_for(Backend* backend) {
  while (!backend->open) {
    auto slept = co_await net::sleep_for(1ms);
    if (!slept) {
      ++backend->cancelled;
      co_return false;
    }
  }
  co_return true;
}

net::Task<void> answer_alone(Backend* backend, Call* call, Order* order) {
  ++backend->alone;
  if (!co_await wait_for(backend)) co_return;
  net::HttpReply reply;
  bool bad = order->request.body.contains("bad");
  if (bad) reply.status = 400;
  reply.body = bad ? "bad" : Backend::document(order->request.body);
  (void)co_await call->exchange.reply(std::move(reply));
}

net::Task<JointAnswer> ask_jointly(Backend* backend, Order* order) {
  ++backend->joint;
  {
    std::lock_guard lock(backend->mutex);
    backend->bodies.emplace_back(order->request.body);
  }
  JointAnswer answer;
  answer.headers.set("x-corral-endpoint", "there");
  answer.notes.endpoint = "there";
  bool waited = co_await wait_for(backend);
  if (!waited) {
    answer.document = std::unexpected(fail(ErrorCode::cancelled, "cancelled"));
  } else if (backend->away) {
    answer.document = std::unexpected(fail(ErrorCode::unavailable, "away").after(3s));
  } else if (order->request.body.contains("bad")) {
    answer.document = std::unexpected(fail(ErrorCode::invalid_argument, "bad"));
  } else {
    answer.document =
        backend->short_answer ? R"({"data":[]})" : Backend::document(order->request.body);
  }
  co_return answer;
}

std::shared_ptr<const gateway::ActiveRoute> route_with(config::Balance balance) {
  struct Both {
    gateway::Route planned;
    gateway::ActiveRoute active;
  };
  auto both = std::make_shared<Both>();
  both->planned.settings.name = "embed";
  both->planned.settings.balance = balance;
  both->active.route = &both->planned;
  return {both, &both->active};
}

class EmbeddingBatcherTest : public testing::Test {
 protected:
  struct Asking {
    Client client;
    Call call{client, {}, {}};
    std::string body;
    Order order;
    std::unique_ptr<net::TaskGroup> group;
    net::Shard* shard = nullptr;
    std::atomic<bool> over{false};
  };

  ~EmbeddingBatcherTest() override {
    backend.open = true;
    for (auto& asking : askings) {
      EXPECT_TRUE(eventually([&] { return asking->group->running() == 0; }));
      loops.call(*asking->shard, [&] { asking->group.reset(); });
    }
    loops.run(loops.shards().control(), batcher->stop());
    loops.end();
  }
  void make(std::chrono::milliseconds window) {
    batcher = std::make_unique<EmbeddingBatcher>(
        EmbeddingBatcher::Parts{
            loops.shards(), metrics, [this](Order& order) { return ask_jointly(&backend, &order); },
            [this](Call& call, Order& order) { return answer_alone(&backend, &call, &order); }, 1},
        window);
  }

  static net::Task<void> run(EmbeddingBatcher* batcher, Asking* asking,
                             std::shared_ptr<const gateway::ActiveRoute> route) {
    co_await batcher->answer(asking->call, asking->order, *route);
    asking->over = true;
  }
  Asking& ask(std::string body, std::size_t shard = 0, gateway::Caller caller = {}) {
    auto asking = std::make_unique<Asking>();
    asking->body = std::move(body);
    asking->order.request.operation = inference::Operation::embedding;
    asking->order.request.model = ModelName("embed");
    asking->order.request.body = asking->body;
    asking->order.caller = std::move(caller);
    asking->shard = &loops.shards().serving(shard);
    loops.call(*asking->shard, [&] {
      asking->group = std::make_unique<net::TaskGroup>(*asking->shard);
      asking->group->spawn(run(batcher.get(), asking.get(), route));
    });
    askings.push_back(std::move(asking));
    return *askings.back();
  }
  static std::string input(std::string_view json, std::string_view more = "") {
    return fmt::format(R"({{"model":"embed","input":{}{}}})", json, more);
  }
  bool done(const Asking& asking) {
    return eventually([&] { return asking.over.load(); });
  }
  static std::string batch_of(const Asking& asking) {
    return std::string(asking.client.headers.get("x-corral-batch").value_or("none"));
  }
  // The first one holds the way; the others gather behind it.
  Asking& occupy() {
    backend.open = false;
    auto& first = ask(input(R"("first")"));
    EXPECT_TRUE(eventually([this] { return backend.alone == 1; }));
    return first;
  }

  Loops loops{2};
  telemetry::Metrics metrics;
  Backend backend;
  std::shared_ptr<const gateway::ActiveRoute> route = route_with(config::Balance::round_robin);
  std::unique_ptr<EmbeddingBatcher> batcher;
  std::vector<std::unique_ptr<Asking>> askings;
};

TEST_F(EmbeddingBatcherTest, ALoneRequestIsNeverDelayed) {
  make(10s);
  for (int i = 0; i < 20; ++i) {
    auto& one = ask(input(R"("a")"));
    ASSERT_TRUE(done(one));
    EXPECT_EQ(batch_of(one), "none");
  }
  EXPECT_EQ(backend.alone, 20);
  EXPECT_EQ(backend.joint, 0);
}

TEST_F(EmbeddingBatcherTest, WhoComesMeanwhileIsAnsweredTogether) {
  make(10s);  // they go when the first has ended
  auto& first = occupy();
  auto& one = ask(input(R"("one")"));
  auto& two = ask(input(R"(["two","three"])"), 1);
  auto& four = ask(input(R"("four")"), 1);
  backend.open = true;
  for (auto* each : {&first, &one, &two, &four}) ASSERT_TRUE(done(*each));
  EXPECT_EQ(backend.joint, 1);
  EXPECT_EQ(backend.alone, 1);
  ASSERT_EQ(backend.bodies.size(), 1u);
  EXPECT_EQ(backend.bodies[0], R"({"model":"embed","input":["one","two","three","four"]})");
  auto parsed = json::parse(two.client.text);
  ASSERT_TRUE(parsed) << two.client.text;
  const auto& data = parsed->at("data").as_array();
  ASSERT_EQ(data.size(), 2u);
  EXPECT_EQ(data[1].at("embedding").as_string(), "three");
  EXPECT_EQ(data[1].at("index").as_int64(), 1);
  EXPECT_EQ(parsed->at("usage").at("prompt_tokens").as_int64(), 12);
  EXPECT_EQ(two.call.notes.usage.prompt_tokens, 12u);
  EXPECT_TRUE(two.call.notes.usage.reported);
  EXPECT_EQ(two.call.notes.endpoint, "there");
  for (auto* each : {&one, &two, &four}) {
    EXPECT_EQ(batch_of(*each), "3");
    EXPECT_EQ(each->client.headers.get("x-corral-endpoint"), "there");
    EXPECT_EQ(each->client.outcome().status, 200);
  }
  EXPECT_EQ(batch_of(first), "none");
  EXPECT_TRUE(metrics.expose().contains("corral_embedding_batches_total 1\n"));
  EXPECT_TRUE(metrics.expose().contains("corral_embedding_batched_requests_total 3\n"));
}

TEST_F(EmbeddingBatcherTest, TheWindowEndsAWait) {
  make(5ms);
  auto& first = occupy();
  auto& one = ask(input(R"("one")"));
  auto& two = ask(input(R"("two")"), 1);
  ASSERT_TRUE(eventually([this] { return backend.joint >= 1; }));  // though the first is not done
  EXPECT_FALSE(first.over);
  backend.open = true;
  for (auto* each : {&first, &one, &two}) ASSERT_TRUE(done(*each));
}

TEST_F(EmbeddingBatcherTest, AFullBatchGoesAtOnce) {
  make(10s);
  occupy();
  std::string many = R"("x")";
  for (int i = 1; i < 32; ++i) many += R"(,"x")";
  auto& one = ask(input("[" + many + "]"));
  EXPECT_EQ(backend.joint, 0);
  auto& two = ask(input("[" + many + "]"), 1);
  ASSERT_TRUE(eventually([this] { return backend.joint == 1; }));
  backend.open = true;
  ASSERT_TRUE(done(one) && done(two));
  EXPECT_EQ(json::parse(two.client.text)->at("data").as_array().size(), 32u);
}

TEST_F(EmbeddingBatcherTest, OnlyWhatAgreesIsJoined) {
  make(10s);
  occupy();
  gateway::Caller high;
  high.priority = config::Priority::high;
  gateway::Caller session;
  session.session = 7;
  std::vector<Asking*> all = {&ask(input(R"("a")")),
                              &ask(input(R"("a")", R"(,"dimensions":3)")),
                              &ask(input(R"("a")", R"(,"encoding_format":"base64")")),
                              &ask(input(R"("a")", R"(,"user":"u")")),
                              &ask(input("[1,2]")),
                              &ask(input(R"("a")"), 0, high),
                              &ask(input(R"("a")"), 0, session)};
  // The same in another order and spelling.
  auto& same = ask(R"({ "input" : "b", "model":"embed" })", 1);
  backend.open = true;
  for (auto* each : all) ASSERT_TRUE(done(*each));
  ASSERT_TRUE(done(same));
  EXPECT_EQ(batch_of(same), "2");
  EXPECT_EQ(batch_of(*all[0]), "2");
  for (std::size_t i = 1; i < all.size(); ++i) {
    EXPECT_NE(batch_of(*all[i]), "2") << i;
  }
}

TEST_F(EmbeddingBatcherTest, WhatCannotBeJoinedGoesAsItIs) {
  make(10s);
  occupy();
  for (auto body : {input("[]"), input(R"({"a":1})"), input(R"("a")", R"(,"x":1,"x":2)")}) {
    int before = backend.alone;
    ask(body);
    EXPECT_TRUE(eventually([&] { return backend.alone == before + 1; })) << body;
  }
  batcher->set_window(0ms);
  ask(input(R"("a")"));
  EXPECT_TRUE(eventually([&] { return backend.alone == 5; }));
  EXPECT_EQ(backend.joint, 0);
}

TEST_F(EmbeddingBatcherTest, OneBadInputFailsNobodyElse) {
  make(10s);
  auto& first = occupy();
  auto& good = ask(input(R"("good")"));
  auto& bad = ask(input(R"("bad")"), 1);
  auto& fine = ask(input(R"("fine")"), 1);
  backend.open = true;
  for (auto* each : {&first, &good, &bad, &fine}) ASSERT_TRUE(done(*each));
  EXPECT_EQ(backend.joint, 1);
  EXPECT_EQ(backend.alone, 4);
  EXPECT_EQ(good.client.outcome().status, 200);
  EXPECT_EQ(fine.client.outcome().status, 200);
  EXPECT_EQ(bad.client.outcome().status, 400);
  EXPECT_TRUE(good.client.text.contains("good"));
}

TEST_F(EmbeddingBatcherTest, AnAnswerThatIsNotWholeIsAskedForAgainAlone) {
  make(10s);
  auto& first = occupy();
  auto& one = ask(input(R"("one")"));
  auto& two = ask(input(R"("two")"));
  backend.short_answer = true;
  backend.open = true;
  for (auto* each : {&first, &one, &two}) ASSERT_TRUE(done(*each));
  EXPECT_EQ(backend.alone, 3);
  EXPECT_TRUE(one.client.text.contains("one"));
}

TEST_F(EmbeddingBatcherTest, WhenNothingCanAnswerAllAreToldSo) {
  make(10s);
  auto& first = occupy();
  auto& one = ask(input(R"("one")"));
  auto& two = ask(input(R"("two")"));
  backend.away = true;
  backend.open = true;
  for (auto* each : {&first, &one, &two}) ASSERT_TRUE(done(*each));
  EXPECT_EQ(backend.alone, 1);
  for (auto* each : {&one, &two}) {
    EXPECT_EQ(each->client.outcome().status, 503);
    EXPECT_EQ(each->client.headers.get("x-corral-endpoint"), "there");
  }
}

TEST_F(EmbeddingBatcherTest, WhoLeavesDisturbsNobody) {
  make(1s);
  auto& first = occupy();
  auto& before = ask(input(R"("leaves before it is sent")"));
  auto& one = ask(input(R"("one")"));
  auto& after = ask(input(R"("leaves after")"), 1);
  loops.call(*before.shard, [&] { before.group->cancel(); });
  ASSERT_TRUE(eventually([this] { return backend.joint == 1; }));
  loops.call(*after.shard, [&] { after.group->cancel(); });
  ASSERT_TRUE(done(before) && done(after));
  backend.open = true;
  ASSERT_TRUE(done(first) && done(one));
  EXPECT_EQ(backend.bodies[0], R"({"model":"embed","input":["one","leaves after"]})");
  EXPECT_EQ(one.client.outcome().status, 200);
  EXPECT_EQ(backend.cancelled, 0);
}

TEST_F(EmbeddingBatcherTest, WhenAllLeaveTheCallIsCancelled) {
  make(1ms);
  auto& first = occupy();
  auto& one = ask(input(R"("one")"));
  auto& two = ask(input(R"("two")"), 1);
  ASSERT_TRUE(eventually([this] { return backend.joint >= 1; }));
  for (auto* each : {&one, &two}) loops.call(*each->shard, [&] { each->group->cancel(); });
  ASSERT_TRUE(done(one) && done(two));
  EXPECT_TRUE(eventually([this] { return backend.cancelled == backend.joint; }));
  backend.open = true;
  ASSERT_TRUE(done(first));
  auto& next = ask(input(R"("next")"));  // nothing is left behind
  ASSERT_TRUE(done(next));
  EXPECT_EQ(batch_of(next), "none");
}

TEST_F(EmbeddingBatcherTest, ManyClientsOnAllShardsEachGetTheirOwn) {
  make(1ms);
  std::vector<Asking*> all;
  for (int i = 0; i < 400; ++i) {
    all.push_back(&ask(input(fmt::format(R"("text {}")", i)), static_cast<std::size_t>(i % 2)));
  }
  for (int i = 0; i < 400; ++i) {
    auto& one = *all[static_cast<std::size_t>(i)];
    ASSERT_TRUE(done(one));
    auto parsed = json::parse(one.client.text);
    ASSERT_TRUE(parsed);
    ASSERT_EQ(parsed->at("data").as_array().size(), 1u);
    EXPECT_EQ(parsed->at("data").at(0).at("embedding").as_string(), fmt::format("text {}", i));
  }
}

TEST(BatchKey, SeparatesClientsWhereTheRouteDoes) {
  using bindings::openai::InputForm;
  Order order;
  std::string body = R"({"model":"embed","input":"a"})";
  order.request.body = body;
  order.caller.principal = 1;
  auto other = order;
  other.caller.principal = 2;
  auto any = route_with(config::Balance::peak_ewma);
  auto sticky = route_with(config::Balance::sticky);
  EXPECT_EQ(batch_key(order, InputForm::text, *any), batch_key(other, InputForm::text, *any));
  EXPECT_NE(batch_key(order, InputForm::text, *sticky), batch_key(other, InputForm::text, *sticky));
  EXPECT_NE(batch_key(order, InputForm::text, *any), batch_key(order, InputForm::tokens, *any));
  order.request.body = "rubbish";
  EXPECT_EQ(batch_key(order, InputForm::text, *any), std::nullopt);
}

}  // namespace
}  // namespace corral::api::openai::embedding_batcher_test
