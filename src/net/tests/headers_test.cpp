#include "net/headers.hpp"

#include <gtest/gtest.h>

namespace corral::net::headers_test {
namespace {

TEST(Headers, KeepsOrderAndComparesWithoutCase) {
  Headers headers;
  headers.add("Accept", "a");
  headers.add("X-Two", "1");
  headers.add("x-two", "2");
  EXPECT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers.get("ACCEPT"), "a");
  EXPECT_EQ(headers.get("X-TWO"), "1");
  EXPECT_EQ(headers.count("x-Two"), 2u);
  EXPECT_EQ(headers.get("missing"), std::nullopt);
  EXPECT_EQ(headers.count("missing"), 0u);
  EXPECT_EQ(headers[2].name, "x-two");
  EXPECT_EQ(headers[2].value, "2");
}

TEST(Headers, SetReplacesAll) {
  Headers headers;
  headers.add("A", "1");
  headers.add("B", "x");
  headers.add("a", "2");
  headers.set("a", "3");
  EXPECT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers.get("A"), "3");
  EXPECT_EQ(headers.get("B"), "x");
  headers.remove("b");
  EXPECT_EQ(headers.size(), 1u);
  headers.remove("a");
  EXPECT_EQ(headers.size(), 0u);
}

TEST(Headers, TakesViewsIntoItself) {
  Headers headers;
  headers.add("first", "value");
  for (int i = 0; i < 100; ++i) headers.add(*headers.get("first"), headers[0].name);
  EXPECT_EQ(headers.size(), 101u);
  EXPECT_EQ(headers.get("value"), "first");
  headers.set("first", *headers.get("value"));
  EXPECT_EQ(headers.get("first"), "first");
}

TEST(Headers, FindsTokensInLists) {
  Headers headers;
  headers.add("Connection", "keep-alive , Upgrade");
  headers.add("connection", ",, x");
  EXPECT_TRUE(headers.has_token("connection", "upgrade"));
  EXPECT_TRUE(headers.has_token("Connection", "Keep-Alive"));
  EXPECT_TRUE(headers.has_token("Connection", "X"));
  EXPECT_FALSE(headers.has_token("Connection", "up"));
  EXPECT_FALSE(headers.has_token("Connection", ""));
  EXPECT_FALSE(headers.has_token("Other", "x"));
}

TEST(Headers, ClearKeepsNothingButMemory) {
  Headers headers;
  headers.add("a", "b");
  headers.clear();
  EXPECT_EQ(headers.size(), 0u);
  headers.add("c", "");
  EXPECT_EQ(headers.get("c"), "");
}

}  // namespace
}  // namespace corral::net::headers_test
