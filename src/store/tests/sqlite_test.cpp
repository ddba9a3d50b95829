// What can go wrong with a file: read-only, full, damaged, missing; and how it is made.
#include <fmt/core.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "store/sqlite_errors.hpp"
#include "store/tests/each_database.hpp"

namespace corral::store::sqlite_test {
namespace {

namespace fs = std::filesystem;

class Sqlite : public ::testing::Test {
 protected:
  std::unique_ptr<Database> open(DatabaseOptions options = {}) {
    options.url = file().string();
    auto database = Database::open(options);
    EXPECT_TRUE(database.has_value()) << ::testing::PrintToString(database.error());
    return database ? std::move(*database) : nullptr;
  }
  fs::path file() const { return folder_ / "test.db"; }

  // A database of many pages, closed, with all of it in the one file.
  void fill() {
    auto database = open();
    ASSERT_OK(database->run("create table t (k {int} primary key, words {text}) {strict}"));
    ASSERT_OK(database->transact([](Connection& connection) -> Result<void> {
      for (int i = 0; i < 500; ++i)
        CORRAL_CHECK(connection.run("insert into t values ($1, $2)", {i, std::string(500, 'x')}));
      return {};
    }));
  }

  sys::TempFolder folder_;
};

TEST_F(Sqlite, IsConfiguredForManyReadersAndOneWriter) {
  auto database = open();
  auto setting = [&](const std::string& name) {
    auto rows = database->run("pragma " + name);
    return rows && !rows->empty() ? rows->cell(0, 0) : Value();
  };
  EXPECT_EQ(setting("journal_mode"), Value("wal"));
  EXPECT_EQ(setting("foreign_keys"), Value(1));
  EXPECT_EQ(setting("synchronous"), Value(1));  // normal
  EXPECT_EQ(setting("busy_timeout"), Value(5000));
  EXPECT_EQ(setting("trusted_schema"), Value(0));
}

TEST_F(Sqlite, IsReadableByItsOwnerOnly) {
  auto database = open();
  ASSERT_OK(database->run("create table t (x {int}) {strict}"));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    auto mode = fs::status(file().string() + suffix).permissions() & fs::perms::all;
    EXPECT_EQ(mode, fs::perms::owner_read | fs::perms::owner_write) << suffix;
  }
}

TEST_F(Sqlite, CannotReachOtherFiles) {
  auto database = open();
  auto other = (folder_ / "other.db").string();
  EXPECT_FALSE(database->run("attach database '" + other + "' as other").has_value());
  EXPECT_FALSE(fs::exists(other));
}

TEST_F(Sqlite, AWriterOfAnotherProcessIsWaitedFor) {
  auto first = open({.busy_timeout = std::chrono::milliseconds(30)});
  ASSERT_OK(first->run("create table t (x {int}) {strict}"));
  auto second = open({.busy_timeout = std::chrono::milliseconds(30)});
  auto connection = first->borrow();
  ASSERT_OK(connection);
  auto transaction = Transaction::begin(**connection);
  ASSERT_OK(transaction);
  ASSERT_OK((*connection)->run("insert into t values (1)"));
  EXPECT_FAILS(ErrorCode::unavailable, second->run("insert into t values (2)"));
  ASSERT_OK(second->run("select * from t"));  // readers never wait
  ASSERT_OK(transaction->commit());
  ASSERT_OK(second->run("insert into t values (2)"));
}

// Changing a new file to WAL fails at once, whatever the busy timeout, while somebody else does it.
TEST_F(Sqlite, AllWhoOpenANewDatabaseAtOnceSucceed) {
  for (int round = 0; round < 20; ++round) {
    std::string url = (folder_ / fmt::format("new-{}.db", round)).string();
    std::vector<Result<void>> opened(24);
    {
      std::vector<std::jthread> threads;
      for (auto& mine : opened) {
        threads.emplace_back([&] {
          auto database = Database::open({.url = url});
          if (!database) mine = std::unexpected(database.error());
        });
      }
    }
    for (const auto& mine : opened) ASSERT_OK(mine);
  }
}

TEST_F(Sqlite, AFullDiskIsSaidAndTheDatabaseStaysUsable) {
  fill();
  auto database = open({.connections = 1});
  ASSERT_OK(database->run("pragma max_page_count = 80"));
  auto full = database->transact([](Connection& connection) -> Result<void> {
    for (int i = 1000; i < 2000; ++i)
      CORRAL_CHECK(connection.run("insert into t values ($1, $2)", {i, std::string(500, 'y')}));
    return {};
  });
  EXPECT_FAILS(ErrorCode::io, full);
  EXPECT_NE(full.error().message.find("no space left"), std::string::npos);
  EXPECT_FALSE(full.error().hint_text.empty());
  EXPECT_EQ(database->run("select count(*) from t")->single_integer().value(), 500);
  ASSERT_OK(database->run("pragma max_page_count = 100000"));
  ASSERT_OK(database->run("insert into t values (1000, 'z')"));
}

TEST_F(Sqlite, AFileThatIsNoDatabaseIsRefused) {
  std::ofstream(file()) << std::string(5000, 'x');
  auto database = Database::open({.url = file().string()});
  EXPECT_FAILS(ErrorCode::io, database);
  EXPECT_NE(database.error().message.find("is not an SQLite database"), std::string::npos);
  EXPECT_EQ(fs::file_size(file()), 5000u);
}

TEST_F(Sqlite, DamageIsSaid) {
  fill();
  {
    std::fstream damaged(file(), std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekp(4096 * 2);
    damaged << std::string(4096 * 40, '\xa5');
  }
  auto database = open();
  auto rows = database->run("select sum(length(words)) from t");
  EXPECT_FAILS(ErrorCode::io, rows);
  EXPECT_NE(rows.error().message.find("is damaged"), std::string::npos);
  EXPECT_NE(rows.error().hint_text.find("backup"), std::string::npos);
}

TEST_F(Sqlite, AMissingFolderIsSaid) {
  auto database = Database::open({.url = (folder_ / "no" / "test.db").string()});
  EXPECT_FAILS(ErrorCode::io, database);
  EXPECT_NE(database.error().hint_text.find("folder must exist"), std::string::npos);
  EXPECT_FAILS(ErrorCode::io, Database::open({.url = folder_.path().string()}));
}

TEST_F(Sqlite, ReadOnlyDoesNotMakeAFile) {
  auto database = Database::open({.url = file().string(), .access = Access::read_only});
  EXPECT_FAILS(ErrorCode::io, database);
  EXPECT_FALSE(fs::exists(file()));
}

// As a user without the right to write; root would have it in any case.
TEST_F(Sqlite, AFileThatMayNotBeWrittenIsSaid) {
  {
    auto database = open();
    ASSERT_OK(database->run("create table t (x {int}) {strict}"));
  }
  fs::permissions(file(), fs::perms::owner_read | fs::perms::others_read);
  fs::permissions(folder_.path(), fs::perms::owner_read | fs::perms::owner_exec |
                                      fs::perms::others_read | fs::perms::others_exec);
  auto as_other_user = [&] {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(1);
    auto database = Database::open({.url = file().string()});
    Result<void> done;
    if (!database) {
      done = std::unexpected(database.error());
    } else if (auto rows = (*database)->run("insert into t values (1)"); !rows) {
      done = std::unexpected(rows.error());
    }
    if (!done)
      fmt::print(stderr, "{}: {}\n", to_string(done.error().code), done.error().describe());
    ::_exit(0);
  };
  EXPECT_EXIT(as_other_user(), ::testing::ExitedWithCode(0),
              "io: .*(read-only|cannot open).*(right to write)");
  fs::permissions(folder_.path(), fs::perms::owner_all);
}

TEST(SqliteErrors, EveryCodeHasItsMeaning) {
  auto code = [](int number) { return sqlite_error(nullptr, number, "x.db").code; };
  EXPECT_EQ(code(SQLITE_CONSTRAINT_UNIQUE), ErrorCode::conflict);
  EXPECT_EQ(code(SQLITE_CONSTRAINT_PRIMARYKEY), ErrorCode::conflict);
  EXPECT_EQ(code(SQLITE_CONSTRAINT_ROWID), ErrorCode::conflict);
  EXPECT_EQ(code(SQLITE_CONSTRAINT_FOREIGNKEY), ErrorCode::conflict);
  EXPECT_EQ(code(SQLITE_CONSTRAINT_CHECK), ErrorCode::invalid_argument);
  EXPECT_EQ(code(SQLITE_MISMATCH), ErrorCode::invalid_argument);
  EXPECT_EQ(code(SQLITE_BUSY_SNAPSHOT), ErrorCode::unavailable);
  EXPECT_EQ(code(SQLITE_LOCKED_SHAREDCACHE), ErrorCode::unavailable);
  EXPECT_EQ(code(SQLITE_NOMEM), ErrorCode::unavailable);
  EXPECT_EQ(code(SQLITE_TOOBIG), ErrorCode::too_large);
  EXPECT_EQ(code(SQLITE_INTERRUPT), ErrorCode::cancelled);
  EXPECT_EQ(code(SQLITE_IOERR_WRITE), ErrorCode::io);
  EXPECT_EQ(code(SQLITE_CORRUPT_INDEX), ErrorCode::io);
  EXPECT_EQ(code(SQLITE_ERROR), ErrorCode::internal);
  EXPECT_EQ(sqlite_error(nullptr, SQLITE_FULL, "x.db").message,
            "no space left for the database 'x.db'");
}

}  // namespace
}  // namespace corral::store::sqlite_test
