#include "cli/history.hpp"

#include <gtest/gtest.h>

#include "cli/tests/fakes.hpp"

namespace corral::cli::history_test {
namespace {

using Lines = std::vector<std::string>;

TEST(History, KeepsLinesInAPrivateFile) {
  MemoryFiles files;
  HistoryFile history(files, "/data/corral/history");
  EXPECT_EQ(history.load(), Lines{});
  ASSERT_TRUE(history.add("one"));
  ASSERT_TRUE(history.add("two"));
  EXPECT_EQ(history.load(), (Lines{"one", "two"}));
  EXPECT_EQ(files.modes["/data/corral/history"], 0600u);
  EXPECT_EQ(files.modes["/data/corral"], 0700u);
}

TEST(History, SkipsEmptyRepeatedAndBrokenLines) {
  MemoryFiles files;
  HistoryFile history(files, "/h/history");
  for (const char* line : {"one", "one", "", "   ", "a\nb", "a\rb", "two", "one"}) {
    ASSERT_TRUE(history.add(line));
  }
  EXPECT_EQ(history.load(), (Lines{"one", "two", "one"}));
}

TEST(History, KeepsWhatAnotherSessionAdded) {
  MemoryFiles files;
  HistoryFile first(files, "/h/history"), second(files, "/h/history");
  ASSERT_TRUE(first.add("a"));
  ASSERT_TRUE(second.add("b"));
  ASSERT_TRUE(first.add("c"));
  EXPECT_EQ(second.load(), (Lines{"a", "b", "c"}));
}

TEST(History, IsBounded) {
  MemoryFiles files;
  HistoryFile history(files, "/h/history");
  std::string text;
  for (std::size_t i = 0; i < HistoryFile::kLines + 10; ++i) text += std::to_string(i) + "\n";
  files.files["/h/history"] = text;
  EXPECT_EQ(history.load().size(), HistoryFile::kLines);
  EXPECT_EQ(history.load().front(), "10");
  ASSERT_TRUE(history.add("last"));
  EXPECT_EQ(history.load().size(), HistoryFile::kLines);
  EXPECT_EQ(history.load().back(), "last");
}

TEST(History, AFullDiskIsAnErrorThatLosesNothing) {
  MemoryFiles files;
  HistoryFile history(files, "/h/history");
  ASSERT_TRUE(history.add("one"));
  files.full = true;
  EXPECT_FALSE(history.add("two"));
  EXPECT_EQ(history.load(), Lines{"one"});
}

}  // namespace
}  // namespace corral::cli::history_test
