#include "gateway/core/slots.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace corral::gateway {
namespace {

using namespace std::chrono_literals;
using Outcome = Slots::Outcome;

const Slots::Time kStart{1000s};

TEST(Slots, GrantsUpToCapacityThenQueuesThenRefuses) {
  Slots slots(2, 2);
  EXPECT_EQ(slots.acquire(kStart).outcome, Outcome::granted);
  EXPECT_EQ(slots.acquire(kStart).outcome, Outcome::granted);
  auto third = slots.acquire(kStart);
  auto fourth = slots.acquire(kStart);
  EXPECT_EQ(third.outcome, Outcome::queued);
  EXPECT_EQ(third.position, 1u);
  EXPECT_EQ(fourth.position, 2u);
  EXPECT_NE(third.ticket, fourth.ticket);
  EXPECT_EQ(slots.acquire(kStart).outcome, Outcome::full);
  EXPECT_EQ(slots.in_flight(), 2u);
  EXPECT_EQ(slots.waiting(), 2u);
  EXPECT_EQ(slots.capacity(), 2u);
}

TEST(Slots, AReleasedSlotGoesToTheFirstInTheQueue) {
  Slots slots(1, 10);
  (void)slots.acquire(kStart);
  auto first = slots.acquire(kStart).ticket;
  auto second = slots.acquire(kStart).ticket;
  EXPECT_EQ(slots.release(kStart), first);
  EXPECT_EQ(slots.in_flight(), 1u);
  EXPECT_EQ(slots.acquire(kStart).outcome, Outcome::queued);  // no overtaking
  EXPECT_EQ(slots.release(kStart), second);
  EXPECT_TRUE(slots.release(kStart).has_value());
  EXPECT_EQ(slots.release(kStart), std::nullopt);
  EXPECT_EQ(slots.in_flight(), 0u);
  EXPECT_EQ(slots.served(), 4u);
}

TEST(Slots, WithoutAQueueItIsFullAtOnce) {
  Slots slots(1, 0);
  EXPECT_EQ(slots.acquire(kStart).outcome, Outcome::granted);
  EXPECT_EQ(slots.acquire(kStart).outcome, Outcome::full);
}

TEST(Slots, WhoeverLeavesTheQueueIsPassedOver) {
  Slots slots(1, 10);
  (void)slots.acquire(kStart);
  auto first = slots.acquire(kStart).ticket;
  auto second = slots.acquire(kStart).ticket;
  EXPECT_TRUE(slots.cancel(first));
  EXPECT_FALSE(slots.cancel(first));
  EXPECT_EQ(slots.release(kStart), second);
  EXPECT_FALSE(slots.cancel(second));  // it is inside
}

TEST(Slots, ExpireTakesOnlyWhoWaitedLonger) {
  Slots slots(1, 10);
  (void)slots.acquire(kStart);
  auto first = slots.acquire(kStart).ticket;
  auto second = slots.acquire(kStart + 1s).ticket;
  (void)slots.acquire(kStart + 2s);
  EXPECT_TRUE(slots.expire(kStart + 10s, 10s).empty());
  EXPECT_EQ(slots.expire(kStart + 11s + 1ms, 10s), (std::vector{first, second}));
  EXPECT_EQ(slots.waiting(), 1u);
  EXPECT_EQ(slots.in_flight(), 1u);
}

TEST(Slots, ClosedTakesNobodyAndLetsThoseInsideFinish) {
  Slots slots(1, 10);
  (void)slots.acquire(kStart);
  auto waiting = slots.acquire(kStart).ticket;
  EXPECT_EQ(slots.close(), std::vector{waiting});
  EXPECT_TRUE(slots.closed());
  EXPECT_EQ(slots.acquire(kStart).outcome, Outcome::closed);
  EXPECT_EQ(slots.release(kStart), std::nullopt);
  EXPECT_EQ(slots.in_flight(), 0u);
  EXPECT_EQ(slots.acquire(kStart).outcome, Outcome::closed);
  EXPECT_TRUE(slots.close().empty());
}

TEST(Slots, ClosesWhenIdleForLongEnough) {
  Slots slots(1, 10);
  slots.touch(kStart);
  EXPECT_FALSE(slots.close_if_idle(kStart + 4s, 5s));
  (void)slots.acquire(kStart + 4s);
  EXPECT_FALSE(slots.close_if_idle(kStart + 100s, 5s));  // busy
  (void)slots.release(kStart + 100s);
  EXPECT_FALSE(slots.close_if_idle(kStart + 104s, 5s));
  EXPECT_TRUE(slots.close_if_idle(kStart + 105s, 5s));
  EXPECT_TRUE(slots.closed());
  EXPECT_FALSE(slots.close_if_idle(kStart + 200s, 5s));  // once
}

// Random operations against a plain model of what must hold.
class RandomSlots {
 public:
  RandomSlots(unsigned seed, std::size_t capacity, std::size_t limit)
      : random_(seed), capacity_(capacity), limit_(limit), slots_(capacity, limit) {}

  void step() {
    now_ += std::chrono::milliseconds(random_() % 3);
    switch (random_() % 100) {
      case 0: close(); break;
      case 1:
      case 2: idle(); break;
      case 3:
      case 4:
      case 5: expire(); break;
      default:
        if (random_() % 2 == 0)
          acquire();
        else if (random_() % 4 == 0)
          cancel();
        else
          release();
    }
    ASSERT_LE(slots_.in_flight(), capacity_);
    ASSERT_LE(slots_.waiting(), limit_);
    ASSERT_EQ(slots_.in_flight(), inside_);
    ASSERT_EQ(slots_.waiting(), queue_.size());
    ASSERT_EQ(slots_.closed(), closed_);
    // Nobody waits beside a free slot.
    if (!queue_.empty()) ASSERT_EQ(inside_, capacity_);
  }

 private:
  void acquire() {
    auto answer = slots_.acquire(now_);
    if (closed_) {
      ASSERT_EQ(answer.outcome, Outcome::closed);
    } else if (inside_ < capacity_) {
      ASSERT_EQ(answer.outcome, Outcome::granted);
      ++inside_;
    } else if (queue_.size() < limit_) {
      ASSERT_EQ(answer.outcome, Outcome::queued);
      queue_.push_back({answer.ticket, now_});
      ASSERT_EQ(answer.position, queue_.size());
    } else {
      ASSERT_EQ(answer.outcome, Outcome::full);
    }
  }
  void release() {
    if (inside_ == 0) return;
    auto next = slots_.release(now_);
    if (queue_.empty()) {
      ASSERT_EQ(next, std::nullopt);
      --inside_;
    } else {
      ASSERT_EQ(next, queue_.front().first);  // first come, first served
      queue_.pop_front();
    }
  }
  void cancel() {
    if (queue_.empty()) {
      ASSERT_FALSE(slots_.cancel(random_()));
      return;
    }
    auto victim = queue_.begin() + static_cast<std::ptrdiff_t>(random_() % queue_.size());
    ASSERT_TRUE(slots_.cancel(victim->first));
    queue_.erase(victim);
  }
  void expire() {
    std::vector<Slots::Ticket> expected;
    while (!queue_.empty() && now_ - queue_.front().second > 20ms) {
      expected.push_back(queue_.front().first);
      queue_.pop_front();
    }
    ASSERT_EQ(slots_.expire(now_, 20ms), expected);
  }
  void idle() {
    bool done = slots_.close_if_idle(now_, 1ms);
    if (done) {
      ASSERT_EQ(inside_, 0u);
      ASSERT_TRUE(queue_.empty());
      closed_ = true;
    }
  }
  void close() {
    if (random_() % 10 != 0) return;
    ASSERT_EQ(slots_.close().size(), queue_.size());
    queue_.clear();
    closed_ = true;
  }

  std::mt19937 random_;
  std::size_t capacity_, limit_;
  Slots slots_;
  Slots::Time now_ = kStart;
  std::size_t inside_ = 0;
  std::deque<std::pair<Slots::Ticket, Slots::Time>> queue_;
  bool closed_ = false;
};

TEST(Slots, RandomOperationsKeepTheRules) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    RandomSlots game(seed, 1 + seed % 4, seed % 6);
    for (int i = 0; i < 400; ++i) {
      game.step();
      if (testing::Test::HasFatalFailure()) {
        FAIL() << "seed " << seed << ", step " << i;
      }
    }
  }
}

}  // namespace
}  // namespace corral::gateway
