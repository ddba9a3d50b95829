// What can go wrong with a server: away, killed, restarted, wrong password, cut connections.
#include <thread>

#include "store/migrations.hpp"
#include "store/postgres_errors.hpp"
#include "store/postgres_values.hpp"
#include "store/resources.hpp"
#include "store/tests/each_database.hpp"

namespace corral::store::postgres_test {
namespace {

class Postgres : public ::testing::Test {
 protected:
  void SetUp() override {
    url_ = PostgresServer::shared().new_database();
    database_ = open({.connections = 2});
    ASSERT_OK(database_->run("create table t (k {text} primary key, n {int}) {strict}"));
  }
  std::unique_ptr<Database> open(DatabaseOptions options) {
    options.url = url_;
    auto database = Database::open(options);
    EXPECT_TRUE(database.has_value()) << ::testing::PrintToString(database.error());
    return database ? std::move(*database) : nullptr;
  }
  std::string name() const { return url_.substr(url_.rfind('/') + 1); }
  // Ends every other session at this database, as an administrator or a proxy may.
  void cut_connections() {
    auto admin = Database::open({.url = PostgresServer::shared().url("postgres")});
    ASSERT_OK(admin);
    ASSERT_OK((*admin)->run(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1",
        {name()}));
  }

  std::string url_;
  std::unique_ptr<Database> database_;
};

TEST_F(Postgres, AKilledServerIsUnavailableAndWorksAgainAfterItsRestart) {
  auto& server = PostgresServer::shared();
  sys::RealClock clock;
  ASSERT_OK(migrate(*database_, schema_migrations(), clock));
  Resources resources(*database_, clock);
  ResourceChange change{
      .kind = "endpoint", .name = "a", .body = "{}", .expected_version = {}, .author = "eve"};
  ASSERT_OK(resources.put(change));

  server.kill_hard();
  for (int i = 0; i < 3; ++i) {
    auto refused = resources.put(change);
    EXPECT_FAILS(ErrorCode::unavailable, refused);
    EXPECT_TRUE(refused.error().retry_after.has_value());
    EXPECT_FAILS(ErrorCode::unavailable, resources.list("endpoint", "", 10));
  }
  EXPECT_FAILS(ErrorCode::unavailable, Database::open({.url = url_}));

  server.start();
  auto saved = resources.put(change);
  ASSERT_OK(saved);
  EXPECT_EQ(saved->version, 2);
  EXPECT_EQ(resources.list("endpoint", "", 10).value().size(), 1u);
}

TEST_F(Postgres, AServerKilledInsideATransaction) {
  auto& server = PostgresServer::shared();
  {
    auto connection = database_->borrow();
    ASSERT_OK(connection);
    auto transaction = Transaction::begin(**connection);
    ASSERT_OK(transaction);
    ASSERT_OK((*connection)->run("insert into t values ('a', 1)"));
    server.kill_hard();
    EXPECT_FAILS(ErrorCode::unavailable, (*connection)->run("insert into t values ('b', 1)"));
    EXPECT_FAILS(ErrorCode::internal, (*connection)->run("insert into t values ('c', 1)"));
    EXPECT_FAILS(ErrorCode::internal, transaction->commit());
  }
  server.start();
  EXPECT_EQ(database_->run("select count(*) from t")->single_integer().value(), 0);
  ASSERT_OK(database_->run("insert into t values ('a', 1)"));
}

TEST_F(Postgres, AServerKilledBeforeTheCommit) {
  auto& server = PostgresServer::shared();
  auto lost = database_->transact([&](Connection& connection) -> Result<void> {
    CORRAL_CHECK(connection.run("insert into t values ('a', 1)"));
    server.kill_hard();
    return {};
  });
  EXPECT_FAILS(ErrorCode::unavailable, lost);
  server.start();
  EXPECT_EQ(database_->run("select count(*) from t")->single_integer().value(), 0);
}

TEST_F(Postgres, AStatementUnderWayWhenTheConnectionIsCut) {
  Result<Rows> sleeping;
  std::jthread thread([&] { sleeping = database_->run("select pg_sleep(30)"); });
  auto admin = Database::open({.url = PostgresServer::shared().url("postgres")});
  ASSERT_OK(admin);
  for (;;) {  // until it is seen to run
    auto seen = (*admin)->run(
        "select count(*) from pg_stat_activity where datname = $1 and wait_event = 'PgSleep'",
        {name()});
    ASSERT_OK(seen);
    if (seen->single_integer().value() == 1) break;
    std::this_thread::yield();
  }
  cut_connections();
  thread.join();
  EXPECT_FAILS(ErrorCode::unavailable, sleeping);
  ASSERT_OK(database_->run("select 1"));
}

TEST_F(Postgres, AnIdleConnectionThatWasCutIsMadeAnewUnnoticed) {
  ASSERT_OK(database_->run("insert into t values ('a', $1)", {1}));
  cut_connections();
  ASSERT_OK(database_->run("insert into t values ('b', $1)", {1}));
  cut_connections();
  ASSERT_OK(database_->transact([](Connection& connection) -> Result<void> {
    CORRAL_CHECK(connection.run("insert into t values ('c', $1)", {1}));
    return {};
  }));
  EXPECT_EQ(database_->run("select count(*) from t")->single_integer().value(), 3);
}

TEST_F(Postgres, ForgottenPreparedStatementsAreMadeAnew) {
  auto connection = database_->borrow();
  ASSERT_OK(connection);
  ASSERT_OK((*connection)->run("select k from t where n = $1", {1}));
  ASSERT_OK((*connection)->run("deallocate all"));  // as a pooler may
  ASSERT_OK((*connection)->run("select k from t where n = $1", {1}));
}

TEST_F(Postgres, ASlowStatementEnds) {
  auto hasty = open({.statement_timeout = std::chrono::milliseconds(50)});
  EXPECT_FAILS(ErrorCode::timeout, hasty->run("select pg_sleep(30)"));
  ASSERT_OK(hasty->run("select 1"));
}

TEST_F(Postgres, AnErrorNeverHoldsThePassword) {
  auto& server = PostgresServer::shared();
  std::string wrong = "wr0ng-pw";
  for (const std::string& url :
       {server.url(name(), wrong), server.url("no_such_database"),
        "postgresql://nobody:" + wrong + "@127.0.0.1:1/x", server.url(name()) + "?sslmode=require",
        server.url(name()) + "?sslmode=" + wrong}) {
    auto database = Database::open({.url = url});
    ASSERT_FALSE(database) << url;
    EXPECT_EQ(database.error().code, ErrorCode::unavailable);
    EXPECT_NE(database.error().message.find("127.0.0.1"), std::string::npos);
    std::string said = database.error().describe() + database.error().cause;
    for (const char* secret : {PostgresServer::kPassword, PostgresServer::kEncodedPassword})
      EXPECT_EQ(said.find(secret), std::string::npos) << said;
    EXPECT_EQ(said.find(":" + wrong), std::string::npos) << said;
  }
  auto refused = Database::open({.url = server.url(name(), wrong)});
  EXPECT_NE(refused.error().message.find("password authentication failed"), std::string::npos);
  EXPECT_EQ(database_->display().find(PostgresServer::kPassword), std::string::npos);
}

TEST_F(Postgres, ByUnixSocket) {
  auto database = Database::open({.url = PostgresServer::shared().socket_url(name())});
  ASSERT_OK(database);
  EXPECT_EQ((*database)->run("select 1")->single_integer().value(), 1);
}

TEST_F(Postgres, ADatabaseThatIsNotUtf8IsRefused) {
  std::string ascii = name() + "_ascii";
  auto admin = Database::open({.url = PostgresServer::shared().url("postgres")});
  ASSERT_OK(admin);
  ASSERT_OK((*admin)->run("create database " + ascii +
                          " encoding 'SQL_ASCII' locale_provider libc locale 'C' "
                          "template template0"));
  auto database = Database::open({.url = PostgresServer::shared().url(ascii)});
  EXPECT_FAILS(ErrorCode::unsupported, database);
}

TEST_F(Postgres, AUserWithoutRightsIsTold) {
  ASSERT_OK(database_->run("create role guest login password 'guest'"));
  std::string url = PostgresServer::shared().url(name(), "guest");
  url.replace(url.find("corral"), 6, "guest");
  auto guest = Database::open({.url = url});
  ASSERT_OK(guest);
  EXPECT_FAILS(ErrorCode::forbidden, (*guest)->run("select * from t"));
  guest->reset();
  ASSERT_OK(database_->run("drop role guest"));
}

TEST(PostgresErrors, EveryClassHasItsMeaning) {
  auto code = [](std::string_view state) { return postgres_error(state, "text").code; };
  EXPECT_EQ(code("23505"), ErrorCode::conflict);
  EXPECT_EQ(code("23503"), ErrorCode::conflict);
  EXPECT_EQ(code("23514"), ErrorCode::invalid_argument);
  EXPECT_EQ(code("22P02"), ErrorCode::invalid_argument);
  EXPECT_EQ(code("40P01"), ErrorCode::unavailable);
  EXPECT_EQ(code("53300"), ErrorCode::unavailable);
  EXPECT_EQ(code("53100"), ErrorCode::io);
  EXPECT_EQ(code("54000"), ErrorCode::too_large);
  EXPECT_EQ(code("57P01"), ErrorCode::unavailable);
  EXPECT_EQ(code("57014"), ErrorCode::timeout);
  EXPECT_EQ(code("08006"), ErrorCode::unavailable);
  EXPECT_EQ(code("08P01"), ErrorCode::internal);
  EXPECT_EQ(code("55P03"), ErrorCode::unavailable);
  EXPECT_EQ(code("25006"), ErrorCode::io);
  EXPECT_EQ(code("28P01"), ErrorCode::unauthenticated);
  EXPECT_EQ(code("42501"), ErrorCode::forbidden);
  EXPECT_EQ(code("42601"), ErrorCode::internal);
  EXPECT_EQ(code("58030"), ErrorCode::io);
  EXPECT_EQ(code("XX001"), ErrorCode::io);
  EXPECT_EQ(code("XX000"), ErrorCode::io);
  EXPECT_EQ(postgres_error("42601", " two\nlines\n").cause, "PostgreSQL 42601: two lines");
}

TEST(PostgresValues, OtherTypesThanOurs) {
  EXPECT_EQ(from_postgres(16, "t"), Value(1));
  EXPECT_EQ(from_postgres(16, "f"), Value(0));
  EXPECT_EQ(from_postgres(23, "-5"), Value(-5));
  EXPECT_EQ(from_postgres(1700, "12"), Value(12));
  EXPECT_EQ(from_postgres(1700, "12.5"), Value(12.5));
  EXPECT_EQ(from_postgres(1700, "99999999999999999999"), Value(1e20));
  EXPECT_EQ(from_postgres(701, "-1.5e-300"), Value(-1.5e-300));
  EXPECT_EQ(from_postgres(20, "rubbish"), Value("rubbish"));
  EXPECT_EQ(from_postgres(17, "\\x00fF"), Value(Blob{std::string("\0\xff", 2)}));
  EXPECT_EQ(from_postgres(17, ""), Value(Blob{}));
  EXPECT_EQ(from_postgres(2950, "text"), Value("text"));
}

}  // namespace
}  // namespace corral::store::postgres_test
