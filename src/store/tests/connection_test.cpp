// What every statement promises, on both databases.
#include <limits>

#include "store/tests/each_database.hpp"

namespace corral::store::connection_test {
namespace {

using Connections = EachDatabase;
FOR_EACH_DATABASE(Connections);

constexpr std::string_view kEverything =
    "create table t (id {id}, whole {int}, fraction {real}, words {text} unique, raw {blob}) "
    "{strict}";
constexpr std::string_view kPairs =
    "create table t (k {text} primary key, n {int} not null) {strict}";

TEST_P(Connections, ValuesComeBackAsTheyWent) {
  run(kEverything);
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  std::string words = "größer, \"quoted\", 'single', \\ and 🐎\n";
  for (std::int64_t whole :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{5'000'000'000},
        std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    run("delete from t");
    auto put = run("insert into t (whole, fraction, words, raw) values ($1, $2, $3, $4)",
                   {whole, 0.1, words, Blob{bytes}});
    EXPECT_EQ(put.changed(), 1);
    auto rows = run("select whole, fraction, words, raw from t");
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].integer(0).value(), whole);
    EXPECT_EQ(rows[0].real(1).value(), 0.1);
    EXPECT_EQ(rows[0].text(2).value(), words);
    EXPECT_EQ(rows[0].blob(3).value().bytes, bytes);
  }
}

TEST_P(Connections, NullEmptyTextAndEmptyBytesAreThreeThings) {
  run(kEverything);
  run("insert into t (whole, words, raw) values ($1, $2, $3)", {nullptr, "", Blob{}});
  run("insert into t (whole, words, raw) values ($1, $2, $3)",
      {std::optional<std::int64_t>(7), nullptr, std::optional<std::string>()});
  auto rows = run("select whole, words, raw from t order by id");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_TRUE(rows[0][0].is_null());
  EXPECT_EQ(rows[0][1], Value(""));
  EXPECT_EQ(rows[0][2], Value(Blob{}));
  EXPECT_EQ(rows[1][0], Value(7));
  EXPECT_TRUE(rows[1][1].is_null());
  EXPECT_TRUE(rows[1][2].is_null());
}

TEST_P(Connections, LargeTextAndBytes) {
  run(kEverything);
  std::string large(3'000'000, 'x');
  run("insert into t (words, raw) values ($1, $2)", {"large", Blob{large}});
  EXPECT_EQ(run("select raw from t")[0].blob(0).value().bytes, large);
  EXPECT_EQ(run("select length(raw) from t").single_integer().value(), 3'000'000);
}

TEST_P(Connections, ParametersKeepTheirTypesInExpressions) {
  auto rows = run("select $1 + 1, $1 + $1, $2 * 2, cast($3 as text)",
                  {std::int64_t{5'000'000'000}, 0.25, "text"});
  EXPECT_EQ(rows[0].integer(0).value(), 5'000'000'001);
  EXPECT_EQ(rows[0].integer(1).value(), 10'000'000'000);
  EXPECT_EQ(rows[0].real(2).value(), 0.5);
  EXPECT_EQ(rows[0].text(3).value(), "text");
  // The same statement with another type.
  EXPECT_EQ(run("select $1 * 2", {3})[0].integer(0).value(), 6);
  EXPECT_EQ(run("select $1 * 2", {1.5})[0].real(0).value(), 3.0);
}

TEST_P(Connections, CountsSumsAndTruthValuesAreNumbers) {
  run(kPairs);
  run("insert into t values ('a', 5000000000), ('b', 5000000000)");
  auto rows = run("select count(*), sum(n), avg(n), n > $1 from t group by n", {1});
  EXPECT_EQ(rows[0].integer(0).value(), 2);
  EXPECT_EQ(rows[0].integer(1).value(), 10'000'000'000);
  EXPECT_EQ(rows[0].real(2).value(), 5e9);
  EXPECT_EQ(rows[0].integer(3).value(), 1);
}

TEST_P(Connections, TimesAreMillisecondsInUtc) {
  auto time = sys::Wall(std::chrono::milliseconds(1'795'225'323'456));
  run(kPairs);
  run("insert into t values ('a', $1)", {to_milliseconds(time)});
  auto rows = run("select n from t");
  RowReader read(rows[0]);
  EXPECT_EQ(read.time(), time);
  ASSERT_OK(read.done());
  auto before_1970 = sys::Wall(std::chrono::microseconds(-1));
  EXPECT_EQ(to_milliseconds(before_1970), -1);
}

TEST_P(Connections, NumbersAreHandedOutAndNeverTwice) {
  run(kEverything);
  auto first = run("insert into t (words) values ('a') returning id").single_integer().value();
  auto second = run("insert into t (words) values ('b') returning id").single_integer().value();
  EXPECT_GT(second, first);
  run("delete from t");
  EXPECT_GT(run("insert into t (words) values ('c') returning id").single_integer().value(),
            second);
}

TEST_P(Connections, ReturningGivesEveryRow) {
  run(kPairs);
  auto rows = run("insert into t values ('a', 1), ('b', 2) returning k, n");
  EXPECT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows.changed(), 2);
  EXPECT_EQ(run("update t set n = n + 1 where n > $1 returning n", {1}).single_integer().value(),
            3);
}

TEST_P(Connections, Upsert) {
  run(kPairs);
  for (int n : {1, 2})
    run("insert into t values ('a', $1) on conflict (k) do update set n = excluded.n", {n});
  EXPECT_EQ(run("select n from t").single_integer().value(), 2);
  auto ignored = run("insert into t values ('a', 3) on conflict (k) do nothing returning n");
  EXPECT_TRUE(ignored.empty());
  EXPECT_EQ(ignored.changed(), 0);
}

TEST_P(Connections, ChangedCountsOnlyChanges) {
  run(kPairs);
  EXPECT_EQ(run("insert into t values ('a', 1), ('b', 2)").changed(), 2);
  EXPECT_EQ(run("select * from t").changed(), 0);
  EXPECT_EQ(run("update t set n = 9").changed(), 2);
  EXPECT_EQ(run("update t set n = 9 where k = 'z'").changed(), 0);
  EXPECT_EQ(run("create table u (x {int}) {strict}").changed(), 0);
  EXPECT_EQ(run("delete from t where k = 'a'").changed(), 1);
}

TEST_P(Connections, TextIsSortedByItsBytes) {
  run(kPairs);
  for (const char* name : {"b", "B", "a", "Z", "é", "z", "_", "1"})
    run("insert into t values ($1, 0)", {name});
  std::string order;
  auto rows = run("select k from t order by k");
  for (std::size_t i = 0; i < rows.size(); ++i) order += rows[i].text(0).value();
  EXPECT_EQ(order, "1BZ_abzé");
  EXPECT_EQ(run("select count(*) from t where k > $1", {"Z"}).single_integer().value(), 5);
  EXPECT_EQ(run("select count(*) from t where k = $1", {"A"}).single_integer().value(), 0);
}

TEST_P(Connections, FieldsOfJson) {
  run("create table d (body {text} not null) {strict}");
  run("insert into d values ($1)", {R"({"url": "http://x", "other": {"a": 1}})"});
  auto rows = run("select {field:body:url}, {field:body:missing} from d");
  EXPECT_EQ(rows[0].text(0).value(), "http://x");
  EXPECT_TRUE(rows[0][1].is_null());
}

TEST_P(Connections, ErrorsHaveUsefulCodes) {
  script(
      "create table p (id {int} primary key) {strict};"
      "create table t (k {text} primary key, n {int} not null check (n < 100),"
      "  p {int} references p (id)) {strict}");
  run("insert into t values ('a', 1, null)");
  EXPECT_FAILS(ErrorCode::conflict, database_->run("insert into t values ('a', 2, null)"));
  EXPECT_FAILS(ErrorCode::conflict, database_->run("insert into t values ('b', 2, 5)"));
  EXPECT_FAILS(ErrorCode::invalid_argument,
               database_->run("insert into t values ('b', 100, null)"));
  EXPECT_FAILS(ErrorCode::invalid_argument,
               database_->run("insert into t values ('b', $1, null)", {nullptr}));
  EXPECT_FAILS(ErrorCode::invalid_argument,
               database_->run("insert into t (k, n) values ('b', cast('x' as {int}) / 0 + 'abc')"));
  EXPECT_FAILS(ErrorCode::internal, database_->run("select nonsense from t"));
  EXPECT_FAILS(ErrorCode::internal, database_->run("selec 1"));
  EXPECT_FAILS(ErrorCode::internal, database_->run("select 1; select 2"));
  EXPECT_FAILS(ErrorCode::internal, database_->run("select \"text\" from t"));
  EXPECT_EQ(count("t"), 1);  // the connection still works
}

TEST_P(Connections, ErrorsDoNotQuoteParameters) {
  run(kPairs);
  run("insert into t values ('hidden-value', 1)");
  auto again = database_->run("insert into t values ($1, 1)", {"hidden-value"});
  EXPECT_FAILS(ErrorCode::conflict, again);
  EXPECT_EQ((again.error().message + again.error().cause).find("hidden-value"), std::string::npos);
}

TEST_P(Connections, WrongParametersAreRefused) {
  run(kPairs);
  EXPECT_FAILS(ErrorCode::internal, database_->run("select * from t where n = $1"));
  EXPECT_FAILS(ErrorCode::internal, database_->run("select * from t where n = $1", {1, 2}));
  EXPECT_FAILS(ErrorCode::invalid_argument, database_->run("select $1", {std::string("a\0b", 3)}));
  EXPECT_FAILS(ErrorCode::invalid_argument, database_->run("select $1", {"\xff"}));
  EXPECT_FAILS(ErrorCode::invalid_argument,
               database_->run("select $1", {std::numeric_limits<double>::infinity()}));
  EXPECT_FAILS(ErrorCode::invalid_argument, database_->run("select {nonsense}"));
  // What only looks like a parameter is none.
  auto rows = run("select '$3', $1 + 0 as \"$4\" /* $5 */ -- $6", {7});
  EXPECT_EQ(rows[0].text(0).value(), "$3");
  EXPECT_EQ(rows[0].integer(1).value(), 7);
}

TEST_P(Connections, HostileTextStaysAValue) {
  run(kPairs);
  std::string hostile = "'; drop table t; --";
  run("insert into t values ($1, 1)", {hostile});
  EXPECT_EQ(run("select k from t where k = $1", {hostile})[0].text(0).value(), hostile);
}

TEST_P(Connections, ReadingAnotherTypeIsAnError) {
  run(kPairs);
  run("insert into t values ('a', 1)");
  auto rows = run("select k, n from t");
  EXPECT_FAILS(ErrorCode::internal, rows[0].integer(0));
  EXPECT_FAILS(ErrorCode::internal, rows[0].text(1));
  EXPECT_FAILS(ErrorCode::internal, rows[0].blob(0));
  EXPECT_FAILS(ErrorCode::internal, rows[0].integer(2));  // there is no such column
  RowReader read(rows[0]);
  EXPECT_EQ(read.integer(), 0);
  EXPECT_EQ(read.real(), 1.0);
  EXPECT_EQ(read.blob().bytes, "");
  EXPECT_FAILS(ErrorCode::internal, read.done());
  EXPECT_FAILS(ErrorCode::internal, run("select n from t where n > 1").single_integer());
}

TEST_P(Connections, ManyDifferentStatementsKeepWorking) {
  run(kPairs);
  run("insert into t values ('a', 1)");
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 200; ++i)
      ASSERT_EQ(run("select n + " + std::to_string(i) + " from t").single_integer().value(), i + 1);
}

TEST_P(Connections, PreparedStatementsSurviveAChangedTable) {
  open({.connections = 2});
  run(kPairs);
  run("insert into t values ('a', 1)");
  EXPECT_EQ(run("select * from t").columns(), 2u);
  run("alter table t add column more {int}");
  EXPECT_EQ(run("select * from t").columns(), 3u);
}

TEST_P(Connections, ReadOnlyRefusesChanges) {
  run(kPairs);
  run("insert into t values ('a', 1)");
  open({.access = Access::read_only});
  EXPECT_EQ(count("t"), 1);
  auto refused = database_->run("insert into t values ('b', 1)");
  EXPECT_FAILS(ErrorCode::io, refused);
  EXPECT_NE(refused.error().message.find("read-only"), std::string::npos);
}

}  // namespace
}  // namespace corral::store::connection_test
