#include "store/migrations.hpp"

#include <thread>

#include "store/tests/each_database.hpp"

namespace corral::store::migrations_test {
namespace {

class Migrations : public EachDatabase {
 protected:
  bool has_table(const std::string& name) {
    return !run(has_table_query(GetParam()), {name}).empty();
  }
  sys::ManualClock clock_;
};
FOR_EACH_DATABASE(Migrations);

// Names in one column, then in two, then with an index and a column that cannot be empty.
constexpr Migration kFirst{.number = 1,
                           .name = "people",
                           .up = "create table people (id {id}, name {text} not null) {strict}",
                           .down = "drop table people"};
constexpr Migration kSecond{
    .number = 2,
    .name = "given and family name",
    .up =
        "alter table people add column given {text};"
        "alter table people add column family {text};"
        "update people set given = substr(name, 1, 3), family = substr(name, 5);"
        "alter table people drop column name",
    .down =
        "alter table people add column name {text} not null default '';"
        "update people set name = given || ' ' || family;"
        "alter table people drop column given;"
        "alter table people drop column family"};
constexpr Migration kThird{.number = 3,
                           .name = "age",
                           .up =
                               "alter table people add column age {int} not null default 7;"
                               "create index people_by_age on people (age)",
                           .down =
                               "drop index people_by_age;"
                               "alter table people drop column age"};
constexpr Migration kAll[] = {kFirst, kSecond, kThird};

TEST_P(Migrations, DataSurvivesTheWayUpDownAndUp) {
  ASSERT_EQ(migrate(*database_, kAll, clock_, 1).value(), 1);
  run("insert into people (name) values ('Ada Lovelace'), ('Eve Ng')");
  ASSERT_EQ(migrate(*database_, kAll, clock_).value(), 2);
  EXPECT_EQ(run("select family from people where given = 'Ada'")[0].text(0).value(), "Lovelace");
  run("insert into people (given, family, age) values ('Tim', 'Berners', 30)");

  ASSERT_EQ(migrate(*database_, kAll, clock_, 1).value(), 2);
  auto rows = run("select name from people order by id");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].text(0).value(), "Ada Lovelace");
  EXPECT_EQ(rows[2].text(0).value(), "Tim Berners");

  ASSERT_EQ(migrate(*database_, kAll, clock_).value(), 2);
  EXPECT_EQ(run("select age from people where family = 'Ng'").single_integer().value(), 7);
  ASSERT_EQ(migrate(*database_, kAll, clock_).value(), 0);  // there already
  ASSERT_EQ(migrate(*database_, kAll, clock_, 0).value(), 3);
  EXPECT_FALSE(has_table("people"));
}

TEST_P(Migrations, WhatWasAppliedIsRecorded) {
  EXPECT_TRUE(applied_migrations(*database_).value().empty());
  ASSERT_OK(migrate(*database_, kAll, clock_, 2));
  auto applied = applied_migrations(*database_);
  ASSERT_OK(applied);
  ASSERT_EQ(applied->size(), 2u);
  EXPECT_EQ(applied->at(1).number, 2);
  EXPECT_EQ(applied->at(1).name, "given and family name");
  EXPECT_EQ(applied->at(1).checksum, checksum(kSecond));
  EXPECT_EQ(applied->at(1).applied, clock_.wall());
  EXPECT_EQ(checksum(kFirst).size(), 64u);
  EXPECT_NE(checksum(kFirst), checksum(kSecond));
}

TEST_P(Migrations, ANewerDatabaseIsRefused) {
  ASSERT_OK(migrate(*database_, kAll, clock_));
  auto old_program = migrate(*database_, std::span(kAll).first(2), clock_);
  EXPECT_FAILS(ErrorCode::conflict, old_program);
  EXPECT_EQ(old_program.error().message,
            "the database is at version 3, and this program knows versions up to 2");
  EXPECT_FALSE(old_program.error().hint_text.empty());
  EXPECT_EQ(applied_migrations(*database_).value().size(), 3u);
}

TEST_P(Migrations, AChangedStepIsRefused) {
  ASSERT_OK(migrate(*database_, kAll, clock_, 1));
  Migration edited[] = {kFirst, kSecond, kThird};
  edited[0].up = "create table people (id {id}, name {text} not null, x {int}) {strict}";
  auto refused = migrate(*database_, edited, clock_);
  EXPECT_FAILS(ErrorCode::conflict, refused);
  EXPECT_NE(refused.error().message.find("step 1 ('people')"), std::string::npos);
  EXPECT_FAILS(ErrorCode::conflict, migrate(*database_, edited, clock_, 0));
  EXPECT_EQ(applied_migrations(*database_).value().size(), 1u);
}

TEST_P(Migrations, AStepThatFailsLeavesNothingBehind) {
  Migration broken[] = {kFirst, kSecond};
  broken[1].up = "create table half (x {int}) {strict}; select nonsense from people";
  auto failed = migrate(*database_, broken, clock_);
  EXPECT_FAILS(ErrorCode::internal, failed);
  EXPECT_NE(failed.error().message.find("to version 2"), std::string::npos);
  EXPECT_TRUE(has_table("people"));
  EXPECT_FALSE(has_table("half"));
  EXPECT_EQ(applied_migrations(*database_).value().size(), 1u);
  ASSERT_EQ(migrate(*database_, kAll, clock_).value(), 2);
}

TEST_P(Migrations, WrongListsAndTargetsAreRefused) {
  Migration gap[] = {kFirst, kThird};
  EXPECT_FAILS(ErrorCode::internal, migrate(*database_, gap, clock_));
  EXPECT_FAILS(ErrorCode::invalid_argument, migrate(*database_, kAll, clock_, 4));
  EXPECT_FAILS(ErrorCode::invalid_argument, migrate(*database_, kAll, clock_, -1));
}

TEST_P(Migrations, SeveralThatStartAtOnceApplyEachStepOnce) {
  constexpr int kProcesses = 4;
  database_.reset();
  std::vector<Result<int>> steps(kProcesses, 0);
  {
    std::vector<std::jthread> processes;
    for (auto& mine : steps) {
      processes.emplace_back([&] {
        auto database = Database::open({.url = url_, .busy_timeout = std::chrono::seconds(30)});
        sys::RealClock clock;
        mine = database ? migrate(**database, kAll, clock)
                        : Result<int>(std::unexpected(database.error()));
      });
    }
  }
  int total = 0;
  for (const auto& mine : steps) {
    ASSERT_OK(mine);
    total += *mine;
  }
  EXPECT_EQ(total, 3);
  open({});
  EXPECT_EQ(applied_migrations(*database_).value().size(), 3u);
}

// The program's own: each step, with documents and their past in the tables.
TEST_P(Migrations, TheProgramsOwnKeepDocumentsDownAndUp) {
  auto own = schema_migrations();
  ASSERT_OK(migrate(*database_, own, clock_, 1));
  run("insert into resources values ('endpoint', 'old', 3, '{\"a\":1}', 'eve', 17)");
  run("update resource_revision set revision = 5");
  ASSERT_OK(migrate(*database_, own, clock_));
  auto history = run("select version, body, author, changed_ms from resource_history");
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0].integer(0).value(), 3);
  EXPECT_EQ(history[0].text(1).value(), "{\"a\":1}");
  EXPECT_EQ(history[0].text(2).value(), "eve");
  EXPECT_EQ(history[0].integer(3).value(), 17);

  run("insert into resource_history values ('endpoint', 'gone', 1, null, 'eve', 18)");
  ASSERT_OK(migrate(*database_, own, clock_, 1));
  EXPECT_FALSE(has_table("resource_history"));
  EXPECT_EQ(run("select body from resources")[0].text(0).value(), "{\"a\":1}");
  EXPECT_EQ(run("select revision from resource_revision").single_integer().value(), 5);
  ASSERT_OK(migrate(*database_, own, clock_));
  EXPECT_EQ(count("resource_history"), 1);

  ASSERT_OK(migrate(*database_, own, clock_, 0));
  EXPECT_FALSE(has_table("resources"));
  EXPECT_FALSE(has_table("resource_revision"));
  ASSERT_OK(migrate(*database_, own, clock_));
  EXPECT_EQ(count("resources"), 0);
  EXPECT_EQ(run("select revision from resource_revision").single_integer().value(), 0);
}

// The catalog of models, with rows in every table; documents stay as they are.
TEST_P(Migrations, TheModelCatalogGoesDownAndUp) {
  constexpr const char* kTables[] = {"catalog_blobs",    "catalog_contents", "catalog_files",
                                     "catalog_models",   "catalog_versions", "indexed_files",
                                     "model_benchmarks", "model_usage"};
  auto own = schema_migrations();
  ASSERT_OK(migrate(*database_, own, clock_, 2));
  run("insert into resources values ('endpoint', 'old', 3, '{}', 'eve', 17)");
  ASSERT_OK(migrate(*database_, own, clock_, 3));
  for (const char* table : kTables) EXPECT_TRUE(has_table(table)) << table;
  script(
      "insert into catalog_blobs values ('d1', 5, 1, 2, 3, null, null, null), "
      "('d2', 6, 1, 2, 3, 4, 5, 'rotten');"
      "insert into catalog_contents (fingerprint, bytes, metadata) values ('f1', 5, '{}');"
      "insert into catalog_files select id, 0, 'weights', 'a.gguf', 'd1', 5 from catalog_contents;"
      "insert into catalog_models values ('Chat', 'chat', 1, 7);"
      "insert into catalog_versions "
      "select 'Chat', 1, id, 'hf.co/chat', 'r', 'mit', 'eve', 8 from catalog_contents;"
      "insert into indexed_files values ('/m/a', '/m/a', 1, 2, 3, 4, '{}', 'd', 5, null);"
      "insert into model_usage values ('chat', 20000, 1, 2, 3, 4);"
      "insert into model_benchmarks (model, measured_ms, body) values ('chat', 1, '{}')");
  // The structure keeps out what would lose bytes that are in use.
  EXPECT_FAILS(ErrorCode::conflict,
               database_->run("delete from catalog_blobs where digest = 'd1'"));
  EXPECT_FAILS(ErrorCode::conflict, database_->run("delete from catalog_contents"));
  EXPECT_FAILS(ErrorCode::conflict,
               database_->run("insert into catalog_models values ('CHAT', 'chat', 1, 7)"));
  run("delete from catalog_models where name = 'Chat'");
  EXPECT_EQ(count("catalog_versions"), 0);

  ASSERT_OK(migrate(*database_, own, clock_, 2));
  for (const char* table : kTables) EXPECT_FALSE(has_table(table)) << table;
  EXPECT_EQ(run("select version from resources").single_integer().value(), 3);
  ASSERT_OK(migrate(*database_, own, clock_));
  for (const char* table : kTables) EXPECT_EQ(count(table), 0) << table;
}

TEST_P(Migrations, TunedSettingsGoDownAndUp) {
  auto own = schema_migrations();
  ASSERT_OK(migrate(*database_, own, clock_, 4));
  run("insert into tuned_settings values ('here', 'chat', '8 cores', 'a', '{}', 'faster', 1)");
  EXPECT_FAILS(ErrorCode::conflict,
               database_->run("insert into tuned_settings values ('here', 'chat', '', '', '', '', "
                              "1)"));
  ASSERT_OK(migrate(*database_, own, clock_, 3));
  EXPECT_FALSE(has_table("tuned_settings"));
  EXPECT_TRUE(has_table("model_benchmarks"));
  ASSERT_OK(migrate(*database_, own, clock_));
  EXPECT_EQ(count("tuned_settings"), 0);
}

TEST_P(Migrations, LearnedWorkGoesDownAndUp) {
  auto own = schema_migrations();
  ASSERT_OK(migrate(*database_, own, clock_, 6));
  constexpr const char* kRow =
      "insert into learned_work values ('m', 'gpu', 'chat', 'chat', 1, '', 9, 0.5, 2.5, 1, 0.1, "
      "0.2, 17)";
  run(kRow);
  EXPECT_EQ(run("select mean_seconds from learned_work")[0].real(0).value(), 2.5);
  EXPECT_FAILS(ErrorCode::conflict, database_->run(kRow));
  ASSERT_OK(migrate(*database_, own, clock_, 5));
  EXPECT_FALSE(has_table("learned_work"));
  EXPECT_TRUE(has_table("catalog_places"));
  ASSERT_OK(migrate(*database_, own, clock_));
  EXPECT_EQ(count("learned_work"), 0);
}

TEST_P(Migrations, MachinesGoDownAndUp) {
  auto own = schema_migrations();
  ASSERT_OK(migrate(*database_, own, clock_, 7));
  run("insert into machines values ('m', 17)");
  EXPECT_FAILS(ErrorCode::conflict, database_->run("insert into machines values ('m', 18)"));
  ASSERT_OK(migrate(*database_, own, clock_, 6));
  EXPECT_FALSE(has_table("machines"));
  EXPECT_TRUE(has_table("learned_work"));
  ASSERT_OK(migrate(*database_, own, clock_));
  EXPECT_EQ(count("machines"), 0);
}

// Two machines' files, and what was known before there were several.
TEST_P(Migrations, FilesByMachineGoDownAndUp) {
  auto own = schema_migrations();
  ASSERT_OK(migrate(*database_, own, clock_, 4));
  script(
      "insert into catalog_blobs values ('d1', 5, 10, 11, 12, null, 13, null), "
      "('d2', 6, 20, 21, 22, 23, 24, 'rotten');"
      "insert into catalog_contents (fingerprint, bytes, metadata) values ('f1', 5, '{}');"
      "insert into catalog_files select id, 0, 'weights', 'a.gguf', 'd1', 5 from catalog_contents;"
      "insert into indexed_files values ('/m/a', '/m/a', 1, 2, 3, 4, '{}', 'd', 5, null)");
  ASSERT_OK(migrate(*database_, own, clock_, 5));
  EXPECT_EQ(count("catalog_files"), 1);
  auto known =
      run("select machine, bytes, modified_ns, inode, unused_ms, checked_ms, problem "
          "from catalog_places where digest = 'd2'");
  ASSERT_EQ(known.size(), 1u);
  EXPECT_EQ(known[0].text(0).value(), "");
  for (int column = 1; column < 6; ++column) {
    const std::int64_t wanted[] = {6, 20, 21, 23, 24};
    EXPECT_EQ(known[0].integer(column).value(), wanted[column - 1]) << column;
  }
  EXPECT_EQ(known[0].text(6).value(), "rotten");
  EXPECT_EQ(run("select machine, digest from indexed_files")[0].text(1).value(), "d");
  script(
      "insert into catalog_places values ('d1', 'b', 5, 1, 2, null, null, null);"
      "update catalog_places set machine = 'a' where machine = '';"
      "insert into catalog_blobs values ('d3', 7, 30);"
      "insert into indexed_files values ('b', '/m/a', '/m/a', 9, 9, 9, 9, '{}', null, null, null), "
      "('b', '/m/b', '/m/b', 8, 8, 8, 8, '{}', null, null, null)");
  EXPECT_FAILS(ErrorCode::conflict,
               database_->run("insert into catalog_places values ('none', 'a', 5, 1, 2, null, "
                              "null, null)"));

  ASSERT_OK(migrate(*database_, own, clock_, 4));
  EXPECT_FALSE(has_table("catalog_places"));
  EXPECT_EQ(count("catalog_files"), 1);
  auto blobs =
      run("select bytes, modified_ns, inode, added_ms, digest from catalog_blobs "
          "order by digest");
  ASSERT_EQ(blobs.size(), 3u);
  const std::int64_t wanted[3][4] = {{5, 10, 11, 12}, {6, 20, 21, 22}, {7, 0, 0, 30}};
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t column = 0; column < 4; ++column) {
      EXPECT_EQ(blobs[row].integer(column).value(), wanted[row][column]) << row << " " << column;
    }
  }
  EXPECT_EQ(run("select digest from catalog_blobs where problem is not null").size(), 1u);
  EXPECT_EQ(run("select size from indexed_files where path = '/m/a'").single_integer().value(), 1);
  EXPECT_EQ(count("indexed_files"), 2);
  ASSERT_OK(migrate(*database_, own, clock_));
  EXPECT_EQ(run("select inode from catalog_places where digest = 'd1'").single_integer().value(),
            11);
  ASSERT_OK(migrate(*database_, own, clock_, 2));
  EXPECT_FALSE(has_table("indexed_files"));
  ASSERT_OK(migrate(*database_, own, clock_));
}

}  // namespace
}  // namespace corral::store::migrations_test
