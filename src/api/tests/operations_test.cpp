// Work that outlasts its request.
#include "api/admin/operations.hpp"

#include <gtest/gtest.h>

#include "net/tests/test_support.hpp"

namespace corral::api::admin {
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

TEST_F(OperationsTest, KeepsTheLastTwoHundred) {
  std::string first = run({}, 0ms).id;
  for (int i = 0; i < 200; ++i) run({}, 0ms);
  EXPECT_EQ(operations_.list().size(), 200u);
  EXPECT_FALSE(operations_.find(first));
  EXPECT_EQ(operations_.list().front().id, "load-201");
}

}  // namespace
}  // namespace corral::api::admin
