#include "base/percent.hpp"

#include <gtest/gtest.h>

namespace corral::percent_test {
namespace {

TEST(Percent, EncodesAllButUnreserved) {
  EXPECT_EQ(percent_encode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(percent_encode("a b/c:\xC3\xA4%"), "a%20b%2Fc%3A%C3%A4%25");
  EXPECT_EQ(percent_encode(std::string_view("\0", 1)), "%00");
}

TEST(Percent, DecodesWhatWasEncoded) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_decode("%2f%2F"), "//");
  EXPECT_EQ(percent_decode(""), "");
}

TEST(Percent, TwoDigitsFollow) {
  for (std::string_view text : {"%", "%4", "a%4", "%4g", "%g4", "%%41"}) {
    EXPECT_FALSE(percent_decode(text)) << text;
  }
}

}  // namespace
}  // namespace corral::percent_test
