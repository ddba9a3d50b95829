#include "store/url.hpp"

#include <gtest/gtest.h>

#include "store/dialect.hpp"

namespace corral::store::url_test {
namespace {

TEST(DatabaseUrl, SqliteByUrlOrPath) {
  for (const char* text : {"sqlite:/var/lib/corral/a b.db", "/var/lib/corral/a b.db"}) {
    auto url = DatabaseUrl::parse(text);
    ASSERT_TRUE(url);
    EXPECT_EQ(url->dialect, Dialect::sqlite);
    EXPECT_EQ(url->path, "/var/lib/corral/a b.db");
    EXPECT_EQ(url->display(), "sqlite:/var/lib/corral/a b.db");
  }
}

TEST(DatabaseUrl, PostgresqlWithAllParts) {
  auto url = DatabaseUrl::parse("postgresql://us%40er:p%2Fw@[::1]:5433/da%20ta?sslmode=require");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->dialect, Dialect::postgresql);
  EXPECT_EQ(url->keywords.at("user"), "us@er");
  EXPECT_EQ(url->keywords.at("password"), "p/w");
  EXPECT_EQ(url->keywords.at("host"), "::1");
  EXPECT_EQ(url->keywords.at("port"), "5433");
  EXPECT_EQ(url->keywords.at("dbname"), "da ta");
  EXPECT_EQ(url->keywords.at("sslmode"), "require");
  EXPECT_EQ(url->display(), "postgresql://us@er@::1:5433/da ta");
}

TEST(DatabaseUrl, PostgresqlWithFewParts) {
  auto url = DatabaseUrl::parse("postgres://db.local/corral");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->display(), "postgresql://db.local/corral");
  auto socket = DatabaseUrl::parse("postgresql:///corral?host=/run/postgresql&port=5432");
  ASSERT_TRUE(socket);
  EXPECT_EQ(socket->keywords.at("host"), "/run/postgresql");
  // A plain '@' in a password still leaves the host what follows the last one.
  auto at = DatabaseUrl::parse("postgresql://u:a@b@host/db");
  ASSERT_TRUE(at);
  EXPECT_EQ(at->keywords.at("password"), "a@b");
}

TEST(DatabaseUrl, WrongOnesAreRefusedWithoutQuotingThem) {
  for (const char* text : {"",
                           "sqlite:",
                           ":memory:",
                           "sqlite::memory:",
                           "file:x.db",
                           "mysql://u:s3cr@h/d",
                           "postgresql://u:s3cr@host",
                           "postgresql://u:s3cr@host/",
                           "postgresql://u:s3/cr@host/db",
                           "postgresql://u:1/s3cr@host",
                           "postgresql://u:1?s3cr@host/db",
                           "postgresql://u:s3cr@host:99999/db",
                           "postgresql://u:s3cr@host:s3cr/db",
                           "postgresql://u:s3%cr@host/db",
                           "postgresql://u:s3cr%0@host/db",
                           "postgresql://u:s3cr%00@host/db",
                           "postgresql://u:s3cr@[::1/db",
                           "postgresql://u:s3cr@[::1]x/db",
                           "postgresql://host/db?s3cr=x",
                           "postgresql://host/db?password=s3cr",
                           "postgresql://host/db?S3CR",
                           "postgresql://h/d?&"}) {
    auto url = DatabaseUrl::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, ErrorCode::invalid_argument) << text;
    EXPECT_EQ(url.error().param, "store.url");
    std::string said = url.error().describe() + url.error().cause;
    EXPECT_EQ(said.find("s3"), std::string::npos) << said;
  }
}

TEST(Dialect, WordsInBraces) {
  std::string_view sql = "create table t (a {int}, b {text}, c {blob}) {strict}";
  EXPECT_EQ(expand(Dialect::sqlite, sql).value(),
            "create table t (a integer, b text, c blob) strict");
  EXPECT_EQ(expand(Dialect::postgresql, sql).value(),
            "create table t (a bigint, b text collate \"C\", c bytea) ");
  EXPECT_EQ(expand(Dialect::postgresql, "select {field:body:url}").value(),
            "select (body::json ->> 'url')");
}

TEST(Dialect, OtherBracesAreLeftAlone) {
  for (const char* sql : {"select '{}'", "select '{\"a\": 1}'", "select '{ int}'", "select '{'",
                          "select '{int'", "{}{}", "}{"})
    EXPECT_EQ(expand(Dialect::sqlite, sql).value(), sql);
  EXPECT_EQ(expand(Dialect::sqlite, "'{\"a\":{}}' {int}").value(), "'{\"a\":{}}' integer");
}

TEST(Dialect, UnknownWordsAreRefused) {
  for (const char* sql : {"{integer}", "{field:a}", "{field:a:b'c}", "{field::b}", "{field:a:}"}) {
    auto text = expand(Dialect::sqlite, sql);
    ASSERT_FALSE(text) << sql;
    EXPECT_EQ(text.error().code, ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace corral::store::url_test
