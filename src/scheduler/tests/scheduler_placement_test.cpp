// The scheduler with models that do not fit together, and an engine that is a script.
#include <gtest/gtest.h>

#include "scheduler/scheduler.hpp"
#include "scheduler/tests/world.hpp"

namespace corral::scheduler::scheduler_placement_test {
namespace {

using namespace std::chrono_literals;
using inference::Operation;
using net::testing::eventually;

constexpr auto kPatience = 60s;
constexpr std::uint64_t kMiB = 1u << 20;

// Room for one of `a` and `b`.
class TightWorld : public World {
 public:
  TightWorld() {
    settings.scheduler.memory = 1000 * kMiB;
    for (const char* name : {"a", "b"}) {
      put_model(name);
      settings.models.settings[name].memory = 600 * kMiB;
    }
  }
  std::optional<InstanceStatus> instance(const std::string& model) {
    for (auto& each : instances()) {
      if (each.model == model) return each;
    }
    return std::nullopt;
  }
  bool waits(const std::string& model) {
    auto found = instance(model);
    return found && found->state == "waiting" && found->waiting > 0;
  }
};

// One caller on a shard of its own, who may leave.
class Asker {
 public:
  Asker(World& world, const std::string& model) : world_(world), tasks_(world.shard()) {
    tasks_.spawn(ask(world.scheduler.get(), model, this));
  }
  ~Asker() { leave(); }
  void leave() {
    if (!std::exchange(left_, true)) world_.loops.run(world_.shard(), tasks_.close());
  }
  bool told() const { return done_; }
  // What it heard while it waited.
  std::vector<gateway::QueuePlace> heard() const {
    std::lock_guard lock(mutex_);
    return heard_;
  }
  // Once it was told:
  gateway::Target target;
  std::optional<Error> error;

 private:
  static net::Task<void> ask(Scheduler* scheduler, std::string model, Asker* self) {
    gateway::OnWait on_wait = [self](const gateway::QueuePlace& place) {
      return note(self, place);
    };
    auto made = co_await scheduler->ensure(ModelName(model), Operation::chat, std::move(on_wait));
    if (made)
      self->target = *made;
    else
      self->error = made.error();
    self->done_ = true;
  }
  static net::Task<void> note(Asker* self, gateway::QueuePlace place) {
    std::lock_guard lock(self->mutex_);
    self->heard_.push_back(std::move(place));
    co_return;
  }
  World& world_;
  mutable std::mutex mutex_;
  std::vector<gateway::QueuePlace> heard_;
  net::TaskGroup tasks_;
  std::atomic<bool> done_ = false;
  bool left_ = false;
};

TEST(SchedulerRoom, AnIdleModelGoesForAnother) {
  TightWorld world;
  world.start();
  auto a = world.ensure("a");
  ASSERT_TRUE(a) << a.error().describe();
  auto held = world.instance("a");
  ASSERT_TRUE(held);
  EXPECT_EQ(held->device, "cpu");
  EXPECT_EQ(held->reserved_bytes, 600 * kMiB);
  auto b = world.ensure("b");
  ASSERT_TRUE(b) << b.error().describe();
  EXPECT_TRUE(a->endpoint->closed());
  EXPECT_FALSE(world.instance("a"));
  EXPECT_TRUE(world.instance("b"));
  EXPECT_TRUE(world.log->has("unloaded to make room model=a"));
}

// Whoever has an answer reads at once what that took, and nothing in between.
TEST(SchedulerRoom, WhatIsHeldIsMeasuredAsItChanges) {
  TightWorld world;
  world.start();
  const auto held = [&] { return world.metrics.expose(); };
  const std::string one =
      fmt::format("corral_memory_held_bytes{{device=\"cpu\"}} {}\n", 600 * kMiB);
  EXPECT_FALSE(held().contains(one));
  ASSERT_TRUE(world.ensure("a"));
  EXPECT_TRUE(held().contains(one));
  ASSERT_TRUE(world.ensure("b"));
  EXPECT_TRUE(held().contains(one));
  ASSERT_TRUE(world.unload("b"));
  EXPECT_TRUE(held().contains("corral_memory_held_bytes{device=\"cpu\"} 0\n"));
}

TEST(SchedulerRoom, ABusyModelIsWaitedFor) {
  TightWorld world;
  world.start();
  auto a = world.ensure("a");
  ASSERT_TRUE(a);
  auto lease = a->endpoint->try_acquire();
  Asker asker(world, "b");
  ASSERT_TRUE(eventually([&] { return world.waits("b"); }, kPatience));
  EXPECT_TRUE(world.instance("b")->waits_because.contains("held by a (600.0 MiB)"))
      << world.instance("b")->waits_because;
  EXPECT_FALSE(a->endpoint->closed());
  EXPECT_FALSE(asker.told());
  lease.give_back();
  ASSERT_TRUE(eventually([&] { return asker.told(); }, kPatience));
  EXPECT_FALSE(asker.error) << asker.error->describe();
  EXPECT_TRUE(a->endpoint->closed());
}

TEST(SchedulerRoom, ThoseWhoWaitHearWhyAndHowFarItIs) {
  using Stage = gateway::QueuePlace::Stage;
  TightWorld world;
  world.settings.llama_server.extra_arguments = {"--fake-loading", "2.5"};
  world.start();
  Asker first(world, "a");
  Asker second(world, "a");
  ASSERT_TRUE(eventually([&] { return !second.heard().empty(); }, kPatience));
  ASSERT_FALSE(first.heard().empty());
  EXPECT_EQ(first.heard()[0].position, 1u);
  EXPECT_EQ(first.heard()[0].stage, Stage::loading);
  EXPECT_TRUE(first.heard()[0].estimate) << "from its size, before it was ever loaded";
  EXPECT_EQ(second.heard()[0].position, 2u);
  auto shown = world.instance("a");
  ASSERT_TRUE(shown && shown->load);
  EXPECT_GT(shown->load->expected, 0ms);
  // Told again every second.
  ASSERT_TRUE(eventually([&] { return first.heard().size() > 1; }, kPatience));
  EXPECT_GT(first.heard().back().passed, first.heard()[0].passed);
  ASSERT_TRUE(eventually([&] { return first.told() && second.told(); }, kPatience));
  EXPECT_EQ(first.target.endpoint, second.target.endpoint) << "they shared one load";
  EXPECT_FALSE(world.instance("a")->load);

  auto lease = first.target.endpoint->try_acquire();
  Asker other(world, "b");
  ASSERT_TRUE(eventually([&] { return !other.heard().empty(); }, kPatience));
  EXPECT_EQ(other.heard()[0].stage, Stage::room);
  EXPECT_TRUE(other.heard()[0].why.contains("held by a")) << other.heard()[0].why;
  other.leave();
  EXPECT_TRUE(eventually([&] { return !world.instance("b"); }, kPatience)) << "who left";
  lease.give_back();
}

TEST(SchedulerRoom, ATurnEndsAndRunningRequestsFinish) {
  TightWorld world;
  world.settings.scheduler.turn_limit = 200ms;
  world.start();
  auto a = world.ensure("a");
  ASSERT_TRUE(a);
  auto lease = a->endpoint->try_acquire();
  Asker asker(world, "b");
  ASSERT_TRUE(eventually([&] { return a->endpoint->closed(); }, kPatience));
  EXPECT_TRUE(world.log->has("its turn is over"));
  EXPECT_FALSE(a->endpoint->try_acquire());
  EXPECT_TRUE(world.in_state("a", ModelState::ready));  // it still answers
  EXPECT_FALSE(asker.told());
  Asker again(world, "a");  // waits for its next turn
  lease.give_back();
  ASSERT_TRUE(eventually([&] { return asker.told(); }, kPatience));
  EXPECT_FALSE(asker.error) << asker.error->describe();
  ASSERT_TRUE(eventually([&] { return again.told(); }, kPatience));
  EXPECT_FALSE(again.error) << again.error->describe();
}

TEST(SchedulerRoom, TheTurnGoesOnWhenTheWaiterLeaves) {
  TightWorld world;
  world.settings.scheduler.turn_limit = 100ms;
  world.start();
  auto a = world.ensure("a");
  ASSERT_TRUE(a);
  auto lease = a->endpoint->try_acquire();
  Asker asker(world, "b");
  ASSERT_TRUE(eventually([&] { return a->endpoint->closed(); }, kPatience));
  asker.leave();
  EXPECT_TRUE(eventually([&] { return !a->endpoint->closed(); }, kPatience));
  EXPECT_TRUE(a->endpoint->try_acquire());
  EXPECT_FALSE(world.waits("b"));
  EXPECT_TRUE(world.instances().size() == 1);
}

TEST(SchedulerRoom, NobodyWaitsForEver) {
  TightWorld world;
  world.settings.gateway.queue_timeout = 200ms;
  world.start();
  auto a = world.ensure("a");
  ASSERT_TRUE(a);
  auto lease = a->endpoint->try_acquire();
  auto b = world.ensure("b");
  ASSERT_FALSE(b);
  EXPECT_EQ(b.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(b.error().message.contains("no place for the model 'b'")) << b.error().message;
  EXPECT_TRUE(b.error().message.contains("held by a")) << b.error().message;
  EXPECT_TRUE(b.error().retry_after);
}

TEST(SchedulerRoom, WhatEndpointsUseIsTakenOff) {
  TightWorld world;
  world.settings.endpoints.push_back({.name = "near", .device = "cpu", .memory = 500 * kMiB});
  world.start();
  auto refused = world.ensure("a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(refused.error().message.contains("MiB")) << refused.error().message;
  world.loops.call(world.loops.shards().control(), [&] {
    world.scheduler->set_leases({{"cpu", 300 * kMiB}});
    return true;
  });
  auto a = world.ensure("a");
  EXPECT_TRUE(a) << a.error().describe();
}

TEST(SchedulerRoom, APoolIsForItsModels) {
  TightWorld world;
  world.settings.scheduler.memory = 2000 * kMiB;
  world.settings.scheduler.pools["fast"] = {"cpu", 700 * kMiB};
  world.settings.models.settings["a"].pool = "fast";
  world.put_model("c");
  world.settings.models.settings["c"].memory = 800 * kMiB;
  world.start();
  ASSERT_TRUE(world.ensure("b"));
  ASSERT_TRUE(world.ensure("a"));  // beside b, which would not go for it
  ASSERT_TRUE(world.instance("b"));
  ASSERT_TRUE(world.ensure("c"));  // 600 and 800 do not fit into the common 1300
  EXPECT_FALSE(world.instance("b"));
  EXPECT_TRUE(world.instance("a"));
}

TEST(SchedulerRoom, APoolIsForItsKindOfWork) {
  TightWorld world;
  world.settings.scheduler.memory = 1400 * kMiB;
  world.settings.scheduler.pools["vectors"] = {"cpu", 700 * kMiB, {"embedding"}};
  world.put_model("c");
  world.settings.models.settings["c"].memory = 600 * kMiB;
  world.start();
  ASSERT_TRUE(world.ensure("a"));
  ASSERT_TRUE(world.ensure("b", inference::Operation::embedding));  // not in the way of a
  EXPECT_TRUE(world.instance("a"));
  ASSERT_TRUE(world.ensure("c"));  // takes the place of a, and none of the pool
  EXPECT_FALSE(world.instance("a"));
  EXPECT_EQ(world.instances().size(), 2u);
}

TEST(SchedulerRoom, NoMoreThanSoManyModels) {
  TightWorld world;
  world.settings.scheduler.memory = 4000 * kMiB;
  world.settings.scheduler.max_models = 1;
  world.start();
  ASSERT_TRUE(world.ensure("a"));
  ASSERT_TRUE(world.ensure("b"));
  EXPECT_EQ(world.instances().size(), 1u);
}

TEST(SchedulerRoom, APinnedModelStays) {
  TightWorld world;
  world.settings.models.settings["a"].pin = true;
  world.start();
  ASSERT_TRUE(world.ensure("a"));
  auto b = world.ensure("b");
  ASSERT_FALSE(b);
  EXPECT_TRUE(b.error().message.contains("pinned models hold 600.0 MiB: a")) << b.error().message;
  // Not any more after a change of the settings.
  world.settings.models.settings["a"].pin = false;
  world.reload();
  auto again = world.ensure("b");
  EXPECT_TRUE(again) << again.error().describe();
}

TEST(SchedulerRoom, ALargerBudgetIsUsedAtOnce) {
  TightWorld world;
  world.start();
  auto a = world.ensure("a");
  ASSERT_TRUE(a);
  auto lease = a->endpoint->try_acquire();
  Asker asker(world, "b");
  ASSERT_TRUE(eventually([&] { return world.waits("b"); }, kPatience));
  world.settings.scheduler.memory = 2000 * kMiB;
  world.reload();
  ASSERT_TRUE(eventually([&] { return asker.told(); }, kPatience));
  EXPECT_FALSE(asker.error);
  EXPECT_FALSE(a->endpoint->closed());
}

TEST(SchedulerRoom, WhoWaitsIsToldWhenTheServerStops) {
  TightWorld world;
  world.start();
  auto a = world.ensure("a");
  ASSERT_TRUE(a);
  auto lease = a->endpoint->try_acquire();
  Asker asker(world, "b");
  ASSERT_TRUE(eventually([&] { return world.waits("b"); }, kPatience));
  world.loops.run(world.loops.shards().control(), world.scheduler->stop());
  ASSERT_TRUE(eventually([&] { return asker.told(); }, kPatience));
  ASSERT_TRUE(asker.error);
  EXPECT_EQ(asker.error->code, ErrorCode::unavailable);
}

TEST(SchedulerRoom, AFailedModelGivesItsRoomBack) {
  TightWorld world;
  world.settings.llama_server.extra_arguments = {"--fake-exit", "1"};
  world.start();
  ASSERT_FALSE(world.ensure("a"));
  ASSERT_FALSE(world.ensure("b"));
  auto failed = world.instance("a");
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->state, "failed");
  EXPECT_EQ(failed->reserved_bytes, 0u);
}

}  // namespace
}  // namespace corral::scheduler::scheduler_placement_test
