#include "base/json.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace corral::json::json_test {
namespace {

TEST(Json, RoundTripsReadably) {
  auto value =
      json::parse(R"({"t":0.7,"n":1.0,"i":-3,"u":18446744073709551615,"a":[true,null,"x\n"]})");
  ASSERT_TRUE(value.has_value());
  EXPECT_EQ(json::serialize(*value),
            R"({"t":0.7,"n":1.0,"i":-3,"u":18446744073709551615,"a":[true,null,"x\n"]})");
  EXPECT_EQ(pretty(parse(R"({"a":[1],"b":{}})").value()),
            "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}");
}

TEST(Json, ErrorsCarryThePosition) {
  auto error = parse("{\"a\":1,\n\"b\":tru1}").error();
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_NE(error.message.find("line 2"), std::string::npos) << error.message;
  EXPECT_NE(parse("{\"a\":1} x").error().message.find("extra text"), std::string::npos);
  EXPECT_NE(parse("{\"a\":").error().message.find("ends too early"), std::string::npos);
  EXPECT_FALSE(parse("").has_value());
}

TEST(Json, RefusesWhatJsonCannotCarry) {
  EXPECT_FALSE(parse("{\"t\":[1e400]}").has_value());
  std::string deep(kMaxDepth + 1, '[');
  EXPECT_FALSE(parse(deep + std::string(kMaxDepth + 1, ']')).has_value());
  std::string fine(kMaxDepth - 1, '[');
  EXPECT_TRUE(parse(fine + std::string(kMaxDepth - 1, ']')).has_value());
}

TEST(Json, QuotesHostileText) {
  EXPECT_EQ(quoted("a\"b\\c\n\r\t\x01"), R"("a\"b\\c\n\r\t\u0001")");
  EXPECT_EQ(quoted("x\xC0y"), "\"x\xEF\xBF\xBDy\"");
  EXPECT_EQ(quoted("🐎"), "\"🐎\"");
}

}  // namespace
}  // namespace corral::json::json_test
