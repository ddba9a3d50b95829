// Transactions and the lending of connections, on both databases.
#include <atomic>
#include <thread>

#include "store/tests/each_database.hpp"

namespace corral::store::transaction_test {
namespace {

class Transactions : public EachDatabase {
 protected:
  void SetUp() override {
    EachDatabase::SetUp();
    run("create table t (k {text} primary key, n {int} not null) {strict}");
    run("insert into t values ('a', 1)");
  }
  std::int64_t value() {
    return run("select n from t where k = 'a'").single_integer().value_or(-1);
  }
};
FOR_EACH_DATABASE(Transactions);

TEST_P(Transactions, CommitKeeps) {
  auto connection = database_->borrow();
  ASSERT_OK(connection);
  {
    auto transaction = Transaction::begin(**connection);
    ASSERT_OK(transaction);
    EXPECT_TRUE((*connection)->in_transaction());
    ASSERT_OK((*connection)->run("update t set n = 2"));
    EXPECT_EQ(value(), 1);  // another connection
    ASSERT_OK(transaction->commit());
    EXPECT_FAILS(ErrorCode::internal, transaction->commit());
  }
  EXPECT_FALSE((*connection)->in_transaction());
  EXPECT_EQ(value(), 2);
}

TEST_P(Transactions, WithoutCommitEverythingIsUndone) {
  auto connection = database_->borrow();
  ASSERT_OK(connection);
  {
    auto transaction = Transaction::begin(**connection);
    ASSERT_OK(transaction);
    ASSERT_OK((*connection)->run("update t set n = 2"));
    ASSERT_OK((*connection)->script("create table u (x {int}) {strict}"));
  }
  EXPECT_EQ(value(), 1);
  EXPECT_FAILS(ErrorCode::internal, database_->run("select * from u"));
  ASSERT_OK((*connection)->run("update t set n = 3"));  // on its own again
  EXPECT_EQ(value(), 3);
}

TEST_P(Transactions, NestedUseIsRefused) {
  auto connection = database_->borrow();
  ASSERT_OK(connection);
  auto outer = Transaction::begin(**connection);
  ASSERT_OK(outer);
  ASSERT_OK((*connection)->run("update t set n = 2"));
  EXPECT_FAILS(ErrorCode::internal, Transaction::begin(**connection));
  ASSERT_OK(outer->commit());  // the outer one is none the worse
  EXPECT_EQ(value(), 2);
}

TEST_P(Transactions, AfterAnErrorOnlyRollbackIsPossible) {
  auto connection = database_->borrow();
  ASSERT_OK(connection);
  {
    auto transaction = Transaction::begin(**connection);
    ASSERT_OK(transaction);
    ASSERT_OK((*connection)->run("update t set n = 2"));
    EXPECT_FAILS(ErrorCode::conflict, (*connection)->run("insert into t values ('a', 5)"));
    EXPECT_FAILS(ErrorCode::internal, (*connection)->run("select 1"));
    EXPECT_FAILS(ErrorCode::internal, (*connection)->script("delete from t"));
    EXPECT_FAILS(ErrorCode::internal, transaction->commit());
  }
  EXPECT_EQ(value(), 1);
  ASSERT_OK((*connection)->run("select 1"));
}

TEST_P(Transactions, ACommitThatFailsUndoesEverything) {
  script(
      "create table p (id {int} primary key) {strict};"
      "create table c (p {int} references p (id) deferrable initially deferred) {strict}");
  auto failed = database_->transact([](Connection& connection) -> Result<void> {
    CORRAL_CHECK(connection.run("insert into c values (5)"));
    return {};
  });
  EXPECT_FAILS(ErrorCode::conflict, failed);
  EXPECT_EQ(count("c"), 0);
  run("insert into p values (1)");  // the connection is usable
}

TEST_P(Transactions, TransactCommitsOrUndoes) {
  auto answer = database_->transact([](Connection& connection) -> Result<int> {
    CORRAL_CHECK(connection.run("update t set n = 2"));
    return 42;
  });
  EXPECT_EQ(answer.value(), 42);
  EXPECT_EQ(value(), 2);
  auto refused = database_->transact([](Connection& connection) -> Result<int> {
    CORRAL_CHECK(connection.run("update t set n = 3"));
    return fail(ErrorCode::forbidden, "no");
  });
  EXPECT_FAILS(ErrorCode::forbidden, refused);
  EXPECT_EQ(value(), 2);
}

TEST_P(Transactions, ConcurrentWritersLoseNothing) {
  constexpr int kThreads = 6, kEach = 50;
  open({.connections = kThreads, .busy_timeout = std::chrono::seconds(30)});
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) {
          auto done = database_->transact([](Connection& connection) -> Result<void> {
            CORRAL_TRY(Rows rows, connection.run("select n from t where k = 'a' {for_update}"));
            CORRAL_TRY(std::int64_t n, rows.single_integer());
            CORRAL_CHECK(connection.run("update t set n = $1 where k = 'a'", {n + 1}));
            return {};
          });
          if (!done) ++failures;
        }
      });
    }
  }
  EXPECT_EQ(failures.load(), 0);
  EXPECT_EQ(value(), 1 + kThreads * kEach);
}

TEST_P(Transactions, AWriterWhoWaitsTooLongIsToldToTryAgain) {
  open({.connections = 2, .busy_timeout = std::chrono::milliseconds(50)});
  auto first = database_->borrow();
  ASSERT_OK(first);
  auto transaction = Transaction::begin(**first);
  ASSERT_OK(transaction);
  ASSERT_OK((*first)->run("update t set n = 2"));
  auto second = database_->run("update t set n = 3");
  EXPECT_FAILS(ErrorCode::unavailable, second);
  EXPECT_TRUE(second.error().retry_after.has_value());
  ASSERT_OK(transaction->commit());
  EXPECT_EQ(value(), 2);
}

TEST_P(Transactions, ConnectionsAreBoundedAndReused) {
  open({.connections = 1, .borrow_timeout = std::chrono::milliseconds(20)});
  {
    auto only = database_->borrow();
    ASSERT_OK(only);
    auto second = database_->borrow();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::unavailable);
  }
  ASSERT_OK(database_->run("select 1"));
}

TEST_P(Transactions, AWaitingBorrowerGetsTheConnectionThatComesBack) {
  open({.connections = 1, .borrow_timeout = std::chrono::seconds(30)});
  auto only = std::make_unique<Borrowed>(std::move(*database_->borrow()));
  Result<std::int64_t> answer = 0;
  std::jthread waiting([&] {
    auto rows = database_->run("select 7");
    answer = rows ? rows->single_integer() : std::unexpected(rows.error());
  });
  only.reset();
  waiting.join();
  EXPECT_EQ(answer.value(), 7);
}

}  // namespace
}  // namespace corral::store::transaction_test
