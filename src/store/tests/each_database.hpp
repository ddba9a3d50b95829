// The conformance suite's fixture: every test of it runs once on SQLite and once on PostgreSQL,
// each time on an empty database of its own.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "store/database.hpp"
#include "store/tests/postgres_server.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral {

// Failed expectations say the whole error.
inline void PrintTo(const Error& error, std::ostream* out) {
  *out << to_string(error.code) << ": " << error.describe() << " [" << error.cause << "]";
}

}  // namespace corral

namespace corral::store {

#define ASSERT_OK(result)                                                          \
  do {                                                                             \
    auto&& checked = (result);                                                     \
    ASSERT_TRUE(checked.has_value()) << ::testing::PrintToString(checked.error()); \
  } while (false)

// The result is an error of that code.
#define EXPECT_FAILS(wanted, result)                                                        \
  do {                                                                                      \
    auto&& checked = (result);                                                              \
    EXPECT_FALSE(checked.has_value());                                                      \
    if (!checked.has_value()) {                                                             \
      EXPECT_EQ(checked.error().code, wanted) << ::testing::PrintToString(checked.error()); \
    }                                                                                       \
  } while (false)

class EachDatabase : public ::testing::TestWithParam<Dialect> {
 protected:
  void SetUp() override {
    url_ = GetParam() == Dialect::sqlite ? "sqlite:" + (folder_ / "test.db").string()
                                         : PostgresServer::shared().new_database();
    open({.url = url_});
  }

  void open(DatabaseOptions options) {
    database_.reset();
    options.url = url_;
    auto opened = Database::open(options);
    ASSERT_OK(opened);
    database_ = std::move(*opened);
  }

  // Runs a statement that must work.
  Rows run(std::string_view sql, std::initializer_list<Value> parameters = {}) {
    auto rows = database_->run(sql, parameters);
    EXPECT_TRUE(rows.has_value()) << sql << "\n" << ::testing::PrintToString(rows.error());
    return rows.value_or(Rows());
  }

  // Runs several statements that must work.
  void script(std::string_view sql) {
    auto connection = database_->borrow();
    ASSERT_OK(connection);
    ASSERT_OK((*connection)->script(sql));
  }

  std::int64_t count(const std::string& table) {
    return run("select count(*) from " + table).single_integer().value_or(-1);
  }

  sys::TempFolder folder_;
  std::string url_;
  std::unique_ptr<Database> database_;
};

inline std::string dialect_name(const ::testing::TestParamInfo<Dialect>& info) {
  return std::string(to_string(info.param));
}

#define FOR_EACH_DATABASE(suite)                                                               \
  INSTANTIATE_TEST_SUITE_P(On, suite, ::testing::Values(Dialect::sqlite, Dialect::postgresql), \
                           dialect_name)

}  // namespace corral::store
