#include "base/error.hpp"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/bug.hpp"
#include "base/ids.hpp"

namespace corral::error_test {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) {
    return fail(ErrorCode::invalid_argument, "odd").hint("give an even number").field("number");
  }
  return number / 2;
}

Result<int> quarter(int number) {
  CORRAL_TRY(int once, half(number));
  CORRAL_TRY(int twice, half(once));
  return twice;
}

Result<void> check(int number) {
  CORRAL_CHECK(half(number));
  return {};
}

TEST(Error, TravelsThroughTry) {
  EXPECT_EQ(quarter(8).value(), 2);
  auto error = quarter(6).error();
  EXPECT_EQ(error.describe(), "odd (give an even number)");
  EXPECT_EQ(error.param, "number");
  EXPECT_TRUE(check(2).has_value());
  EXPECT_FALSE(check(3).has_value());
}

TEST(Error, EveryCodeHasNameAndStatus) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::io); ++i) {
    auto code = static_cast<ErrorCode>(i);
    EXPECT_NE(to_string(code), "unknown");
    EXPECT_GE(http_status(code), 400);
  }
}

TEST(Error, KeepsTheOsReason) {
  auto error = fail_os("cannot open x", ENOENT);
  EXPECT_EQ(error.code, ErrorCode::io);
  EXPECT_EQ(error.message, "cannot open x: No such file or directory");
  EXPECT_EQ(fail(ErrorCode::unavailable, "x").after(std::chrono::seconds(3)).retry_after->count(),
            3);
}

TEST(Bug, DiesInDebugAndCountsOtherwise) {
#ifdef NDEBUG
  auto before = bugs_seen();
  BUG("impossible");
  EXPECT_EQ(bugs_seen(), before + 1);
#else
  EXPECT_DEATH(BUG("impossible"), "impossible");
#endif
}

TEST(Ids, AreDistinctAndHashable) {
  ModelName a("x"), b("y");
  EXPECT_LT(a, b);
  EXPECT_EQ(std::hash<ModelName>{}(a), std::hash<ModelName>{}(ModelName("x")));
  EXPECT_TRUE(ModelName{}.empty());
}

}  // namespace
}  // namespace corral::error_test
