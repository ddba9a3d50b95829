#include "net/sse.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace corral::net::sse_test {
namespace {

struct Seen {
  std::string type, data, last_id;
  bool operator==(const Seen&) const = default;
};

void PrintTo(const Seen& seen, std::ostream* out) {
  *out << "{" << seen.type << "|" << seen.data << "|" << seen.last_id << "}";
}

std::vector<Seen> take_all(SseParser& parser) {
  std::vector<Seen> out;
  while (true) {
    auto event = parser.next();
    if (!event) {
      ADD_FAILURE() << event.error().describe();
      return out;
    }
    if (*event == nullptr) return out;
    out.push_back(
        {std::string((*event)->type), std::string((*event)->data), std::string((*event)->last_id)});
  }
}

std::vector<Seen> parse(std::string_view text) {
  SseParser parser;
  parser.feed(text);
  return take_all(parser);
}

std::vector<Seen> parse_in_pieces(std::string_view text, std::size_t piece) {
  SseParser parser;
  std::vector<Seen> out;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    parser.feed(text.substr(at, piece));
    for (Seen& seen : take_all(parser)) out.push_back(std::move(seen));
  }
  return out;
}

using Events = std::vector<Seen>;

TEST(Sse, OneEventADataLine) {
  EXPECT_EQ(parse("data: hello\n\n"), (Events{{"message", "hello", ""}}));
  EXPECT_EQ(parse("data:hello\n\ndata:  two spaces\n\n"),
            (Events{{"message", "hello", ""}, {"message", " two spaces", ""}}));
}

TEST(Sse, JoinsDataLines) {
  EXPECT_EQ(parse("data: YHOO\ndata: +2\ndata: 10\n\n"), (Events{{"message", "YHOO\n+2\n10", ""}}));
}

// The examples of section 9.2.6 of the standard.
TEST(Sse, ExamplesOfTheStandard) {
  EXPECT_EQ(parse(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
                  "data:  third event\n"),
            (Events{{"message", "first event", "1"}, {"message", "second event", ""}}));
  EXPECT_EQ(parse("data\n\ndata\ndata\n\ndata:"),
            (Events{{"message", "", ""}, {"message", "\n", ""}}));
  EXPECT_EQ(parse("data:test\n\ndata: test\n\n"),
            (Events{{"message", "test", ""}, {"message", "test", ""}}));
}

TEST(Sse, NamesAndIds) {
  EXPECT_EQ(parse("event: add\nid: 7\ndata: 1\n\ndata: 2\n\n"),
            (Events{{"add", "1", "7"}, {"message", "2", "7"}}));
  EXPECT_EQ(parse("event: a\nevent: b\ndata: 1\n\n"), (Events{{"b", "1", ""}}));
  EXPECT_EQ(parse("id: 5\ndata: 1\n\nid: 6\n\ndata: 2\n\n"),
            (Events{{"message", "1", "5"}, {"message", "2", "6"}}));
}

TEST(Sse, AnEventWithoutDataIsDroppedWithItsName) {
  EXPECT_EQ(parse("event: gone\n\ndata: x\n\n"), (Events{{"message", "x", ""}}));
  EXPECT_EQ(parse("\n\n\n"), Events{});
}

TEST(Sse, AnIdWithNulIsIgnored) {
  std::string text = "id: 1\ndata: a\n\nid: 2";
  text += '\0';
  text += "\ndata: b\n\n";
  EXPECT_EQ(parse(text), (Events{{"message", "a", "1"}, {"message", "b", "1"}}));
}

TEST(Sse, UnknownFieldsAndCommentsAreSkipped) {
  EXPECT_EQ(parse(": ping\n:\nfoo: bar\nDATA: no\n data: no\ndata: x\n\n"),
            (Events{{"message", "x", ""}}));
}

TEST(Sse, EveryLineBreak) {
  Events want{{"message", "a\nb", ""}, {"message", "c", ""}};
  EXPECT_EQ(parse("data: a\ndata: b\n\ndata: c\n\n"), want);
  EXPECT_EQ(parse("data: a\rdata: b\r\rdata: c\r\r"), want);
  EXPECT_EQ(parse("data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"), want);
  EXPECT_EQ(parse("data: a\rdata: b\n\r\ndata: c\n\r"), want);
}

TEST(Sse, ACarriageReturnEndsTheLineAtOnce) {
  SseParser parser;
  parser.feed("data: now\r\n\r");  // the LF of the last CRLF is still under way
  EXPECT_EQ(take_all(parser), (Events{{"message", "now", ""}}));
  parser.feed("\ndata: next\n\n");
  EXPECT_EQ(take_all(parser), (Events{{"message", "next", ""}}));
}

TEST(Sse, ALineFeedAfterACarriageReturnIsNotAnEmptyLine) {
  SseParser parser;
  parser.feed("data: a\r");
  EXPECT_EQ(take_all(parser), Events{});
  parser.feed("\n");
  EXPECT_EQ(take_all(parser), Events{});
  parser.feed("data: b\r");
  EXPECT_EQ(take_all(parser), Events{});
  parser.feed("\r");
  EXPECT_EQ(take_all(parser), (Events{{"message", "a\nb", ""}}));
}

TEST(Sse, ByteOrderMarkOnlyAtTheStart) {
  EXPECT_EQ(parse("\xEF\xBB\xBF"
                  "data: x\n\n"),
            (Events{{"message", "x", ""}}));
  EXPECT_EQ(parse("data: x\n\n\xEF\xBB\xBF"
                  "data: y\n\n"),
            (Events{{"message", "x", ""}}));
  EXPECT_EQ(parse("\xEF\xBB"
                  "data: x\n\n"),
            Events{});  // an unknown field
}

TEST(Sse, AnySplitGivesTheSameEvents) {
  const std::string text =
      "\xEF\xBB\xBF: hello\r\nevent: one\rid: 1\ndata: \xC3\xA4\r\ndata\r\n\r\n"
      "retry: 250\ndata: {\"a\":1}\n\n\rdata:x\r\revent: y\n\ndata: [DONE]\r\n\r\n";
  Events want = parse(text);
  ASSERT_EQ(want.size(), 4u);
  for (std::size_t piece = 1; piece < text.size(); ++piece) {
    EXPECT_EQ(parse_in_pieces(text, piece), want) << "pieces of " << piece;
  }
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    SseParser parser;
    parser.feed(std::string_view(text).substr(0, cut));
    Events got = take_all(parser);
    parser.feed(std::string_view(text).substr(cut));
    for (Seen& seen : take_all(parser)) got.push_back(std::move(seen));
    EXPECT_EQ(got, want) << "cut at " << cut;
  }
}

TEST(Sse, SeveralFeedsBeforeTheFirstLook) {
  SseParser parser;
  parser.feed("data: a\n");
  parser.feed("\ndata: b\n\n");
  auto first = parser.next();
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->data, "a");
  parser.feed("data: c\n\n");
  EXPECT_EQ(take_all(parser), (Events{{"message", "b", ""}, {"message", "c", ""}}));
}

TEST(Sse, Retry) {
  SseParser parser;
  parser.feed("retry: 1500\n");
  EXPECT_EQ(take_all(parser), Events{});
  EXPECT_EQ(parser.retry(), std::chrono::milliseconds(1500));
  parser.feed("retry: 12x\nretry: -1\nretry:\nretry: 9999999999999999999999\n");
  EXPECT_EQ(take_all(parser), Events{});
  EXPECT_EQ(parser.retry(), std::chrono::milliseconds(1500));
}

TEST(Sse, IdleTellsWhetherAnEventWasCutOff) {
  SseParser parser;
  EXPECT_TRUE(parser.idle());
  for (std::string_view piece : {"da", "ta: x\n"}) {
    parser.feed(piece);
    EXPECT_EQ(take_all(parser), Events{});
    EXPECT_FALSE(parser.idle()) << piece;
  }
  parser.feed("\n");
  auto event = parser.next();
  ASSERT_TRUE(event && *event);
  EXPECT_TRUE(parser.idle());
  parser.feed(": only a comment\n");
  EXPECT_EQ(take_all(parser), Events{});
  EXPECT_TRUE(parser.idle());
  parser.feed("event: e\n");
  EXPECT_EQ(take_all(parser), Events{});
  EXPECT_FALSE(parser.idle());
}

TEST(Sse, ALineAtTheLimitPassesAndOnePastItFails) {
  for (std::size_t piece : {1u, 7u, 1000u}) {
    for (std::size_t extra : {0u, 1u}) {
      SseParser parser({.line_bytes = 20, .event_bytes = 1000});
      std::string text = "data: " + std::string(14 + extra, 'x') + "\n\n";
      std::size_t events = 0;
      bool failed = false;
      for (std::size_t at = 0; at < text.size() && !failed; at += piece) {
        parser.feed(std::string_view(text).substr(at, piece));
        while (true) {
          auto event = parser.next();
          failed = !event;
          if (failed) EXPECT_EQ(event.error().code, ErrorCode::upstream);
          if (failed || *event == nullptr) break;
          ++events;
        }
      }
      EXPECT_EQ(failed, extra == 1) << piece;
      EXPECT_EQ(events, extra == 1 ? 0u : 1u) << piece;
    }
  }
}

TEST(Sse, AnEndlessLineFailsWithoutItsBreak) {
  SseParser parser({.line_bytes = 8, .event_bytes = 100});
  parser.feed("data: 123");
  auto event = parser.next();
  ASSERT_FALSE(event);
  EXPECT_NE(event.error().describe().find("too long"), std::string::npos);
  parser.feed("\n\ndata: x\n\n");  // the error stays
  EXPECT_FALSE(parser.next());
}

TEST(Sse, AnEventOfManyLinesIsBounded) {
  SseParser parser({.line_bytes = 100, .event_bytes = 10});
  parser.feed("data: 1234\ndata: 5678\n\n");
  auto event = parser.next();
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->data, "1234\n5678");
  parser.feed("data: 1234\ndata: 56789\ndata: 1\n");
  EXPECT_FALSE(parser.next());
}

TEST(Sse, ManySmallFeedsOfOneLongLineAreNotQuadratic) {
  SseParser parser;
  parser.feed("data: ");
  for (int i = 0; i < 20000; ++i) {
    parser.feed("0123456789");
    auto event = parser.next();
    ASSERT_TRUE(event);
    ASSERT_EQ(*event, nullptr);
  }
  parser.feed("\n\n");
  auto event = parser.next();
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->data.size(), 200000u);
}

}  // namespace
}  // namespace corral::net::sse_test
