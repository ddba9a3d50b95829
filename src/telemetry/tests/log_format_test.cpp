#include "telemetry/log_format.hpp"

#include <gtest/gtest.h>
#include <limits>

namespace corral::telemetry::log_format_test {
namespace {

using std::chrono::milliseconds;

const auto kTime = std::chrono::system_clock::time_point(milliseconds(1795222923456));

std::string text(LogLevel level, std::string_view message, std::vector<LogField> fields = {},
                 Colour colour = Colour::off) {
  std::string out;
  append_text_line(out, kTime, {level, "engines", message, fields}, colour);
  return out;
}

std::string as_json(std::string_view message, std::vector<LogField> fields = {}) {
  std::string out;
  append_json_line(out, kTime, {LogLevel::info, "engines", message, fields});
  return out;
}

TEST(LogText, IsOneReadableLine) {
  EXPECT_EQ(text(LogLevel::info, "engine ready", {{"model", "tiny"}, {"port", 4711}}),
            "2026-11-21T01:02:03.456Z INFO  engines engine ready model=tiny port=4711\n");
}

TEST(LogText, PadsEveryLevelToFive) {
  EXPECT_NE(text(LogLevel::trace, "x").find(" TRACE engines x"), std::string::npos);
  EXPECT_NE(text(LogLevel::debug, "x").find(" DEBUG engines x"), std::string::npos);
  EXPECT_NE(text(LogLevel::warn, "x").find(" WARN  engines x"), std::string::npos);
  EXPECT_NE(text(LogLevel::error, "x").find(" ERROR engines x"), std::string::npos);
  EXPECT_NE(text(LogLevel::off, "x").find(" OFF   engines x"), std::string::npos);
}

TEST(LogText, WritesEveryKindOfValue) {
  EXPECT_NE(text(LogLevel::info, "m",
                 {{"s", std::string("a")}, {"n", -3}, {"d", 0.25}, {"b", true}, {"c", false}})
                .find("m s=a n=-3 d=0.25 b=true c=false\n"),
            std::string::npos);
}

TEST(LogText, QuotesValuesThatWouldBeUnclear) {
  EXPECT_NE(text(LogLevel::info, "m", {{"v", "two words"}}).find("v=\"two words\"\n"),
            std::string::npos);
  EXPECT_NE(text(LogLevel::info, "m", {{"v", ""}}).find("v=\"\"\n"), std::string::npos);
  EXPECT_NE(text(LogLevel::info, "m", {{"v", "a=b"}}).find("v=\"a=b\"\n"), std::string::npos);
  EXPECT_NE(text(LogLevel::info, "m", {{"v", "say \"hi\" \\"}}).find(R"(v="say \"hi\" \\")"),
            std::string::npos);
}

TEST(LogText, APeerCannotForgeALineOrMoveTheCursor) {
  std::string line = text(LogLevel::info, "a\r\nb\033[2J\x7f\t", {{"v", "x\ny"}});
  EXPECT_EQ(std::ranges::count(line, '\n'), 1);
  EXPECT_NE(line.find(R"(a\r\nb\x1b[2J\x7f\t v="x\ny")"), std::string::npos) << line;
}

TEST(LogText, KeepsUtf8AndEscapesWhatIsNone) {
  EXPECT_NE(text(LogLevel::info, "grüße 漢字 🐎").find("grüße 漢字 🐎\n"), std::string::npos);
  EXPECT_NE(text(LogLevel::info, "bad \xff\xc3 end").find(R"(bad \xff\xc3 end)"),
            std::string::npos);
  EXPECT_NE(text(LogLevel::info, "csi \xc2\x9b").find(R"(csi \xc2\x9b)"), std::string::npos);
}

TEST(LogText, ColoursTheLevelOnly) {
  EXPECT_NE(text(LogLevel::error, "m", {}, Colour::on).find("Z \033[31mERROR\033[0m engines m\n"),
            std::string::npos);
  EXPECT_NE(text(LogLevel::warn, "m", {}, Colour::on).find("\033[33mWARN "), std::string::npos);
  EXPECT_NE(text(LogLevel::info, "m", {}, Colour::on).find("\033[32mINFO "), std::string::npos);
  EXPECT_NE(text(LogLevel::debug, "m", {}, Colour::on).find("\033[2mDEBUG"), std::string::npos);
}

TEST(LogJson, IsOneObjectALine) {
  EXPECT_EQ(as_json("engine ready", {{"model", "tiny"}, {"port", 4711}, {"ok", true}}),
            R"({"time":"2026-11-21T01:02:03.456Z","level":"info","component":"engines",)"
            R"("message":"engine ready","model":"tiny","port":4711,"ok":true})"
            "\n");
}

TEST(LogJson, EscapesWhatJsonCannotCarry) {
  std::string line =
      as_json("a\n\"b\"\x01",
              {{"inf", std::numeric_limits<double>::infinity()}, {"d", 0.5}, {"no", false}});
  EXPECT_NE(line.find(R"("message":"a\n\"b\"\u0001","inf":null,"d":0.5,"no":false})"),
            std::string::npos)
      << line;
  EXPECT_EQ(std::ranges::count(line, '\n'), 1);
}

TEST(LogTime, RoundsDownAlsoBeforeTheEpoch) {
  std::string out;
  append_timestamp(out, std::chrono::system_clock::time_point(milliseconds(-1)));
  EXPECT_EQ(out, "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace corral::telemetry::log_format_test
