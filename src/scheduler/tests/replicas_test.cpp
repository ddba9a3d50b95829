// Deployments with several instances, with an engine that is a script.
#include <gtest/gtest.h>

#include <csignal>
#include <set>

#include "scheduler/tests/world.hpp"

namespace corral::scheduler::replicas_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;

constexpr auto kPatience = 60s;
constexpr std::uint64_t kMiB = 1u << 20;

class ReplicaWorld : public World {
 public:
  explicit ReplicaWorld(unsigned least, unsigned most = 0) {
    settings.scheduler.memory = 1000 * kMiB;
    settings.llama_server.restart_limit = 3;
    put_model("tiny");
    auto& own = settings.models.settings["tiny"];
    own.min_replicas = least;
    own.max_replicas = std::max(least, most);
    own.memory = 200 * kMiB;
  }
  void put_other(std::uint64_t bytes) {
    put_model("other");
    settings.models.settings["other"].memory = bytes;
  }
  void autoscale() {
    auto& scale = settings.scheduler.autoscale;
    scale.enabled = true;
    scale.wait_target = 100ms;
    scale.over_target = 1s;
    scale.cooldown_up = 1s;
    scale.cooldown_down = 2s;
  }
  std::vector<InstanceStatus> of(const std::string& model, std::string_view state = "ready") {
    std::vector<InstanceStatus> found;
    for (auto& each : instances()) {
      if (each.model == model && each.state == state) found.push_back(each);
    }
    return found;
  }
  bool count(std::size_t wanted, const std::string& model = "tiny") {
    return eventually([&] { return of(model).size() == wanted && targets(model) == wanted; },
                      kPatience);
  }
  // How many the fast path chooses from.
  std::size_t targets(const std::string& model = "tiny") {
    auto current = catalog();
    const auto& all = current->targets(inference::Operation::chat);
    auto it = all.find(model);
    return it == all.end() ? 0 : it->second.size();
  }
  gateway::Lease take() { return ready("tiny").endpoint->try_acquire(); }
  ScalingStatus scaling() { return loops.run(shard(), scheduler->scaling()); }
};

TEST(Replicas, AllOfThemComeWithTheFirstCaller) {
  ReplicaWorld world(3);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));  // as soon as one is ready
  ASSERT_TRUE(world.count(3));
  std::set<unsigned> numbers;
  std::set<int> pids;
  for (const auto& each : world.of("tiny")) {
    numbers.insert(each.replica);
    pids.insert(each.pid);
    EXPECT_EQ(each.reserved_bytes, 200 * kMiB);
  }
  EXPECT_EQ(numbers, (std::set<unsigned>{1, 2, 3}));
  EXPECT_EQ(pids.size(), 3u);
}

TEST(Replicas, TheLeastBusyOneIsChosen) {
  ReplicaWorld world(2);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(2));
  auto first = world.take();
  auto second = world.take();
  ASSERT_TRUE(first && second);
  EXPECT_NE(first.endpoint(), second.endpoint());
  auto third = world.take();
  auto fourth = world.take();
  ASSERT_TRUE(third && fourth);
  EXPECT_FALSE(world.take());  // two places each
  auto second_at = second.endpoint();
  second.give_back();
  EXPECT_EQ(world.ready("tiny").endpoint, second_at);
  // An idle model stays at one, whose cache of prompts is warm.
  first.give_back();
  third.give_back();
  fourth.give_back();
  auto idle = world.ready("tiny").endpoint;
  EXPECT_EQ(world.ready("tiny").endpoint, idle);
}

TEST(Replicas, TheOthersServeWhileOneIsStartedAgain) {
  ReplicaWorld world(2);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(2));
  auto victim = world.of("tiny").at(0);
  ASSERT_EQ(::kill(victim.pid, SIGKILL), 0);
  ASSERT_TRUE(eventually(
      [&] {
        auto now = world.of("tiny");
        return now.size() < 2 || (now[0].pid != victim.pid && now[1].pid != victim.pid);
      },
      kPatience));
  auto target = world.ensure("tiny");
  ASSERT_TRUE(target);
  EXPECT_TRUE(world.in_state("tiny", ModelState::ready));
  EXPECT_TRUE(world.count(2));
}

TEST(Replicas, OneThatOnlyFailsIsReplaced) {
  ReplicaWorld world(2);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(2));
  auto bad = world.ready("tiny").endpoint;
  for (unsigned i = 0; i < gateway::Endpoint::kFailuresOfSpared; ++i) bad->failed();
  ASSERT_TRUE(bad->failing());
  bad->close();
  auto good = world.ready("tiny").endpoint;
  EXPECT_NE(good, bad);
  EXPECT_FALSE(good->closed());
  EXPECT_TRUE(good->try_acquire());  // and it answers
  EXPECT_TRUE(eventually([&] { return world.log->has("only fails"); }, kPatience));
  ASSERT_TRUE(world.count(2));
  EXPECT_FALSE(good->closed());
  for (int i = 0; i < 4; ++i) EXPECT_NE(world.ready("tiny").endpoint, bad);
}

TEST(Replicas, WhenAllFailNoneIsReplacedUntilTheBreakerSaysSo) {
  ReplicaWorld world(2);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(2));
  std::set<int> pids;
  for (const auto& each : world.of("tiny")) pids.insert(each.pid);
  std::vector<std::shared_ptr<gateway::Endpoint>> bad;
  {
    auto first = world.take();
    auto second = world.take();
    bad = {first.endpoint(), second.endpoint()};
  }
  ASSERT_NE(bad[0], bad[1]);
  // All at once, so that no sweep comes in between.
  world.loops.call(world.loops.shards().control(), [&] {
    for (const auto& each : bad) {
      for (unsigned k = 0; k < gateway::Endpoint::kFailuresOfSpared; ++k) each->failed();
      each->close();
    }
    return true;
  });
  // Both are open again, as new endpoints of the same processes.
  ASSERT_TRUE(eventually(
      [&] {
        auto current = world.ready("tiny").endpoint;
        return current != bad[0] && current != bad[1];
      },
      kPatience));
  ASSERT_TRUE(world.count(2));
  for (const auto& each : world.of("tiny")) EXPECT_TRUE(pids.contains(each.pid));
  auto suspect = world.ready("tiny").endpoint;
  EXPECT_FALSE(suspect->failing());
  suspect->failed();
  world.restart("tiny");
  EXPECT_TRUE(suspect->closed());
  EXPECT_FALSE(world.ready("tiny").endpoint->closed());
  ASSERT_TRUE(world.count(2));
  auto kept = std::ranges::count_if(world.of("tiny"),
                                    [&](const auto& each) { return pids.contains(each.pid); });
  EXPECT_EQ(kept, 1);
}

TEST(Replicas, OnlyThoseThatFit) {
  ReplicaWorld world(8);
  world.put_other(300 * kMiB);
  world.start();
  ASSERT_TRUE(world.ensure("other"));
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(3));
  EXPECT_EQ(world.instances().size(), 4u);  // nothing was unloaded for them
}

TEST(Replicas, GiveWayToAModelThatHasNone) {
  ReplicaWorld world(4);
  world.put_other(500 * kMiB);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(4));
  std::vector<gateway::Lease> all;
  for (int i = 0; i < 4; ++i) all.push_back(world.take());
  auto first = world.of("tiny").at(0);
  net::TaskGroup tasks(world.shard());
  std::atomic<bool> served = false;
  struct Ask {
    static net::Task<void> run(Scheduler* scheduler, std::atomic<bool>* served) {
      auto made = co_await scheduler->ensure(ModelName("other"), inference::Operation::chat);
      *served = made.has_value();
    }
  };
  tasks.spawn(Ask::run(world.scheduler.get(), &served));
  // Those that must go take nobody any more, and are waited for.
  ASSERT_TRUE(eventually(
      [&] {
        return std::ranges::count_if(
                   all, [](const auto& lease) { return lease.endpoint()->closed(); }) == 2;
      },
      kPatience));
  EXPECT_FALSE(served);
  for (auto& lease : all) {
    if (lease.endpoint()->closed()) lease.give_back();
  }
  ASSERT_TRUE(eventually([&] { return served.load(); }, kPatience));
  EXPECT_TRUE(world.count(2));
  EXPECT_EQ(world.of("tiny").at(0).pid, first.pid);
  all.clear();
  world.loops.run(world.shard(), tasks.close());
}

TEST(Replicas, AllGoTogether) {
  ReplicaWorld world(2);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(2));
  EXPECT_TRUE(world.unload("tiny"));
  EXPECT_TRUE(world.instances().empty());
  EXPECT_TRUE(world.in_state("tiny", ModelState::unloaded));
  ASSERT_TRUE(world.ensure("tiny"));
  EXPECT_TRUE(world.count(2));
}

TEST(Replicas, NoneGoesForIdlenessWhileAnotherIsInUse) {
  ReplicaWorld world(2);
  world.settings.models.idle_timeout = 300ms;
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  auto lease = world.take();
  ASSERT_TRUE(lease);
  ASSERT_TRUE(world.count(2));
  // Several sweeps, by what they measure: each is made after the one that might unload.
  auto pids = [&] {
    std::set<int> found;
    for (const auto& each : world.of("tiny")) found.insert(each.pid);
    return found;
  };
  auto before = pids();
  auto until = std::chrono::steady_clock::now() + 1500ms;
  EXPECT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > until; }, kPatience));
  EXPECT_EQ(pids(), before);
  lease.give_back();
  EXPECT_TRUE(eventually([&] { return world.instances().empty(); }, kPatience));
}

TEST(Replicas, ANewNumberHoldsAtOnce) {
  ReplicaWorld world(1);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(1));
  EXPECT_TRUE(world.scaling().deployments.empty());
  auto& own = world.settings.models.settings["tiny"];
  own.min_replicas = own.max_replicas = 3;
  world.reload();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(3));
  EXPECT_EQ(world.scaling().deployments.at(0).wanted, 3u);
  // A busy one finishes first.
  std::vector<gateway::Lease> all;
  for (int i = 0; i < 3; ++i) all.push_back(world.take());
  own.min_replicas = own.max_replicas = 1;
  world.reload();
  EXPECT_TRUE(eventually(
      [&] {
        return std::ranges::count_if(
                   all, [](const auto& lease) { return lease.endpoint()->closed(); }) == 2;
      },
      kPatience));
  EXPECT_EQ(world.of("tiny").size(), 3u);
  all.clear();
  EXPECT_TRUE(world.count(1));
}

TEST(Replicas, OneThatIsToGoIsKeptWhenItIsNeededAgain) {
  ReplicaWorld world(2);
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(2));
  auto first = world.take();
  auto second = world.take();
  auto& own = world.settings.models.settings["tiny"];
  own.min_replicas = own.max_replicas = 1;
  world.reload();
  ASSERT_TRUE(eventually([&] { return first.endpoint()->closed() || second.endpoint()->closed(); },
                         kPatience));
  own.min_replicas = own.max_replicas = 2;
  world.reload();
  EXPECT_TRUE(eventually(
      [&] { return !first.endpoint()->closed() && !second.endpoint()->closed(); }, kPatience));
  EXPECT_EQ(world.of("tiny").size(), 2u);
}

TEST(Replicas, CallersOfOneThatCannotStartAreServedByAnother) {
  ReplicaWorld world(2);
  world.settings.llama_server.restart_limit = 1;
  auto runs = (world.folder / "runs").string();
  world.settings.llama_server.extra_arguments = {"--fake-runs", runs, "--fake-only-first", "1",
                                                 "--fake-exit", "3",  "--fake-loading",    "1"};
  world.start();
  auto target = world.ensure("tiny");
  ASSERT_TRUE(target) << target.error().describe();
  EXPECT_TRUE(world.in_state("tiny", ModelState::ready));
}

TEST(Scaling, IsOffUnlessAsked) {
  ReplicaWorld world(1, 4);
  world.demand = [] {
    return std::vector<ModelDemand>{{.model = "tiny", .requests = 1, .queued = 10s}};
  };
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  auto status = world.scaling();
  EXPECT_FALSE(status.enabled);
  EXPECT_TRUE(status.deployments.empty());
  EXPECT_EQ(world.of("tiny").size(), 1u);
}

TEST(Scaling, OneMoreWhileRequestsWaitAndOneFewerWhenNoneCome) {
  ReplicaWorld world(1, 2);
  world.autoscale();
  std::atomic<bool> busy = true;
  world.demand = [&] {
    std::vector<ModelDemand> seen;
    if (busy) {
      ModelDemand demand;
      demand.model = "tiny";
      demand.requests = 2;
      demand.queued = 3s;
      demand.first_tokens = 2;
      demand.to_first = 1s;
      demand.tokens = 40;
      demand.generating = 2s;
      seen.push_back(demand);
      demand.model = "another";
      demand.queued = 0s;
      seen.push_back(demand);
    }
    return seen;
  };
  world.queue_wait = [](const std::string&) { return std::optional(200ms); };
  world.waiting = [&](const std::string&) { return std::size_t{busy ? 1u : 0u}; };
  world.start();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(world.count(2));
  auto status = world.scaling();
  EXPECT_TRUE(status.enabled);
  ASSERT_EQ(status.deployments.size(), 1u);
  const auto& shown = status.deployments[0];
  EXPECT_EQ(shown.model, "tiny");
  EXPECT_EQ(shown.purpose, "chat");
  EXPECT_EQ(shown.wanted, 2u);
  EXPECT_EQ(shown.most, 2u);
  EXPECT_EQ(shown.waiting, 1u);
  EXPECT_EQ(shown.wait_ms, 1500);
  EXPECT_EQ(shown.first_token_ms, 500);
  EXPECT_EQ(shown.tokens_per_second, 20);
  ASSERT_EQ(status.decisions.size(), 1u);
  EXPECT_EQ(status.decisions[0].kind, "up");
  EXPECT_EQ(status.decisions[0].signal, "wait");
  EXPECT_EQ(status.decisions[0].reason, "for 1s requests waited 1s500ms for a place, over 100ms");
  EXPECT_TRUE(world.log->has("scaling model=tiny purpose=chat kind=up from=1 to=2"));

  busy = false;
  ASSERT_TRUE(world.count(1));
  status = world.scaling();
  ASSERT_EQ(status.decisions.size(), 2u);
  EXPECT_EQ(status.decisions[1].kind, "down");
  EXPECT_EQ(status.decisions[1].signal, "idle");
  EXPECT_EQ(world.of("tiny").at(0).replica, 1u);

  EXPECT_TRUE(world.unload("tiny"));
  EXPECT_TRUE(eventually([&] { return world.scaling().deployments.at(0).wanted == 0; }, kPatience));
}

TEST(Scaling, ThereIsNoMemoryForAnother) {
  ReplicaWorld world(1, 2);
  world.autoscale();
  world.put_other(700 * kMiB);
  world.demand = [] {
    return std::vector<ModelDemand>{{.model = "tiny", .requests = 1, .queued = 1s}};
  };
  world.start();
  ASSERT_TRUE(world.ensure("other"));
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(eventually([&] { return !world.scaling().decisions.empty(); }, kPatience));
  auto record = world.scaling().decisions[0];
  EXPECT_EQ(record.kind, "held_back");
  EXPECT_EQ(record.to, 1u);
  EXPECT_EQ(world.instances().size(), 2u);
}

}  // namespace
}  // namespace corral::scheduler::replicas_test
