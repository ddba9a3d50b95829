// Each file in cases/ is a configuration; the .txt beside it says what Corral answers: "ok" or one
// line a problem.
#include <gtest/gtest.h>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/tests/support/source_dir.hpp"
#include "config/config.hpp"

namespace corral::config::cases_test {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ConfigCases, AnswerAsWritten) {
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(test::source_file("src/config/tests/cases"))) {
    if (entry.path().extension() == ".txt") continue;
    ++cases;
    SCOPED_TRACE(entry.path().filename());
    auto loaded = load({.text = content(entry.path()), .file_name = entry.path().filename()});
    std::string answer = loaded ? "ok" : loaded.error().message;
    fs::path expected = entry.path();
    EXPECT_EQ(answer + "\n", content(expected.replace_extension(".txt")));
    EXPECT_EQ(answer.find("sk-top-secret"), std::string::npos);
  }
  EXPECT_GE(cases, 20);
}

}  // namespace
}  // namespace corral::config::cases_test
