// Limits of an engine: how they come about, and an instance that passes one.
#include "engines/core/engine_limits.hpp"

#include "engines/core/engine_log.hpp"
#include "engines/tests/instance_fixture.hpp"

namespace corral::engines::engine_limits_test {
namespace {

constexpr std::uint64_t kMiB = 1ull << 20;

TEST(EngineLimits, TheLimitIsWhatWasCountedAndAMargin) {
  InstanceSpec spec;
  EXPECT_EQ(memory_limit(spec), 0u);  // nothing was counted
  spec.memory = 1000 * kMiB;
  EXPECT_EQ(memory_limit(spec), 1328 * kMiB);
  spec.device = "CUDA0";  // the driver's part is in the host's memory too
  EXPECT_EQ(memory_limit(spec), (1328 + 2048) * kMiB);
  spec.rpc = {"a:1"};
  spec.device = "RPC0";
  EXPECT_EQ(memory_limit(spec), 1328 * kMiB);
  spec.memory = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(memory_limit(spec), std::numeric_limits<std::uint64_t>::max());
  spec.settings.limits = false;
  EXPECT_EQ(memory_limit(spec), 0u);
}

TEST(EngineLimits, WhatTheSystemIsAskedFor) {
  InstanceSpec spec;
  spec.memory = 100 * kMiB;
  spec.settings.cpu_limit = 1.5;
  spec.settings.io_weight = 40;
  const auto wishes = limits_of(spec);
  EXPECT_EQ(wishes.memory, memory_limit(spec));
  EXPECT_EQ(wishes.processors, 1.5);
  EXPECT_EQ(wishes.io_weight, 40u);
}

TEST(EngineLimits, ThreadsAreNoMoreThanItsProcessors) {
  EXPECT_EQ(threads_within(8, 0), 8u);
  EXPECT_EQ(threads_within(8, 1.5), 2u);
  EXPECT_EQ(threads_within(8, 0.1), 1u);
  EXPECT_EQ(threads_within(2, 4), 2u);
  EXPECT_EQ(threads_within(9000, 1e9), 4096u);
}

TEST(EngineLimits, AWeightBecomesAPlaceInTheQueue) {
  EXPECT_EQ(io_level(1), 7u);
  EXPECT_EQ(io_level(50), 5u);
  EXPECT_EQ(io_level(100), 4u);
  EXPECT_EQ(io_level(1000), 0u);
}

TEST(EngineLimits, TheErrorSaysWhatToSet) {
  InstanceSpec spec;
  spec.name = "big";
  spec.memory = 1024 * kMiB;
  const Error error = passed_memory_limit(spec);
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_TRUE(error.message.contains("1.0 GiB were counted")) << error.message;
  EXPECT_TRUE(error.hint_text.contains("models.settings.big.memory")) << error.hint_text;
}

INSTANCE_TEST(OneThatTakesTooMuchIsKilledAndSaysSo) {
  t.spec_.memory = kMiB;  // so the limit is 129 MiB
  t.spec_.settings.restart_limit = 2;
  t.fake({"--fake-eat", "200", "--fake-runs", t.runs()});
  t.make().start();
  InstanceTest::Event event;
  do {
    event = co_await t.next();
  } while (event.kind != "failed" && event.kind != "cancelled");
  REQUIRE(event.kind == "failed");
  EXPECT_TRUE(event.error->message.contains("needed more than")) << event.error->message;
  EXPECT_TRUE(event.error->hint_text.contains("models.settings.tiny.memory"));
  EXPECT_EQ(t.run_count(), 2u);
  EXPECT_EQ(t.instance_->info().pid, 0);
}

INSTANCE_TEST(AHealthyOneIsLeftAlone) {
  t.spec_.memory = 64 * kMiB;
  t.spec_.settings.cpu_limit = 1;
  t.spec_.settings.io_weight = 30;
  t.fake({});
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  const auto info = t.instance_->info();
  EXPECT_EQ(info.memory_limit, memory_limit(t.spec_));
  EXPECT_EQ(info.limited_by.memory, sys::LimitWay::watch);
  EXPECT_EQ(info.limited_by.processors, sys::LimitWay::threads);
  EXPECT_EQ(info.limited_by.io, sys::LimitWay::priority);
  auto slept = co_await net::sleep_for(300ms);  // a few looks
  EXPECT_TRUE(slept);
  EXPECT_EQ(t.instance_->state(), InstanceState::ready);
  t.instance_->stop();
  co_await t.instance_->stopped();
  EXPECT_EQ(t.instance_->info().memory_limit, 0u);
}

// Says that the kernel ended a process for want of memory.
class SayingGroup final : public sys::LimitedGroup {
 public:
  sys::LimitWays ways() const override { return {.memory = sys::LimitWay::control_group_2}; }
  std::vector<int> join_files() const override { return {}; }
  bool ran_out_of_memory() const override { return true; }
};
class SayingLimits final : public sys::ResourceLimits {
 public:
  sys::LimitWays ways() const override { return {.memory = sys::LimitWay::control_group_2}; }
  std::unique_ptr<sys::LimitedGroup> create(const sys::LimitWishes&) override {
    return std::make_unique<SayingGroup>();
  }
};

INSTANCE_TEST(WhatTheKernelEndedIsToldFromWhatCrashed) {
  SayingLimits limits;
  t.spec_.memory = 64 * kMiB;
  t.fake({});
  t.limits_ = &limits;
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  EXPECT_EQ(t.instance_->info().limited_by.memory, sys::LimitWay::control_group_2);
  ::kill(t.instance_->info().pid, SIGKILL);
  event = co_await t.next();
  REQUIRE(event.kind == "down");
  EXPECT_TRUE(event.error->message.contains("needed more than")) << event.error->message;
  event = co_await t.next();  // and is started again
  REQUIRE(event.kind == "ready");
  ::kill(t.instance_->info().pid, SIGSEGV);
  event = co_await t.next();
  REQUIRE(event.kind == "down");
  EXPECT_TRUE(event.error->message.contains("signal 11")) << event.error->message;
  co_await t.instance_->close();
}

}  // namespace
}  // namespace corral::engines::engine_limits_test
