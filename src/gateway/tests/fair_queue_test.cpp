#include "gateway/core/fair_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace corral::gateway::fair_queue_test {
namespace {

using namespace std::chrono_literals;
using Outcome = FairQueue::Outcome;
using Ticket = FairQueue::Ticket;
using Request = FairQueue::Request;

const FairQueue::Time kStart{1000s};

std::vector<Ticket> pop_all(FairQueue& queue, FairQueue::Time now = kStart) {
  std::vector<Ticket> order;
  while (auto item = queue.pop(now)) order.push_back(item->ticket);
  return order;
}

TEST(FairQueue, PriorityNamesGoBothWays) {
  for (auto priority : {Priority::high, Priority::normal, Priority::low}) {
    EXPECT_EQ(parse_priority(to_string(priority)), priority);
  }
  EXPECT_EQ(to_string(Priority::high), "high");
  EXPECT_EQ(parse_priority("urgent"), std::nullopt);
}

TEST(FairQueue, OnePrincipalIsServedInOrderOfArrival) {
  FairQueue queue;
  std::vector<Ticket> pushed;
  for (int i = 0; i < 50; ++i) {
    pushed.push_back(queue.push({.principal = 1, .cost = 100}, kStart).ticket);
  }
  EXPECT_EQ(queue.size(), 50u);
  EXPECT_EQ(queue.size(Priority::normal), 50u);
  EXPECT_EQ(queue.principals(Priority::normal), 1u);
  EXPECT_EQ(pop_all(queue), pushed);
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_EQ(queue.pop(kStart), std::nullopt);
  EXPECT_EQ(queue.peek(kStart), std::nullopt);
}

TEST(FairQueue, SaysWhatItHandsOut) {
  FairQueue queue;
  auto ticket =
      queue.push({.principal = 7, .priority = Priority::low, .cost = 0, .lane = 3}, kStart).ticket;
  auto seen = queue.peek(kStart + 5s);
  auto item = queue.pop(kStart + 5s);
  ASSERT_TRUE(item && seen);
  EXPECT_EQ(seen->ticket, ticket);
  EXPECT_EQ(item->ticket, ticket);
  EXPECT_EQ(item->principal, 7u);
  EXPECT_EQ(item->priority, Priority::low);
  EXPECT_EQ(item->cost, 1u);
  EXPECT_EQ(item->lane, 3u);
  EXPECT_EQ(item->since, kStart);
}

TEST(FairQueue, FullUnlessSomebodyLowerCanGo) {
  FairQueue queue({.limit = 2});
  auto low = queue.push({.priority = Priority::low}, kStart).ticket;
  auto newer = queue.push({.principal = 2, .priority = Priority::low}, kStart).ticket;
  EXPECT_EQ(queue.push({.priority = Priority::low}, kStart).outcome, Outcome::full);
  auto normal = queue.push({}, kStart);
  EXPECT_EQ(normal.outcome, Outcome::queued);
  EXPECT_EQ(normal.pushed_out, newer);
  auto high = queue.push({.priority = Priority::high}, kStart);
  EXPECT_EQ(high.pushed_out, low);
  auto higher = queue.push({.priority = Priority::high}, kStart);
  EXPECT_EQ(higher.pushed_out, normal.ticket);
  EXPECT_EQ(queue.push({.priority = Priority::high}, kStart).outcome, Outcome::full);
  EXPECT_EQ(pop_all(queue), (std::vector{high.ticket, higher.ticket}));

  FairQueue strict({.limit = 1, .push_out = false});
  (void)strict.push({.priority = Priority::low}, kStart);
  EXPECT_EQ(strict.push({.priority = Priority::high}, kStart).outcome, Outcome::full);
  EXPECT_EQ(FairQueue({.limit = 0}).push({}, kStart).outcome, Outcome::full);
}

TEST(FairQueue, OnePrincipalCannotTakeItAll) {
  FairQueue queue({.per_principal = 2});
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(queue.push({.principal = 1}, kStart).outcome, Outcome::queued);
  EXPECT_EQ(queue.push({.principal = 1}, kStart).outcome, Outcome::principal_full);
  EXPECT_EQ(queue.push({.principal = 2}, kStart).outcome, Outcome::queued);
  (void)queue.pop(kStart);
  EXPECT_EQ(queue.push({.principal = 1}, kStart).outcome, Outcome::queued);
}

TEST(FairQueue, WhoLeavesNeverComesOut) {
  FairQueue queue;
  auto first = queue.push({}, kStart).ticket;
  auto second = queue.push({}, kStart).ticket;
  EXPECT_TRUE(queue.remove(first));
  EXPECT_FALSE(queue.remove(first));
  EXPECT_FALSE(queue.remove(0));
  EXPECT_FALSE(queue.remove(~Ticket{0}));
  auto third = queue.push({}, kStart).ticket;  // in the place of the first, under another name
  EXPECT_NE(third, first);
  EXPECT_FALSE(queue.remove(first));
  EXPECT_EQ(pop_all(queue), (std::vector{second, third}));
}

TEST(FairQueue, DeadlinesComeInOrder) {
  FairQueue queue;
  std::mt19937_64 random(3);
  std::map<Ticket, FairQueue::Time> deadlines;
  for (int i = 0; i < 500; ++i) {
    auto deadline = kStart + std::chrono::seconds(random() % 100);
    deadlines[queue.push({.principal = random() % 9, .deadline = deadline}, kStart).ticket] =
        deadline;
  }
  auto forever = queue.push({}, kStart).ticket;
  for (int i = 0; i < 100; ++i) {  // some leave before
    auto some = std::next(deadlines.begin(), static_cast<long>(random() % deadlines.size()));
    EXPECT_TRUE(queue.remove(some->first));
    deadlines.erase(some);
  }
  for (auto now = kStart; now <= kStart + 100s; now += 1s) {
    for (auto ticket : queue.expire(now)) {
      EXPECT_LE(deadlines.at(ticket), now);
      EXPECT_GT(deadlines.at(ticket), now - 1s);
      deadlines.erase(ticket);
    }
    if (!deadlines.empty()) {
      EXPECT_GT(queue.next_deadline(), now);
    }
  }
  EXPECT_TRUE(deadlines.empty());
  EXPECT_EQ(queue.next_deadline(), std::nullopt);
  EXPECT_EQ(pop_all(queue), (std::vector{forever}));
}

TEST(FairQueue, DrainHandsOutEverybody) {
  FairQueue queue;
  std::set<Ticket> pushed;
  for (std::uint64_t i = 0; i < 30; ++i) {
    pushed.insert(queue
                      .push({.principal = i % 4,
                             .priority = static_cast<Priority>(i % 3),
                             .deadline = kStart + 1s},
                            kStart)
                      .ticket);
  }
  auto all = queue.drain();
  EXPECT_EQ(std::set<Ticket>(all.begin(), all.end()), pushed);
  EXPECT_EQ(all.size(), pushed.size());
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_TRUE(queue.expire(kStart + 1h).empty());
}

TEST(FairQueue, HigherPrioritiesGoFirstButLowerOnesGetOneOfSixteen) {
  FairQueue queue;
  for (int i = 0; i < 400; ++i) {
    for (auto priority : {Priority::low, Priority::normal, Priority::high}) {
      (void)queue.push({.priority = priority, .cost = 10}, kStart);
    }
  }
  EXPECT_EQ(queue.peek(kStart)->priority, Priority::high);
  std::array<int, 3> served{}, since{};
  for (int i = 0; i < 320; ++i) {
    auto priority = static_cast<std::size_t>(queue.pop(kStart)->priority);
    ++served[priority];
    for (auto& count : since) ++count;
    since[priority] = 0;
    ASSERT_LT(since[1], 16);
    ASSERT_LT(since[2], 16);
  }
  EXPECT_GE(served[1], 20);
  EXPECT_GE(served[2], 20);
  EXPECT_GE(served[0], 270);
}

TEST(FairQueue, AnOverdueLowerPriorityGetsOneOfFour) {
  FairQueue queue;
  for (int i = 0; i < 100; ++i) {
    (void)queue.push({.priority = Priority::low}, kStart);
    (void)queue.push({.priority = Priority::high}, kStart);
  }
  int low = 0;
  for (int i = 0; i < 80; ++i) low += queue.pop(kStart + 31s)->priority == Priority::low;
  EXPECT_GE(low, 20);
  EXPECT_LE(low, 27);
}

// Service in proportion to the weights, whatever the mix of sizes.
TEST(FairQueue, BackloggedPrincipalsGetTheirWeights) {
  struct User {
    std::uint32_t weight, least, most;
  };
  std::vector<User> users = {{1, 10, 50}, {1, 500, 4000}, {2, 1, 4000}, {4, 100, 100}, {3, 7, 900}};
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    std::mt19937_64 random(seed);
    FairQueue queue;
    std::vector<double> served(users.size());
    auto push = [&](std::uint64_t id) {
      const auto& user = users[id];
      auto cost = user.least + random() % (user.most - user.least + 1);
      (void)queue.push(
          {.principal = id, .weight = user.weight, .cost = static_cast<std::uint32_t>(cost)},
          kStart);
    };
    for (std::uint64_t id = 0; id < users.size(); ++id) {
      for (int i = 0; i < 30; ++i) push(id);
    }
    double total = 0;
    for (int i = 0; i < 40'000; ++i) {
      auto item = queue.pop(kStart);
      served[item->principal] += item->cost;
      total += item->cost;
      push(item->principal);
    }
    for (std::size_t id = 0; id < users.size(); ++id) {
      EXPECT_NEAR(served[id] / total * 11, users[id].weight, 0.05 * users[id].weight) << id;
    }
  }
}

TEST(FairQueue, WhoAsksOneAtATimeGetsNoMoreThanItsPart) {
  FairQueue queue;
  for (int i = 0; i < 3000; ++i) (void)queue.push({.principal = 1, .cost = 100}, kStart);
  double patient = 0, eager = 0;
  bool waiting = false;
  for (int i = 0; i < 2000; ++i) {
    if (!waiting) (void)queue.push({.principal = 2, .cost = 1000}, kStart);
    waiting = true;
    auto item = queue.pop(kStart);
    (item->principal == 1 ? patient : eager) += item->cost;
    if (item->principal == 2) waiting = false;
  }
  EXPECT_LE(eager, 1.05 * patient);
  EXPECT_GE(eager, 0.8 * patient);
}

TEST(FairQueue, AnIdlePrincipalSavesUpNothing) {
  FairQueue queue;
  (void)queue.push({.principal = 2, .cost = 10}, kStart);
  for (int i = 0; i < 1000; ++i) (void)queue.push({.principal = 1, .cost = 10}, kStart);
  for (int i = 0; i < 500; ++i) (void)queue.pop(kStart);
  for (int i = 0; i < 100; ++i) (void)queue.push({.principal = 2, .cost = 10}, kStart);
  int second = 0;
  for (int i = 0; i < 100; ++i) second += queue.pop(kStart)->principal == 2;
  EXPECT_NEAR(second, 50, 2);
}

// A row of new principals without end does not keep out those who wait.
TEST(FairQueue, NewcomersDoNotStarveAnybody) {
  FairQueue queue({.limit = 100'000});
  for (int i = 0; i < 20; ++i) (void)queue.push({.principal = 1, .cost = 1000}, kStart);
  std::uint64_t next = 2;
  for (; next < 12; ++next) (void)queue.push({.principal = next, .cost = 100}, kStart);
  int served = 0;
  for (int i = 0; i < 10'000 && served < 20; ++i) {
    (void)queue.push({.principal = next++, .cost = 100}, kStart);
    served += queue.pop(kStart)->principal == 1;
  }
  EXPECT_EQ(served, 20);
}

TEST(FairQueue, UnderLoadSmallRequestsGoFirst) {
  FairQueue queue;
  auto big = queue.push({.cost = 5000}, kStart).ticket;
  auto small = queue.push({.cost = 20}, kStart).ticket;
  EXPECT_EQ(queue.peek(kStart)->ticket, big);  // two waiting are no load
  auto middle = queue.push({.cost = 700}, kStart).ticket;
  auto tiny = queue.push({.cost = 10}, kStart).ticket;
  EXPECT_EQ(queue.peek(kStart + 10s)->ticket, big);  // has waited long enough
  EXPECT_EQ(queue.pop(kStart)->ticket, small);       // sizes below 64 are alike
  (void)middle;
  (void)tiny;
}

// No request of a principal is overtaken more than 16 times.
TEST(FairQueue, OvertakingIsBounded) {
  std::mt19937_64 random(9);
  FairQueue queue;
  std::map<Ticket, int> overtaken;  // tickets by number of arrival
  std::map<Ticket, std::uint64_t> arrival;
  std::uint64_t arrived = 0;
  int most = 0;
  auto push = [&] {
    auto cost = random() % 5 == 0 ? 30'000 : 1 + random() % 300;
    auto ticket = queue.push({.cost = static_cast<std::uint32_t>(cost)}, kStart).ticket;
    arrival[ticket] = arrived++;
    overtaken[ticket] = 0;
  };
  for (int i = 0; i < 30; ++i) push();
  for (int i = 0; i < 6'000; ++i) {
    auto ticket = queue.pop(kStart)->ticket;
    auto its_arrival = arrival.at(ticket);
    arrival.erase(ticket);
    overtaken.erase(ticket);
    for (auto [other, at] : arrival) {
      if (at < its_arrival) most = std::max(most, ++overtaken[other]);
    }
    push();
    if (random() % 10 == 0) push();
    if (queue.size() > 60) {
      auto victim = std::next(arrival.begin(), static_cast<long>(random() % arrival.size()))->first;
      ASSERT_TRUE(queue.remove(victim));
      arrival.erase(victim);
      overtaken.erase(victim);
    }
  }
  EXPECT_EQ(most, 16);
}

TEST(FairQueue, AClosedLaneHoldsUpNoOther) {
  FairQueue queue;
  auto first = queue.push({.principal = 1, .lane = 1}, kStart).ticket;
  auto second = queue.push({.principal = 1, .lane = 2}, kStart).ticket;
  auto third = queue.push({.principal = 2, .lane = 1}, kStart).ticket;
  auto only = [](FairQueue::Lane open) { return [open](auto lane) { return lane == open; }; };
  EXPECT_EQ(queue.pop(kStart, only(3)), std::nullopt);
  EXPECT_EQ(queue.peek(kStart, only(2))->ticket, second);
  EXPECT_EQ(queue.pop(kStart, only(2))->ticket, second);
  EXPECT_EQ(queue.pop(kStart, only(2)), std::nullopt);
  EXPECT_TRUE(queue.change_lane(third, 2));
  EXPECT_FALSE(queue.change_lane(second, 2));
  EXPECT_EQ(queue.pop(kStart, only(2))->ticket, third);
  std::vector<int> asked;
  (void)queue.peek(kStart, [&](auto lane) { return asked.push_back(lane), false; });
  EXPECT_EQ(asked, std::vector{1});
  EXPECT_EQ(queue.pop(kStart)->ticket, first);
}

TEST(FairQueue, LanesUnderLoadAndForAnOverdueRequest) {
  FairQueue queue;
  auto big = queue.push({.cost = 900, .lane = 1}, kStart).ticket;
  auto small = queue.push({.cost = 70, .lane = 2}, kStart).ticket;
  for (int i = 0; i < 4; ++i) (void)queue.push({.cost = 100, .lane = 1}, kStart);
  auto two = [](auto lane) { return lane == 2; };
  EXPECT_EQ(queue.peek(kStart + 1min, two)->ticket, small);
  EXPECT_EQ(queue.peek(kStart + 1min)->ticket, big);
  EXPECT_EQ(queue.pop(kStart, two)->ticket, small);
  EXPECT_EQ(queue.pop(kStart, two), std::nullopt);
}

// Who could not be served since its lane was closed has no claim to all places afterwards.
TEST(FairQueue, AClosedLaneSavesUpNoClaim) {
  FairQueue queue;
  for (int i = 0; i < 500; ++i) {
    (void)queue.push({.principal = 1, .cost = 10, .lane = 1}, kStart);
    (void)queue.push({.principal = 2, .cost = 10, .lane = 2}, kStart);
  }
  auto second = [](auto lane) { return lane == 2; };
  for (int i = 0; i < 300; ++i) ASSERT_EQ(queue.pop(kStart, second)->principal, 2u);
  int first = 0;
  for (int i = 0; i < 100; ++i) first += queue.pop(kStart)->principal == 1;
  EXPECT_NEAR(first, 50, 2);
}

TEST(FairQueue, PlacesAndWaits) {
  FairQueue queue;
  EXPECT_EQ(queue.place(1, kStart), std::nullopt);
  std::vector<Ticket> tickets;
  for (std::uint64_t i = 0; i < 40; ++i) {
    tickets.push_back(queue.push({.principal = i % 2, .cost = 100}, kStart).ticket);
  }
  EXPECT_EQ(queue.place(tickets[0], kStart)->position, 1u);
  EXPECT_EQ(queue.place(tickets[0], kStart)->wait, std::nullopt);
  for (std::size_t i = 0; i < tickets.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(queue.place(tickets[i], kStart)->position),
                static_cast<double>(i) + 1, 1.01);
  }
  auto now = kStart;
  for (int i = 0; i < 20; ++i) (void)queue.pop(now += 500ms);
  auto place = queue.place(tickets.back(), now);
  EXPECT_NEAR(static_cast<double>(place->position), 20, 1.01);
  EXPECT_NEAR(static_cast<double>(place->wait->count()), 10'000, 1'000);
  EXPECT_NEAR(static_cast<double>(queue.wait_at(2, now)->count()), 1'000, 100);
  EXPECT_GT(queue.wait_at(2, now + 30s)->count(), 3'000);  // nobody is served any more
  EXPECT_EQ(queue.wait_at(2, now + 1h), std::nullopt);
}

TEST(FairQueue, APauseWithoutRequestsIsNoSlowness) {
  FairQueue queue;
  auto now = kStart;
  for (int round = 0; round < 5; ++round, now += 1h) {
    for (int i = 0; i < 10; ++i) (void)queue.push({}, now);
    for (int i = 0; i < 10; ++i) (void)queue.pop(now += 100ms);
  }
  (void)queue.push({}, now);
  EXPECT_NEAR(static_cast<double>(queue.wait_at(10, now)->count()), 1'000, 100);
}

// What waits before one takes as long as those requests take, not as long as any other.
TEST(FairQueue, KnowsHowLongThoseBeforeTake) {
  FairQueue queue;
  auto first = queue.push({.work_ms = 30'000}, kStart).ticket;
  auto second = queue.push({.work_ms = 1'000}, kStart).ticket;
  auto third = queue.push({.work_ms = 5'000}, kStart).ticket;
  EXPECT_DOUBLE_EQ(queue.work(), 36);
  EXPECT_DOUBLE_EQ(queue.place(first, kStart)->work_before, 0);
  EXPECT_DOUBLE_EQ(queue.place(second, kStart)->work_before, 30);
  EXPECT_DOUBLE_EQ(queue.place(third, kStart)->work_before, 31);
  // Under load small ones go first.
  auto large = queue.push({.cost = 5000, .work_ms = 100'000}, kStart).ticket;
  auto small = queue.push({.work_ms = 10}, kStart).ticket;
  EXPECT_DOUBLE_EQ(queue.place(large, kStart)->work_before, 36.01);
  EXPECT_LE(queue.place(small, kStart)->work_before, 36);
  // Another principal's turns are counted with what its requests take.
  auto other = queue.push({.principal = 2, .work_ms = 500}, kStart).ticket;
  EXPECT_NEAR(queue.place(other, kStart)->work_before, 136.01 / 5, 0.1);
  auto urgent = queue.push({.priority = Priority::high, .work_ms = 7}, kStart).ticket;
  EXPECT_DOUBLE_EQ(queue.place(urgent, kStart)->work_before, 0);
  EXPECT_GE(queue.place(first, kStart)->work_before, 0.007);
  for (auto ticket : {first, second, third, large, small, other, urgent}) queue.remove(ticket);
  EXPECT_EQ(queue.work(), 0);
}

// With many principals a sample of them tells the place.
TEST(FairQueue, PlacesAmongManyPrincipals) {
  FairQueue queue;
  std::vector<Ticket> tickets;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    tickets.push_back(queue.push({.principal = i % 1000, .cost = 100}, kStart).ticket);
  }
  for (std::size_t i : {0u, 500u, 999u, 1500u, 2500u, 2999u}) {
    auto position = static_cast<double>(queue.place(tickets[i], kStart)->position);
    EXPECT_NEAR(position, static_cast<double>(i) + 1, 40) << i;
  }
}

TEST(FairQueue, PrioritiesCountInPlaces) {
  FairQueue queue;
  auto low = queue.push({.priority = Priority::low}, kStart).ticket;
  for (int i = 0; i < 10; ++i) (void)queue.push({.priority = Priority::high}, kStart);
  EXPECT_EQ(queue.place(low, kStart)->position, 11u);
  for (int i = 0; i < 100; ++i) (void)queue.push({.priority = Priority::high}, kStart);
  EXPECT_EQ(queue.place(low, kStart)->position, 16u);  // it gets one of sixteen
  auto last = queue.push({.priority = Priority::high}, kStart).ticket;
  EXPECT_EQ(queue.place(last, kStart)->position, 112u);
}

}  // namespace
}  // namespace corral::gateway::fair_queue_test
