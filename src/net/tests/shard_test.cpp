#include "net/shard.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <boost/asio/this_coro.hpp>

#include "net/one_shot.hpp"
#include "net/stream.hpp"
#include "test_support.hpp"

namespace corral::net::shard_test {
namespace {

using namespace testing;

TEST(Shards, RunWorkOnTheirThreads) {
  Loops loops(2);
  EXPECT_EQ(Shard::current(), nullptr);
  std::atomic<int> seen{0};
  loops.shards().post_all([&](Shard& shard) {
    if (Shard::current() == &shard && shard.is_current()) ++seen;
  });
  EXPECT_TRUE(eventually([&] { return seen == 2; }));
  EXPECT_TRUE(loops.call(loops.shards().control(),
                         [&] { return Shard::current() == &loops.shards().control(); }));
  EXPECT_EQ(loops.shards().control().index(), 2u);
}

TEST(ShardsDeathTest, WhatNeedsAShardEndsTheProgramElsewhere) {
  EXPECT_DEATH(Shard::needed_by("a reader"), "a reader outside a shard");
  EXPECT_DEATH(Wakeup::create(), "Wakeup::create outside a shard");
  Loops loops(1);
  EXPECT_TRUE(loops.call(loops.shards().control(), [&] {
    return &Shard::needed_by("a reader") == &loops.shards().control();
  }));
}

TEST(Shards, RepeatEvery) {
  Loops loops;
  std::atomic<int> ticks{0};
  loops.shards().serving(0).every(1ms, [&] { ++ticks; });
  EXPECT_TRUE(eventually([&] { return ticks >= 3; }));
}

Task<int> add_on(Shard& other, int a, int b) {
  auto slot = OneShot<int>::create();
  other.post([slot, a, b] { slot->fulfil(a + b); });
  auto value = co_await slot->wait();
  co_return value.value_or(-1);
}

TEST(OneShots, BridgeShards) {
  Loops loops(2);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(loops.run(loops.shards().serving(0), add_on(loops.shards().serving(1), i, 1)), i + 1);
  }
}

Task<int> fulfilled_before(bool cancellable) {
  auto slot = OneShot<int>::create();
  EXPECT_TRUE(slot->fulfil(7));
  EXPECT_FALSE(slot->fulfil(8));
  if (cancellable) {
    auto value = co_await slot->wait();
    co_return value.value_or(-1);
  }
  auto value = co_await slot->wait_uncancellable();
  co_return value.value_or(-1);
}

TEST(OneShots, MayBeFulfilledBeforeTheWait) {
  Loops loops;
  EXPECT_EQ(loops.run(loops.shards().serving(0), fulfilled_before(true)), 7);
  EXPECT_EQ(loops.run(loops.shards().serving(0), fulfilled_before(false)), 7);
}

// --- task groups ---------------------------------------------------------------------------------

struct Counts {
  std::atomic<int> started{0};
  std::atomic<int> cancelled{0};
  std::atomic<int> finished{0};
};

Task<void> sleeper(Counts& counts) {
  ++counts.started;
  auto slept = co_await sleep_for(30s);
  if (!slept && slept.error().code == ErrorCode::cancelled) ++counts.cancelled;
  auto again = co_await sleep_for(30s);  // fails at once
  if (!again) ++counts.finished;
}

Task<void> waiter(Counts& counts) {
  ++counts.started;
  auto slot = OneShot<int>::create();
  auto value = co_await slot->wait();
  if (!value) ++counts.cancelled;
  ++counts.finished;
}

Task<void> short_task(Counts& counts) {
  ++counts.started;
  auto slept = co_await sleep_for(1ms);
  if (slept) ++counts.finished;
}

TEST(TaskGroups, CloseCancelsAndWaits) {
  Loops loops;
  Shard& shard = loops.shards().serving(0);
  Counts counts;
  TaskGroup group(shard);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(group.spawn(sleeper(counts)));
    EXPECT_TRUE(group.spawn(waiter(counts)));
  }
  EXPECT_TRUE(eventually([&] { return counts.started == 10; }));
  EXPECT_EQ(group.running(), 10u);
  loops.run(shard, group.close());
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(counts.cancelled, 10);
  EXPECT_EQ(counts.finished, 10);
  EXPECT_FALSE(group.spawn(sleeper(counts)));
  EXPECT_EQ(counts.started, 10);
}

TEST(TaskGroups, CountWhatEndsByItself) {
  Loops loops;
  Shard& shard = loops.shards().serving(0);
  Counts counts;
  TaskGroup group(shard);
  group.spawn(short_task(counts));
  EXPECT_TRUE(eventually([&] { return group.running() == 0; }));
  EXPECT_EQ(counts.finished, 1);
  loops.run(shard, group.close());
}

TEST(TaskGroups, CancelLeavesTheGroupOpen) {
  Loops loops;
  Shard& shard = loops.shards().serving(0);
  Counts counts;
  TaskGroup group(shard);
  group.spawn(sleeper(counts));
  EXPECT_TRUE(eventually([&] { return counts.started == 1; }));
  loops.call(shard, [&] { group.cancel(); });
  EXPECT_TRUE(eventually([&] { return group.running() == 0; }));
  EXPECT_TRUE(group.spawn(short_task(counts)));
  loops.run(shard, group.close());
}

TEST(TaskGroups, ShardsMayEndBeforeTheirTasks) {
  Counts counts;
  {
    std::optional<TaskGroup> group;
    {
      Loops loops;
      group.emplace(loops.shards().serving(0));
      group->spawn(sleeper(counts));
      group->spawn(waiter(counts));
      EXPECT_TRUE(eventually([&] { return counts.started == 2; }));
    }
    // The shard unwound them.
    EXPECT_EQ(group->running(), 0u);
  }
  EXPECT_EQ(counts.finished, 0);
}

// --- blocking work, signals, descriptors ---------------------------------------------------------

Task<int> blocking_sum(BlockingPool& pool) {
  int sum = 0;
  for (int i = 0; i < 10; ++i) {
    std::function<int()> work = [i] { return i; };
    sum += co_await run_blocking<int>(pool, work);
  }
  co_return sum;
}

TEST(BlockingPools, RunWorkAndComeBack) {
  Loops loops;
  BlockingPool pool(2);
  EXPECT_EQ(loops.run(loops.shards().serving(0), blocking_sum(pool)), 45);
}

TEST(BlockingPools, FinishWhatWasQueued) {
  std::atomic<int> done{0};
  {
    BlockingPool pool(1);
    for (int i = 0; i < 50; ++i) pool.post([&] { ++done; });
  }
  EXPECT_EQ(done, 50);
}

TEST(Signals, ReachTheControlShard) {
  Loops loops;
  std::atomic<int> seen{0};
  auto watch = loops.call(loops.shards().control(), [&] {
    return std::make_shared<SignalWatch>(loops.shards().control(), std::vector<int>{SIGUSR2},
                                         [&](int number) { seen += number; });
  });
  ::kill(::getpid(), SIGUSR2);
  EXPECT_TRUE(eventually([&] { return seen == SIGUSR2; }));
  ::kill(::getpid(), SIGUSR2);
  EXPECT_TRUE(eventually([&] { return seen == 2 * SIGUSR2; }));
  loops.call(loops.shards().control(), [&] { watch.reset(); });
}

Task<bool> wait_for_pipe(int fd) {
  auto ready = co_await wait_readable(fd);
  co_return ready.has_value();
}

TEST(Descriptors, AreWaitedForAndStayOpen) {
  Loops loops;
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  sys::Fd read_end(pipe[0]);
  sys::Fd write_end(pipe[1]);
  for (int i = 0; i < 3; ++i) {
    std::thread writer([&] {
      std::this_thread::sleep_for(2ms);
      EXPECT_EQ(::write(write_end.get(), "x", 1), 1);
    });
    EXPECT_TRUE(loops.run(loops.shards().serving(0), wait_for_pipe(read_end.get())));
    writer.join();
    char byte = 0;
    EXPECT_EQ(::read(read_end.get(), &byte, 1), 1);
  }
}

Task<bool> wait_for_bad_descriptor() {
  auto ready = co_await wait_readable(-1);
  co_return !ready.has_value();
}

TEST(Descriptors, BadOnesAreErrors) {
  Loops loops;
  EXPECT_TRUE(loops.run(loops.shards().serving(0), wait_for_bad_descriptor()));
}

Task<void> wait_for_silent_pipe(int fd, Counts& counts) {
  ++counts.started;
  auto ready = co_await wait_readable(fd);
  if (!ready && ready.error().code == ErrorCode::cancelled) ++counts.cancelled;
}

TEST(Descriptors, WaitsAreCancelled) {
  Loops loops;
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  sys::Fd read_end(pipe[0]);
  sys::Fd write_end(pipe[1]);
  Counts counts;
  TaskGroup group(loops.shards().serving(0));
  group.spawn(wait_for_silent_pipe(read_end.get(), counts));
  EXPECT_TRUE(eventually([&] { return counts.started == 1; }));
  loops.run(loops.shards().serving(0), group.close());
  EXPECT_EQ(counts.cancelled, 1);
}

// --- streams -------------------------------------------------------------------------------------

Task<std::string> read_to_end(std::shared_ptr<Stream> stream) {
  std::string all;
  char buffer[1000];
  while (true) {
    auto result = stream->try_read(buffer);
    if (result.status == IoStatus::ok) all.append(buffer, result.bytes);
    if (result.status == IoStatus::end || result.status == IoStatus::failed) break;
    if (result.status == IoStatus::would_block) {
      bool ready = co_await stream->wait(Direction::read);
      if (!ready) break;
    }
  }
  co_return all;
}

Task<bool> write_much(std::shared_ptr<Stream> stream, std::string text) {
  iovec parts[] = {{text.data(), text.size() / 2},
                   {text.data() + text.size() / 2, text.size() - text.size() / 2}};
  auto written = co_await write_all(*stream, parts);
  stream->close();
  co_return written.has_value();
}

TEST(Streams, CarryBytesBothWays) {
  Loops loops(2);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  Shard& one = loops.shards().serving(0);
  Shard& two = loops.shards().serving(1);
  auto make = [](int fd) {
    return [fd] { return std::shared_ptr<Stream>(make_plain_stream(sys::Fd(fd))); };
  };
  auto writer = loops.call(one, make(pair[0]));
  auto reader = loops.call(two, make(pair[1]));
  EXPECT_EQ(reader->peer(), "unix");
  EXPECT_FALSE(reader->encrypted());
  std::string text(4 << 20, 'z');
  auto reading = std::async(std::launch::async,
                            [&] { return loops.run(two, read_to_end(std::move(reader))); });
  EXPECT_TRUE(loops.run(one, write_much(std::move(writer), text)));
  EXPECT_EQ(reading.get(), text);
}

Task<void> wait_on_stream(std::shared_ptr<Stream> stream, Counts& counts) {
  ++counts.started;
  bool ready = co_await stream->wait(Direction::read);
  if (!ready) ++counts.cancelled;
  ++counts.finished;
}

TEST(Streams, CloseAndCancelEndWaits) {
  Loops loops;
  Shard& shard = loops.shards().serving(0);
  Counts counts;
  TaskGroup group(shard);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  sys::Fd other(pair[1]);
  auto stream = loops.call(
      shard, [&] { return std::shared_ptr<Stream>(make_plain_stream(sys::Fd(pair[0]))); });
  group.spawn(wait_on_stream(stream, counts));
  EXPECT_TRUE(eventually([&] { return counts.started == 1; }));
  loops.call(shard, [&] { stream->close(); });
  EXPECT_TRUE(eventually([&] { return counts.cancelled == 1; }));
  EXPECT_FALSE(loops.call(shard, [&] { return stream->is_open(); }));
  loops.run(shard, group.close());
  loops.call(shard, [&] { stream.reset(); });
}

}  // namespace
}  // namespace corral::net::shard_test
