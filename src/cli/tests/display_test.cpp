#include "cli/display.hpp"

#include <gtest/gtest.h>

namespace corral::cli::display_test {
namespace {

using namespace std::chrono_literals;

TEST(TerminalFilter, LetsTextNewlinesAndTabsThrough) {
  EXPECT_EQ(safe_text("a\tb\nc \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80"),
            "a\tb\nc \xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80");
}

TEST(TerminalFilter, ShowsControlCharactersAsPictures) {
  EXPECT_EQ(safe_text("\x1b[2J"), "\xE2\x90\x9B[2J");  // ESC -> U+241B
  EXPECT_EQ(safe_text("a\rb\x07\x7f"),
            "a\xE2\x90\x8D"
            "b\xE2\x90\x87\xE2\x90\xA1");
  EXPECT_EQ(safe_text(std::string_view("\0", 1)), "\xE2\x90\x80");
  EXPECT_EQ(safe_line("a\nb\t"),
            "a\xE2\x90\x8A"
            "b\xE2\x90\x89");
}

TEST(TerminalFilter, NoControlByteEverComesOut) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  for (int c = 0; c < 256; ++c) {
    all += '\xC2';
    all += static_cast<char>(c);
  }
  std::string out = safe_text(all);
  for (std::size_t i = 0; i < out.size(); ++i) {
    auto c = static_cast<unsigned char>(out[i]);
    EXPECT_TRUE(c >= 0x20 || c == '\n' || c == '\t') << int(c);
    EXPECT_NE(c, 0x7F);
    if (c == 0xC2) EXPECT_GE(static_cast<unsigned char>(out[i + 1]), 0xA0);  // no C1
  }
  EXPECT_TRUE(safe_text(out) == out);
}

TEST(TerminalFilter, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_EQ(safe_text("a\x9b"
                      "31mb"),
            "a\xEF\xBF\xBD"
            "31mb");  // an 8-bit CSI
  EXPECT_EQ(safe_text("\xC2\x9B"
                      "x"),
            "\xEF\xBF\xBDx");  // the same as U+009B
  EXPECT_EQ(safe_text("\xE2\x82"), "\xEF\xBF\xBD");
  EXPECT_EQ(safe_text("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(TerminalFilter, AnySplitGivesTheSameText) {
  std::string text = "\xC3\xA4\x1b[0m\xE2\x82\xAC\xF0\x9F\x98\x80\xED\xA0\x80\xC2\x9Bz\xF0\x9F";
  std::string want = safe_text(text);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    TerminalFilter filter;
    std::string got = filter.filter(std::string_view(text).substr(0, cut));
    got += filter.filter(std::string_view(text).substr(cut));
    got += filter.finish();
    EXPECT_EQ(got, want) << "cut at " << cut;
  }
  TerminalFilter filter;
  std::string got;
  for (char c : text) got += filter.filter(std::string_view(&c, 1));
  EXPECT_EQ(got + filter.finish(), want);
}

TEST(TerminalFilter, AWholeCharacterIsNeverHeldBack) {
  TerminalFilter filter;
  EXPECT_EQ(filter.filter("\xC3"), "");
  EXPECT_EQ(filter.filter("\xA4"), "\xC3\xA4");
  EXPECT_EQ(filter.finish(), "");
}

TEST(DisplayWidth, CountsColumns) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("\xC3\xA4"), 1u);
  EXPECT_EQ(display_width("a\xCC\x88"), 1u);                 // a and a combining diaeresis
  EXPECT_EQ(display_width("\xE6\xA8\xA1\xE5\x9E\x8B"), 4u);  // two ideographs
  EXPECT_EQ(display_width("\xF0\x9F\x98\x80"), 2u);
  EXPECT_EQ(display_width("\xFF"), 1u);
}

TEST(Table, AlignsColumnsAndMakesCellsSafe) {
  Table table({{"NAME"}, {"SIZE", Align::right}, {"STATE"}});
  EXPECT_TRUE(table.empty());
  table.add({{"\xE6\xA8\xA1"}, {"9 B"}, {"ready", Tone::good}});
  table.add({{"long\x1b[31m"}, {"10.0 MiB"}, {}});
  EXPECT_EQ(table.render(Paint(false)),
            "NAME           SIZE  STATE\n"
            "\xE6\xA8\xA1              9 B  ready\n"
            "long\xE2\x90\x9B[31m  10.0 MiB  -\n");
  std::string colored = table.render(Paint(true));
  EXPECT_NE(colored.find("\x1b[32mready\x1b[0m"), std::string::npos);
  EXPECT_NE(colored.find("\x1b[1mNAME\x1b[0m"), std::string::npos);
}

TEST(Fields, AlignValues) {
  EXPECT_EQ(render_fields({{"a", "1"}, {"long name", ""}}, Paint(false)),
            "a          1\nlong name  -\n");
}

TEST(Counts, HumanUnits) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1.0K");
  EXPECT_EQ(count_text(999'949), "999.9K");
  EXPECT_EQ(count_text(999'950), "1.0M");
  EXPECT_EQ(count_text(7'241'732'096), "7.2B");
  EXPECT_EQ(count_text(UINT64_MAX), "18446744.1T");
}

std::int64_t unix_seconds(std::string_view text) {
  auto time = parse_rfc3339(text);
  if (!time) return -1;
  return std::chrono::duration_cast<std::chrono::seconds>(time->time_since_epoch()).count();
}

TEST(Rfc3339, Reads) {
  EXPECT_EQ(unix_seconds("1970-01-01T00:00:10Z"), 10);
  EXPECT_EQ(unix_seconds("2026-01-01T00:00:00.123456Z"), 1767225600);
  EXPECT_EQ(unix_seconds("2026-01-01t01:00:00+01:00"), 1767225600);
  EXPECT_EQ(unix_seconds("2025-12-31 22:30:00.5-01:30"), 1767225600);
}

TEST(Rfc3339, RefusesWhatIsNoTime) {
  for (std::string_view text :
       {"", "now", "2026-01-01", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00", "2026-01-01T00:00:00.5", "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+24:00", "2026-01-01X00:00:00Z", "2026-01-01T00:00:00Zx",
        "20x6-01-01T00:00:00Z", "2026-01-01T00:00:00+0100"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(Times, InWords) {
  sys::ManualClock clock;
  auto now = clock.wall();
  EXPECT_EQ(ago(now, now), "just now");
  EXPECT_EQ(ago(now + 5s, now), "just now");
  EXPECT_EQ(ago(now - 1s, now), "1 second ago");
  EXPECT_EQ(ago(now - 59s, now), "59 seconds ago");
  EXPECT_EQ(ago(now - 60s, now), "1 minute ago");
  EXPECT_EQ(ago(now - 47h, now), "47 hours ago");
  EXPECT_EQ(ago(now - 48h, now), "2 days ago");
  EXPECT_EQ(ago(now - 20 * 24h, now), "2 weeks ago");
  EXPECT_EQ(ago(now - 100 * 24h, now), "3 months ago");
  EXPECT_EQ(ago(now - 800 * 24h, now), "2 years ago");
  EXPECT_EQ(in_time(now + 90s, now), "in 1 minute");
  EXPECT_EQ(in_time(now - 1s, now), "now");
  EXPECT_EQ(duration_words(-5s), "0 seconds");
}

}  // namespace
}  // namespace corral::cli::display_test
