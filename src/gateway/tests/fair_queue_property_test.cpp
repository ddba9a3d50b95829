// Property tests of the fair queue: random work, many rounds, what must hold throughout.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "gateway/core/fair_queue.hpp"

namespace corral::gateway::fair_queue_property_test {
namespace {

using Outcome = FairQueue::Outcome;
using Ticket = FairQueue::Ticket;
using Request = FairQueue::Request;

const FairQueue::Time kStart{std::chrono::seconds(1000)};

// Everything at once, many rounds: nothing lost, nothing doubled, places always make sense, and
// what `peek` says is what `pop` does.
TEST(FairQueue, NothingIsLostOrDoubled) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    std::mt19937_64 random(seed);
    FairQueue queue({.limit = 200, .per_principal = random() % 2 * 30, .push_out = seed % 2 == 0});
    std::set<Ticket> waiting;
    auto now = kStart;
    for (int step = 0; step < 5'000; ++step) {
      now += std::chrono::milliseconds(random() % 50);
      auto kind = random() % 100;
      auto some = [&] {
        return *std::next(waiting.begin(), static_cast<long>(random() % waiting.size()));
      };
      auto open = [mask = random()](FairQueue::Lane lane) { return (mask >> lane & 1) != 0; };
      if (kind < 50) {
        Request request{.principal = random() % 40,
                        .weight = static_cast<std::uint32_t>(random() % 4),
                        .priority = static_cast<Priority>(random() % 3),
                        .cost = static_cast<std::uint32_t>(random() >> (32 + random() % 32)),
                        .lane = static_cast<FairQueue::Lane>(random() % 4),
                        .work_ms = static_cast<std::uint32_t>(random() % 5000)};
        if (random() % 3 == 0) request.deadline = now + std::chrono::milliseconds(random() % 4000);
        auto answer = queue.push(request, now);
        if (answer.pushed_out) {
          ASSERT_EQ(waiting.erase(*answer.pushed_out), 1u);
        }
        if (answer.outcome == Outcome::queued) {
          ASSERT_TRUE(waiting.insert(answer.ticket).second);
        }
      } else if (kind < 85) {
        auto seen = queue.peek(now, open);
        auto item = queue.pop(now, open);
        ASSERT_EQ(seen.has_value(), item.has_value());
        if (!item) continue;
        ASSERT_EQ(seen->ticket, item->ticket);
        ASSERT_TRUE(open(item->lane));
        ASSERT_EQ(waiting.erase(item->ticket), 1u);
      } else if (kind < 90) {
        for (auto ticket : queue.expire(now)) ASSERT_EQ(waiting.erase(ticket), 1u);
      } else if (!waiting.empty()) {
        auto ticket = some();
        auto place = queue.place(ticket, now);
        ASSERT_TRUE(place);
        ASSERT_GE(place->position, 1u);
        ASSERT_LE(place->position, waiting.size());
        ASSERT_GE(place->work_before, 0);
        ASSERT_LE(place->work_before, queue.work() + 1e-6);
        if (kind < 95) {
          ASSERT_TRUE(queue.change_lane(ticket, static_cast<FairQueue::Lane>(random() % 4)));
        } else {
          ASSERT_TRUE(queue.remove(ticket));
          waiting.erase(ticket);
        }
      }
      ASSERT_EQ(queue.size(), waiting.size());
    }
    while (auto item = queue.pop(now)) ASSERT_EQ(waiting.erase(item->ticket), 1u);
    ASSERT_TRUE(waiting.empty());
    ASSERT_EQ(queue.work(), 0);
  }
}

// With P principals of equal weight and costs up to C, a request whose principal has n before it
// is served within P * (n + 2) * C / c dispatches, c being the least cost (classes apart).
TEST(FairQueue, EverybodyIsServedWithinABound) {
  constexpr std::uint64_t kPrincipals = 20, kDeep = 5, kLeast = 50, kMost = 400;
  std::mt19937_64 random(21);
  FairQueue queue;
  std::map<Ticket, int> pushed_at;
  auto push = [&](std::uint64_t principal, int step) {
    auto cost = static_cast<std::uint32_t>(kLeast + random() % (kMost - kLeast + 1));
    pushed_at[queue.push({.principal = principal, .cost = cost}, kStart).ticket] = step;
  };
  for (std::uint64_t i = 0; i < kPrincipals * kDeep; ++i) push(i % kPrincipals, 0);
  // Small ones of its own may overtake each of those before it, 16 times in all for the oldest.
  const int bound = kPrincipals * (kDeep + 16 + 2) * kMost / kLeast;
  for (int step = 1; step < 30'000; ++step) {
    auto item = queue.pop(kStart);
    ASSERT_LE(step - pushed_at.at(item->ticket), bound);
    pushed_at.erase(item->ticket);
    push(item->principal, step);
  }
  for (auto [ticket, at] : pushed_at) ASSERT_LE(30'000 - at, bound);
}

TEST(FairQueue, ManyPassingPrincipalsAreForgotten) {
  FairQueue queue({.limit = 100'000});
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    (void)queue.push({.principal = i, .cost = 1'000'000}, kStart);
    (void)queue.push({.principal = i + 100'000, .cost = 1}, kStart);
    (void)queue.pop(kStart);
  }
  EXPECT_EQ(queue.size(), 20'000u);
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(queue.pop(kStart));
  EXPECT_EQ(queue.principals(Priority::normal), 0u);
}

}  // namespace
}  // namespace corral::gateway::fair_queue_property_test
