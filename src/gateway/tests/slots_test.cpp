#include "gateway/core/slots.hpp"

#include <gtest/gtest.h>

namespace corral::gateway::slots_test {
namespace {

using namespace std::chrono_literals;

const Slots::Time kStart{1000s};

TEST(Slots, GrantsUpToTheCapacity) {
  Slots slots(2);
  EXPECT_EQ(slots.capacity(), 2u);
  EXPECT_TRUE(slots.acquire(kStart));
  EXPECT_FALSE(slots.full());
  EXPECT_TRUE(slots.acquire(kStart));
  EXPECT_TRUE(slots.full());
  EXPECT_FALSE(slots.acquire(kStart));
  EXPECT_EQ(slots.in_flight(), 2u);
  slots.release(kStart + 1s);
  EXPECT_EQ(slots.in_flight(), 1u);
  EXPECT_EQ(slots.served(), 1u);
  EXPECT_EQ(slots.last_used(), kStart + 1s);
  slots.release(kStart + 2s, false);
  EXPECT_EQ(slots.served(), 1u);
  EXPECT_TRUE(slots.acquire(kStart + 3s));
}

TEST(Slots, AShareOfTheCapacityIsAtLeastOnePlace) {
  Slots slots(10);
  EXPECT_TRUE(slots.acquire(kStart, 0.0));
  EXPECT_FALSE(slots.acquire(kStart, 0.0));
  EXPECT_FALSE(slots.acquire(kStart, 0.1));
  EXPECT_TRUE(slots.acquire(kStart, 0.25));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(slots.acquire(kStart, 0.5));
  EXPECT_TRUE(slots.full(0.5));
  EXPECT_FALSE(slots.full(1.0));
  // What is inside stays inside when the share sinks.
  EXPECT_TRUE(slots.full(0.1));
  EXPECT_EQ(slots.in_flight(), 5u);
}

TEST(Slots, AClosedOneTakesNobodyAndLetsThoseInsideFinish) {
  Slots slots(3);
  EXPECT_TRUE(slots.acquire(kStart));
  slots.close();
  EXPECT_TRUE(slots.closed());
  EXPECT_FALSE(slots.acquire(kStart));
  slots.release(kStart);
  EXPECT_EQ(slots.in_flight(), 0u);
  EXPECT_FALSE(slots.acquire(kStart));
}

TEST(Slots, ClosesOnlyWhenIdleForLongEnough) {
  Slots slots(1);
  slots.touch(kStart);
  EXPECT_FALSE(slots.close_if_idle(kStart + 9s, 10s));
  EXPECT_TRUE(slots.acquire(kStart + 9s));
  EXPECT_FALSE(slots.close_if_idle(kStart + 60s, 10s));  // somebody is inside
  slots.release(kStart + 60s);
  EXPECT_FALSE(slots.close_if_idle(kStart + 69s, 10s));
  EXPECT_TRUE(slots.close_if_idle(kStart + 70s, 10s));
  EXPECT_TRUE(slots.closed());
  EXPECT_FALSE(slots.acquire(kStart + 71s));
}

}  // namespace
}  // namespace corral::gateway::slots_test
