// Work that outlasts its request.
#include "api/admin/operations.hpp"

#include <gtest/gtest.h>

#include "net/tests/test_support.hpp"

namespace corral::api::admin::operations_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;

net::Task<Result<void>> wait_for(std::shared_ptr<net::OneShot<bool>> go, Result<void> result) {
  auto told = co_await go->wait();
  if (!told) co_return std::unexpected(fail(ErrorCode::cancelled, "stopped"));
  co_return result;
}

class OperationsTest : public testing::Test {
 protected:
  ~OperationsTest() override {
    loops_.run(control(), operations_.stop());
    loops_.end();
  }
  net::Shard& control() { return loops_.shards().control(); }
  // Work that ends with `result` once `go_` is told.
  Operations::Work work(Result<void> result) {
    return [this, result] {
      auto go = net::OneShot<bool>::create();
      std::lock_guard lock(mutex_);
      go_ = go;
      return wait_for(go, result);
    };
  }
  bool release() {
    std::lock_guard lock(mutex_);
    return go_ != nullptr && go_->fulfil(true);
  }
  Operation run(Result<void> result, std::chrono::milliseconds patience) {
    return loops_.run(loops_.shards().serving(0),
                      operations_.run("load", "m", work(std::move(result)), patience));
  }

  Loops loops_;
  std::mutex mutex_;
  std::shared_ptr<net::OneShot<bool>> go_;
  Operations operations_{loops_.shards().control()};
};

TEST_F(OperationsTest, GoesOnAfterThePatienceIsOver) {
  Operation begun = run({}, 30ms);
  EXPECT_EQ(begun.state(), "running");
  EXPECT_EQ(begun.target, "m");
  ASSERT_TRUE(eventually([&] { return release(); }));
  ASSERT_TRUE(eventually([&] { return operations_.find(begun.id)->state() == "succeeded"; }));
  EXPECT_TRUE(describe(*operations_.find(begun.id)).at("error").is_null());
}

TEST_F(OperationsTest, SaysWhyItFailed) {
  Operation begun = run(fail(ErrorCode::unavailable, "no memory"), 0ms);
  ASSERT_TRUE(eventually([&] { return release(); }));
  ASSERT_TRUE(eventually([&] { return operations_.find(begun.id)->state() == "failed"; }));
  EXPECT_EQ(describe(*operations_.find(begun.id)).at("error"), "no memory");
}

// Says how far it is until it is asked to end.
net::Task<Result<void>> count_up(std::shared_ptr<OperationHandle> handle) {
  OperationProgress progress;
  progress.stage = "checking";
  progress.bytes = 100;
  while (!handle->cancel_wanted()) {
    progress.done = std::min<std::uint64_t>(progress.done + 1, 100);
    handle->report(progress);
    if (!co_await net::sleep_for(1ms)) break;
  }
  co_return std::unexpected(fail(ErrorCode::cancelled, "the check was stopped"));
}

TEST_F(OperationsTest, TrackedWorkSaysHowFarItIsAndCanBeCancelled) {
  auto& shard = loops_.shards().serving(0);
  auto begun =
      loops_.run(shard, operations_.run_tracked("verify", "m", count_up, Cancelling::heeded, 0ms));
  EXPECT_EQ(begun.state(), "running");
  ASSERT_TRUE(eventually([&] {
    auto progress = operations_.find(begun.id)->progress;
    return progress && progress->done > 2;
  }));
  EXPECT_EQ(operations_.list().front().progress->stage, "checking");
  auto refused = loops_.run(shard, operations_.act(begun.id, OperationAction::pause));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "an operation of the kind 'verify' that is running cannot be paused");
  auto cancelled = loops_.run(shard, operations_.act(begun.id, OperationAction::cancel));
  ASSERT_TRUE(cancelled) << cancelled.error().describe();
  EXPECT_EQ(cancelled->state(), "cancelled");
  EXPECT_TRUE(cancelled->progress) << "what it said last stays";
  auto again = loops_.run(shard, operations_.act(begun.id, OperationAction::cancel));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
}

TEST_F(OperationsTest, WorkThatDoesNotHeedItIsNotCancelled) {
  auto& shard = loops_.shards().serving(0);
  auto begun =
      loops_.run(shard, operations_.run_tracked("load", "m", count_up, Cancelling::refused, 0ms));
  auto refused = loops_.run(shard, operations_.act(begun.id, OperationAction::cancel));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_EQ(operations_.find(begun.id)->state(), "running");
}

TEST_F(OperationsTest, KeepsTheLastTwoHundred) {
  std::string first = run({}, 0ms).id;
  for (int i = 0; i < 200; ++i) run({}, 0ms);
  EXPECT_EQ(operations_.list().size(), 200u);
  EXPECT_FALSE(operations_.find(first));
  EXPECT_EQ(operations_.list().front().id, "load-201");
}

// Another part's operations.
class Others final : public OperationSource {
 public:
  std::vector<Operation> list() const override { return {one()}; }
  std::optional<Operation> find(const std::string& id) const override {
    if (id != "pull-1") return std::nullopt;
    return one();
  }
  net::Task<Result<Operation>> act(std::string, OperationAction action) override {
    state_ = action == OperationAction::pause ? "paused" : "cancelled";
    co_return one();
  }

 private:
  Operation one() const {
    Operation made;
    made.id = "pull-1";
    made.kind = "pull";
    made.target = "tiny";
    made.started = std::chrono::system_clock::now() + 1h;
    made.own_state = state_;
    made.progress = OperationProgress{
        "downloading", "tiny", 100, 40, 7, 9s, {{"f", "weights", std::nullopt, 40}}};
    return made;
  }
  std::string state_ = "running";
};

TEST_F(OperationsTest, ThoseOfOthersAreShownAmongThem) {
  Others others;
  operations_.add_source(others);
  std::string own = run({}, 0ms).id;
  auto all = operations_.list();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].id, "pull-1") << "newest first";
  auto shown = describe(*operations_.find("pull-1"));
  EXPECT_EQ(shown.at("state"), "running");
  EXPECT_EQ(shown.at("bytes_total"), 100u);
  EXPECT_EQ(shown.at("remaining_seconds"), 9);
  EXPECT_TRUE(shown.at("files").at(0).at("bytes_total").is_null());
  auto act = [&](std::string id, OperationAction action) {
    return loops_.run(loops_.shards().serving(0), operations_.act(std::move(id), action));
  };
  EXPECT_EQ(act("pull-1", OperationAction::pause)->state(), "paused");
  EXPECT_EQ(act("pull-1", OperationAction::cancel)->state(), "cancelled");
  EXPECT_EQ(act(own, OperationAction::pause).error().code, ErrorCode::conflict);
  EXPECT_EQ(act("none", OperationAction::pause).error().code, ErrorCode::not_found);
  ASSERT_TRUE(eventually([&] { return release(); }));
}

}  // namespace
}  // namespace corral::api::admin::operations_test
