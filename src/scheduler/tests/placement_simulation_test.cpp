// Clients and engines in virtual time: what grouping gains, and that nothing is ever stuck.
#include <random>

#include "scheduler/tests/placement_world.hpp"

namespace corral::scheduler::placement_simulation_test {
namespace {

using namespace std::chrono_literals;
using Time = PlacementWorld::Time;

constexpr std::uint64_t kGiB = 1ull << 30;

struct Score {
  std::size_t answers = 0;
  std::size_t swaps = 0;
  std::chrono::milliseconds longest_wait{0};
};

// Ten clients, each asking two models in turn that do not fit together.
class Alternating {
 public:
  explicit Alternating(std::chrono::milliseconds turn_limit,
                       std::chrono::milliseconds service = 50ms)
      : service_(service) {
    world_.placement.configure({.turn_limit = turn_limit}, {{"cpu", 3 * kGiB, ""}});
    world_.budgets = {{"cpu", 3 * kGiB}};
    for (const char* name : {"a", "b"}) models_.push_back(world_.add(name, 2 * kGiB));
    for (auto& engine : world_.engines) engine.load = 1s;
  }
  Score run(std::chrono::milliseconds duration) {
    for (int client = 0; client < 10; ++client) {
      world_.after(std::chrono::milliseconds(client),
                   [this, client] { next(client, static_cast<std::size_t>(client)); });
    }
    world_.run_for(duration);
    score_.swaps = world_.engines[0].starts + world_.engines[1].starts;
    return score_;
  }

 private:
  void next(int client, std::size_t turn) {
    Time asked = world_.now;
    world_.request(models_[turn % 2], service_, [this, client, turn, asked] {
      ++score_.answers;
      auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(world_.now - asked);
      score_.longest_wait = std::max(score_.longest_wait, waited - service_);
      world_.after(2ms, [this, client, turn] { next(client, turn + 1); });
    });
  }

  std::chrono::milliseconds service_;
  PlacementWorld world_;
  std::vector<UnitId> models_;
  Score score_;
};

TEST(PlacementSimulation, GroupingGivesThreeTimesTheAnswersOfFirstComeFirstServed) {
  Score first_come = Alternating(0ms).run(120s);
  Score grouped = Alternating(30s).run(120s);
  EXPECT_GT(first_come.answers, 50u);
  EXPECT_GE(grouped.answers, 3 * first_come.answers)
      << grouped.swaps << " swaps against " << first_come.swaps;
  EXPECT_LE(grouped.longest_wait, 30s + 2s);
}

// One model has enough clients to be busy for ever.
TEST(PlacementSimulation, TheBoundHoldsAgainstAModelThatIsNeverIdle) {
  PlacementWorld world;
  constexpr auto kLimit = 5s;
  world.placement.configure({.turn_limit = kLimit}, {{"cpu", 3 * kGiB, ""}});
  world.budgets = {{"cpu", 3 * kGiB}};
  auto busy = world.add("busy", 2 * kGiB);
  auto rare = world.add("rare", 2 * kGiB);
  std::size_t busy_answers = 0, rare_answers = 0;
  std::chrono::milliseconds longest{0};
  std::function<void(int)> hammer = [&](int client) {
    world.request(busy, std::chrono::milliseconds(100 + client * 37), [&, client] {
      ++busy_answers;
      hammer(client);
    });
  };
  std::function<void()> visit = [&] {
    Time asked = world.now;
    world.request(rare, 50ms, [&, asked] {
      ++rare_answers;
      longest = std::max(longest,
                         std::chrono::duration_cast<std::chrono::milliseconds>(world.now - asked));
      world.after(1s, visit);
    });
  };
  for (int client = 0; client < 8; ++client) hammer(client);
  world.after(10ms, visit);
  world.run_for(120s);
  EXPECT_GT(rare_answers, 10u);
  EXPECT_GT(busy_answers, 500u);
  // The limit, the requests that ran, and the swap.
  EXPECT_LE(longest, kLimit + 1s + 500ms);
}

// Random events. The world checks budgets and that nothing busy is stopped; here: all are woken.
class RandomWorld {
 public:
  explicit RandomWorld(unsigned seed) : random_(seed) {
    PlacementOptions options;
    options.turn_limit = std::chrono::milliseconds(pick(4) * 1000);
    options.max_units = pick(3) == 0 ? 3 : 0;
    std::vector<AccountSpec> accounts;
    for (const char* name : {"cpu", "g0", "g1"}) {
      accounts.push_back({name, 4 + pick(12), ""});
      world_.budgets[name] = accounts.back().budget;
    }
    world_.placement.configure(options, accounts);
    for (int i = 0; i < 12; ++i) {
      UnitSpec spec{"u" + std::to_string(i), {}, pick(12) == 0};
      unsigned rank = 0;
      for (const char* name : {"g0", "g1", "cpu"}) {
        if (pick(3) == 0 && !(spec.places.empty() && std::string(name) == "cpu")) continue;
        Place place{name, {{name, 1 + pick(9)}}, rank += pick(2)};
        if (pick(3) == 0 && std::string(name) != "cpu")
          place.charges.push_back({"cpu", 1 + pick(3)});
        spec.places.push_back(std::move(place));
      }
      spec.spread = pick(2) == 0;
      if (pick(2) == 0) spec.kin = "k" + std::to_string(pick(3));
      auto id = world_.add(std::move(spec));
      world_.engines[id].load = std::chrono::milliseconds(10 + pick(3000));
      world_.engines[id].stop = std::chrono::milliseconds(pick(200));
      world_.engines[id].slots = 1 + pick(4);
    }
    world_.fails_to_start = [this](UnitId) { return pick(40) == 0; };
  }

  void run() {
    for (int i = 0; i < 200 && !::testing::Test::HasFailure(); ++i) {
      world_.after(std::chrono::milliseconds(pick(400)), [this] { event(); });
      world_.run_for(std::chrono::milliseconds(pick(300)));
    }
    // Nothing new comes: every request ends in a bounded time.
    world_.run_for(600s);
    EXPECT_EQ(open_, 0u) << "requests without an answer";
    EXPECT_TRUE(world_.waiting.empty()) << world_.waiting.size() << " callers were never woken";
    EXPECT_FALSE(world_.placement.anyone_waits());
    EXPECT_GT(ended_, 50u);
  }

 private:
  std::size_t pick(std::size_t count) { return random_() % count; }

  void event() {
    auto id = static_cast<UnitId>(pick(world_.engines.size()));
    auto kind = pick(20);
    if (kind == 0 && world_.placement.state(id) == UnitState::ready) {
      world_.crash(id);
    } else if (kind == 1 && world_.placement.state(id) == UnitState::ready &&
               world_.close_if_idle(id, 0ms)) {
      unload(id);
    } else if (kind == 2) {
      // A caller that does not wait to the end.
      auto ticket = world_.want(id, [](const std::optional<Error>&) {});
      world_.after(std::chrono::milliseconds(pick(2000)), [this, ticket] { world_.leave(ticket); });
    } else {
      ++open_;
      ask(id, std::chrono::milliseconds(1 + pick(2000)));
    }
  }
  void unload(UnitId id) {
    world_.placement.leaving(id, nullptr);
    world_.after(world_.engines[id].stop, [this, id] {
      world_.placement.gone(id);
      world_.settle();
    });
    world_.settle();
  }
  void ask(UnitId id, std::chrono::milliseconds takes) {
    auto& engine = world_.engines[id];
    if (engine.open && engine.in_flight < engine.slots) {
      world_.enter(id);
      world_.after(takes, [this, id] {
        world_.leave_engine(id);
        --open_;
        ++ended_;
      });
    } else if (engine.open) {
      engine.queue.push_back([this, id, takes] { ask(id, takes); });
    } else {
      world_.want(id, [this, id, takes](const std::optional<Error>& error) {
        if (!error) {
          world_.after(1ms, [this, id, takes] { ask(id, takes); });
          return;
        }
        EXPECT_FALSE(error->message.empty());
        --open_;
        ++ended_;
      });
    }
  }

  std::mt19937 random_;
  PlacementWorld world_;
  std::size_t open_ = 0;
  std::size_t ended_ = 0;
};

TEST(PlacementProperties, NothingIsOverdrawnKilledOrForgotten) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomWorld(seed).run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace corral::scheduler::placement_simulation_test
