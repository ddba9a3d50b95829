#include "bindings/openai/event_splitter.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"

namespace corral::bindings::openai::event_splitter_test {
namespace {

std::vector<std::string> events_of(const std::vector<std::string_view>& pieces, std::string* rest) {
  EventSplitter splitter;
  std::vector<std::string> result;
  for (auto piece : pieces) {
    std::string copy(piece);  // its memory is gone after the loop, as a read buffer's is
    EXPECT_TRUE(splitter.feed(copy));
    while (auto event = splitter.next()) result.emplace_back(*event);
  }
  if (rest != nullptr) *rest = splitter.rest();
  return result;
}

constexpr std::string_view kStreams[] = {
    "data: a\n\ndata: b\n\ndata: [DONE]\n\n",
    "data: a\r\n\r\ndata: b\r\n\r\n: ping\r\n\r\n",
    "data: a\n\r\ndata: b\r\n\n\ndata: c\n\nunfinished",
    ": comment\nevent: x\ndata: 1\ndata: 2\n\n\n\n\r\n\r\ndata: 3\n\n",
    "data: \r\rinside\n\r \n\ndata: \xE2\x82\xAC\n\n",
    "\n\n",
    "no end\n",
};

TEST(EventSplitter, CutsWholeEvents) {
  std::string rest;
  EXPECT_EQ(events_of({kStreams[0]}, &rest),
            (std::vector<std::string>{"data: a\n\n", "data: b\n\n", "data: [DONE]\n\n"}));
  EXPECT_EQ(rest, "");
  EXPECT_EQ(events_of({kStreams[1]}, &rest),
            (std::vector<std::string>{"data: a\r\n\r\n", "data: b\r\n\r\n", ": ping\r\n\r\n"}));
  events_of({kStreams[2]}, &rest);
  EXPECT_EQ(rest, "unfinished");
}

TEST(EventSplitter, TwoCutsAnywhereChangeNothing) {
  for (auto stream : kStreams) {
    std::string whole_rest;
    auto whole = events_of({stream}, &whole_rest);
    std::string joined;
    for (const auto& event : whole) joined += event;
    EXPECT_EQ(joined + whole_rest, stream);
    for (std::size_t i = 0; i <= stream.size(); ++i) {
      for (std::size_t j = i; j <= stream.size(); ++j) {
        std::string rest;
        auto cut =
            events_of({stream.substr(0, i), stream.substr(i, j - i), stream.substr(j)}, &rest);
        ASSERT_EQ(cut, whole) << json::quoted(stream) << " cut at " << i << " and " << j;
        ASSERT_EQ(rest, whole_rest);
      }
    }
  }
}

TEST(EventSplitter, ByteByByte) {
  for (auto stream : kStreams) {
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < stream.size(); ++i) bytes.push_back(stream.substr(i, 1));
    EXPECT_EQ(events_of(bytes, nullptr), events_of({stream}, nullptr));
  }
}

TEST(EventSplitter, WholeEventsAreNotCopied) {
  EventSplitter splitter;
  std::string bytes = "data: a\n\ndata: b\n\n";
  ASSERT_TRUE(splitter.feed(bytes));
  EXPECT_EQ(splitter.next()->data(), bytes.data());
  EXPECT_EQ(splitter.next()->data(), bytes.data() + 9);
  EXPECT_FALSE(splitter.next());
  EXPECT_FALSE(splitter.next());
}

TEST(EventSplitter, AnEventThatNeverEndsIsRefused) {
  EventSplitter splitter;
  std::string megabyte(1u << 20, 'x');
  Result<void> fed;
  int accepted = 0;
  while ((fed = splitter.feed(megabyte)) && accepted < 100) {
    EXPECT_FALSE(splitter.next());
    ++accepted;
  }
  ASSERT_FALSE(fed);
  EXPECT_EQ(accepted, 16);
  EXPECT_EQ(fed.error().code, ErrorCode::upstream);
}

TEST(EventData, JoinsDataLinesAlone) {
  std::string out = "old";
  EXPECT_TRUE(event_data("data: a\n\n", out));
  EXPECT_EQ(out, "a");
  EXPECT_TRUE(event_data("data:a\r\ndata:  b\r\n\r\n", out));
  EXPECT_EQ(out, "a\n b");
  EXPECT_TRUE(event_data(": c\nevent: x\ndata:\nid: 5\n\n", out));
  EXPECT_EQ(out, "");
  EXPECT_FALSE(event_data(": ping\n\n", out));
  EXPECT_FALSE(event_data("database: x\n\n", out));
  EXPECT_EQ(out, "");
  EXPECT_FALSE(event_data("", out));
}

}  // namespace
}  // namespace corral::bindings::openai::event_splitter_test
