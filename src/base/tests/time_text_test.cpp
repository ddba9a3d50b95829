#include "base/time_text.hpp"

#include <gtest/gtest.h>

namespace corral::time_text_test {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;
using namespace std::chrono_literals;

constexpr system_clock::time_point kNow{784111777s};  // Sun, 06 Nov 1994 08:49:37 GMT

TEST(TimeText, Rfc3339WithMilliseconds) {
  EXPECT_EQ(format_time(kNow + 5ms), "1994-11-06T08:49:37.005Z");
}

TEST(RetryAfter, Seconds) {
  EXPECT_EQ(parse_retry_after("0", kNow), 0s);
  EXPECT_EQ(parse_retry_after(" 120 ", kNow), 120s);
  EXPECT_EQ(parse_retry_after("999999999", kNow), seconds(86'400));
}

TEST(RetryAfter, Dates) {
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:07 GMT", kNow), 30s);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:38 GMT", kNow + 200ms), 1s);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", kNow), 0s);
  EXPECT_EQ(parse_retry_after("Fri, 31 Dec 2100 23:59:60 GMT", kNow), seconds(86'400));
}

TEST(RetryAfter, AnythingElseIsNone) {
  for (const char* text :
       {"", "-1", "+1", "1.5", "soon", "1e3", "9999999999", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, xx Nov 1994 08:49:37 GMT"}) {
    EXPECT_FALSE(parse_retry_after(text, kNow)) << text;
  }
}

}  // namespace
}  // namespace corral::time_text_test
