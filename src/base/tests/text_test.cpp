#include "base/text.hpp"

#include <gtest/gtest.h>

namespace corral::text_test {
namespace {

using std::chrono::milliseconds;

TEST(Text, TrimSplitJoinLower) {
  EXPECT_EQ(trim("  a b\r\n"), "a b");
  EXPECT_EQ(trim(" \t "), "");
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
  EXPECT_EQ(to_lower("AbC-Ü"), "abc-Ü");
  EXPECT_TRUE(iequals("Content-Type", "content-type"));
  EXPECT_FALSE(iequals("a", "ab"));
  std::vector<std::string> parts{"x", "y"};
  EXPECT_EQ(join(parts, ", "), "x, y");
}

TEST(Text, EditDistanceCountsSwapsAsOne) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("listen", "lsiten"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Text, NearestFindsSlipsAndLeavesStrangersOut) {
  std::vector<std::string> names{"corral-tiny", "llama-3.2-1b", "qwen2.5-7b"};
  EXPECT_EQ(nearest("coral-tiny", names), (std::vector<std::string>{"corral-tiny"}));
  EXPECT_EQ(nearest("LLAMA-3.2", names), (std::vector<std::string>{"llama-3.2-1b"}));
  EXPECT_TRUE(nearest("gpt-4o", names).empty());
  EXPECT_TRUE(nearest(std::string(100000, 'x'), names).empty());
}

TEST(Text, ParsesWholeNumbersOnly) {
  EXPECT_EQ(parse_int(" 42 ").value(), 42);
  EXPECT_EQ(parse_int("-7").value(), -7);
  EXPECT_FALSE(parse_int("4x").has_value());
  EXPECT_FALSE(parse_int("").has_value());
  EXPECT_FALSE(parse_int("99999999999999999999").has_value());
}

TEST(Text, Durations) {
  EXPECT_EQ(parse_duration("250ms").value(), milliseconds(250));
  EXPECT_EQ(parse_duration("1h30m").value(), milliseconds(5400000));
  EXPECT_EQ(parse_duration("2").value(), milliseconds(2000));
  EXPECT_EQ(parse_duration("1.5s").value(), milliseconds(1500));
  EXPECT_EQ(parse_duration("0").value(), milliseconds(0));
  for (auto bad : {"", "s", "-5s", "5 parsecs", "1h30", "1e400s", "99999999999999d"}) {
    EXPECT_FALSE(parse_duration(bad).has_value()) << bad;
  }
  EXPECT_EQ(format_duration(milliseconds(5400500)), "1h30m500ms");
  EXPECT_EQ(format_duration(milliseconds(0)), "0s");
}

TEST(Text, Bytes) {
  EXPECT_EQ(parse_bytes("4096").value(), 4096u);
  EXPECT_EQ(parse_bytes("64KiB").value(), 65536u);
  EXPECT_EQ(parse_bytes("8 MB").value(), 8000000u);
  EXPECT_EQ(parse_bytes("1.5GiB").value(), 1610612736u);
  for (auto bad : {"", "x", "-1", "5 QB", "1e30TB"}) EXPECT_FALSE(parse_bytes(bad)) << bad;
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
}

TEST(Text, Utf8) {
  EXPECT_TRUE(is_utf8("Grüße 🐎"));
  EXPECT_FALSE(is_utf8("\xC0\x80"));          // overlong
  EXPECT_FALSE(is_utf8("\xED\xA0\x80"));      // surrogate
  EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));  // past U+10FFFF
  EXPECT_FALSE(is_utf8("abc\xE2\x82"));       // cut short
}

TEST(Text, Wildcards) {
  EXPECT_TRUE(wildcard_match("openai/*", "openai/gpt"));
  EXPECT_TRUE(wildcard_match("*a?c*", "xxabcyy"));
  EXPECT_FALSE(wildcard_match("a*b", "acd"));
  EXPECT_TRUE(wildcard_match("*", ""));
  EXPECT_FALSE(wildcard_match("?", ""));
}

TEST(Text, ConstantTimeEqual) {
  EXPECT_TRUE(constant_time_equal("secret", "secret"));
  EXPECT_FALSE(constant_time_equal("secret", "secreT"));
  EXPECT_FALSE(constant_time_equal("secret", "secrets"));
  EXPECT_FALSE(constant_time_equal("", "x"));
}

}  // namespace
}  // namespace corral::text_test
