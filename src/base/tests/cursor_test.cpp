#include "base/cursor.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace corral::cursor_test {
namespace {

TEST(Cursor, PutsTextsAndNumbersOneAfterTheOther) {
  char room[100];
  Cursor out{room};
  out.put("n=");
  out.put_number(std::numeric_limits<std::int64_t>::min());
  out.put(' ');
  out.put(std::string_view());  // of a request that was refused before it had a path
  out.put_number(0u);
  EXPECT_EQ(std::string_view(room, out.size_since(room)), "n=-9223372036854775808 0");
}

}  // namespace
}  // namespace corral::cursor_test
