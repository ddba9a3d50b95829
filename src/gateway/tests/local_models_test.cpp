// Models of our own engines: loaded when they are asked for, and gone when their engine is.
#include <gtest/gtest.h>

#include "gateway/dispatcher.hpp"
#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway::local_models_test {
namespace {

class LocalModelTest : public GatewayTest {
 protected:
  void with(const char* yaml = "{gateway: {health: {probe_interval: 0}}}") {
    configure(yaml, {{"tiny", {}}});
  }
  Target engine(std::uint16_t port, std::size_t capacity = 1, bool spared = false) {
    bindings::EndpointAddress address;
    address.target.port = port;
    auto made = std::make_shared<Endpoint>(
        EndpointName("tiny#" + std::to_string(port)), *played_, std::move(address),
        EndpointOptions{capacity, true, [this] { dispatcher_.poke(); }, spared});
    engines_.push_back(made);
    return {made, "tiny.gguf"};
  }
  void TearDown() override {
    for (const auto& engine : engines_) EXPECT_EQ(engine->in_flight(), 0u);
    GatewayTest::TearDown();
  }
  std::vector<std::shared_ptr<Endpoint>> engines_;
};

TEST_F(LocalModelTest, AreLoadedByTheFirstRequest) {
  with();
  source_.on_start("tiny", engine(8));
  auto result = dispatch("tiny");
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "from 8");
  EXPECT_EQ(source_.ensured(), 1);
  EXPECT_EQ(played_->calls()[0].model, "tiny.gguf");
  *result = Dispatched{};
  ASSERT_TRUE(dispatch("tiny"));
  EXPECT_EQ(source_.ensured(), 1);  // it is ready now
}

TEST_F(LocalModelTest, ManyWaitForOneLoading) {
  with();
  auto gate = std::make_shared<Gate>();
  source_.hold_starts(gate);
  source_.on_start("tiny", engine(8, 2));
  std::vector<std::unique_ptr<Call>> calls;
  for (std::size_t i = 0; i < 6; ++i) calls.push_back(begin("tiny", i % 2));
  EXPECT_TRUE(eventually([&] { return source_.ensured() == 6; }));
  gate->open();
  finish_all(calls);
  EXPECT_EQ(played_->opened(8), 6);
  EXPECT_LE(played_->living(8)->most, 2);
}

TEST_F(LocalModelTest, ALongLoadIsTalkedOfAndAShortOneIsNot) {
  with();
  QueuePlace first;
  first.position = 3;
  QueuePlace second;
  second.position = 1;
  second.stage = QueuePlace::Stage::loading;
  source_.tell({first, second}, 1'000ms);
  source_.on_start("tiny", engine(8));
  struct Heard {
    std::mutex mutex;
    std::vector<QueuePlace> places;
    static net::Task<void> note(Heard* heard, QueuePlace place) {
      std::lock_guard lock(heard->mutex);
      heard->places.push_back(std::move(place));
      co_return;
    }
  } heard;
  auto call = prepare_call("tiny");
  call->caller.on_wait = [&heard](const QueuePlace& place) { return Heard::note(&heard, place); };
  start(*call);
  auto result = finish(*call);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(result->queued_at, 3u) << "where it stood first";
  EXPECT_GE(result->waited, 1'000ms);
  ASSERT_EQ(heard.places.size(), 1u) << "the first was said while the status was open";
  EXPECT_EQ(heard.places[0].position, 1u);
  EXPECT_EQ(heard.places[0].stage, QueuePlace::Stage::loading);
}

TEST_F(LocalModelTest, WhatCannotBeLoadedSaysWhy) {
  with();
  source_.on_start("tiny", std::unexpected(fail(ErrorCode::unavailable, "no memory for it")));
  auto result = dispatch("tiny");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "no memory for it");
  EXPECT_EQ(played_->opened(), 0);
  EXPECT_EQ(source_.ensured(), 1);
}

TEST_F(LocalModelTest, WhatCannotBeLoadedIsAskedForElsewhere) {
  with(R"(
endpoints: [{name: e1, binding: openai, url: 'http://h:1', models: [tiny]}]
gateway: {health: {probe_interval: 0}}
)");
  source_.on_start("tiny", std::unexpected(fail(ErrorCode::unavailable, "no memory for it")));
  auto result = dispatch("tiny");
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "from 1");
}

TEST_F(LocalModelTest, AnEngineThatIsGoneIsClosedAndAskedForAgain) {
  with();
  Target first = engine(8);
  source_.set_ready("tiny", first);
  source_.on_start("tiny", engine(9));
  played_->once(8, Play::refuse(down()));
  auto result = dispatch("tiny");
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "from 9");
  EXPECT_TRUE(first.endpoint->closed());
  EXPECT_EQ(source_.ensured(), 1);
  // Its breaker has nothing against it: the process ended, and was started anew.
  EXPECT_EQ(target("local", "tiny")->failures(), 0u);
}

TEST_F(LocalModelTest, AnEngineThatFailsIsNotClosed) {
  with();
  Target first = engine(8);
  source_.set_ready("tiny", first);
  played_->once(8, Play::refuse(broken()));
  ASSERT_TRUE(dispatch("tiny"));
  EXPECT_FALSE(first.endpoint->closed());
  EXPECT_EQ(target("local", "tiny")->failures(), 1u);
}

TEST_F(LocalModelTest, OneOfSeveralThatFailsAgainAndAgainIsLeftOut) {
  with();
  Target first = engine(8, 1, true);
  source_.set_ready("tiny", first);
  source_.on_start("tiny", engine(9, 1, true));
  for (unsigned i = 1; i < Endpoint::kFailuresOfSpared; ++i) {
    played_->once(8, Play::refuse(broken()));
    ASSERT_TRUE(dispatch("tiny"));
    EXPECT_FALSE(first.endpoint->closed());
    EXPECT_EQ(first.endpoint->failures(), 0u);  // an answer came after it
    first.endpoint->failed();
  }
  first.endpoint->failed();
  played_->once(8, Play::refuse(broken()));
  auto before = target("local", "tiny")->failures();
  auto result = dispatch("tiny");
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(text(result), "from 9");
  EXPECT_TRUE(first.endpoint->closed());
  // The breaker that it shares with the others has nothing against them.
  EXPECT_EQ(target("local", "tiny")->failures(), before);
}

TEST_F(LocalModelTest, AModelThatGoesAgainAndAgainIsNotWaitedForForEver) {
  with();
  Target gone = engine(8);
  gone.endpoint->close();
  source_.on_start("tiny", gone);
  auto result = dispatch("tiny");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(result.error().retry_after);
  EXPECT_EQ(source_.ensured(), 3);
}

TEST_F(LocalModelTest, TheClientMayLeaveWhileItLoads) {
  with();
  auto gate = std::make_shared<Gate>();
  source_.hold_starts(gate);
  source_.on_start("tiny", engine(8));
  auto call = begin("tiny");
  EXPECT_TRUE(eventually([&] { return source_.ensured() == 1; }));
  auto left = leave(*call);
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, ErrorCode::cancelled);
  gate->open();
}

}  // namespace
}  // namespace corral::gateway::local_models_test
