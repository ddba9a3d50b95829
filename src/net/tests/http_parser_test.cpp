#include "net/http_parser.hpp"

#include <gtest/gtest.h>

#include "net/http_server.hpp"

namespace corral::net::http_parser_test {
namespace {

// Feeds `text` in pieces of `step` bytes as a connection does: what was not consumed comes again.
template <class Feed>
std::size_t feed_all(std::string_view text, std::size_t step, Feed feed) {
  std::string kept;
  for (std::size_t at = 0; at < text.size(); at += step) {
    kept.append(text.substr(at, step));
    std::size_t used = feed(kept);
    kept.erase(0, used);
  }
  return kept.size();
}

struct RequestCase {
  HttpRequest request;
  std::string body;
  RequestParser parser;

  explicit RequestCase(ParseLimits limits = {}) : parser(request, body, limits) {}
  std::size_t feed(std::string_view text, std::size_t step = 1 << 20) {
    return feed_all(text, step, [this](std::string& kept) { return parser.feed(kept); });
  }
};

constexpr std::string_view kPost =
    "POST /v1/x?a=b HTTP/1.1\r\nHost: localhost:8585\r\nContent-Type: application/json\r\n"
    "Content-Length: 11\r\n\r\nhello world";

TEST(RequestParser, ParsesInAnyPieces) {
  for (std::size_t step : {1, 2, 3, 5, 7, 20, 1000}) {
    RequestCase test;
    EXPECT_EQ(test.feed(kPost, step), 0u) << step;
    ASSERT_TRUE(test.parser.done()) << step << test.parser.failure().reason;
    EXPECT_EQ(test.request.method, "POST");
    EXPECT_EQ(test.request.target, "/v1/x?a=b");
    EXPECT_EQ(test.request.path, "/v1/x");
    EXPECT_EQ(test.request.query, "a=b");
    EXPECT_EQ(test.request.headers.get("content-type"), "application/json");
    EXPECT_EQ(test.body, "hello world");
    EXPECT_EQ(test.parser.content_length(), 11u);
    EXPECT_TRUE(test.parser.keep_alive());
  }
}

TEST(RequestParser, ParsesChunksInAnyPieces) {
  std::string_view text =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5\r\nhello\r\n1;name=\"v;x\"\r\n \r\nA\r\n0123456789\r\n0\r\nX-Trailer: evil\r\n\r\n";
  for (std::size_t step : {1, 2, 3, 5, 7, 20, 1000}) {
    RequestCase test;
    EXPECT_EQ(test.feed(text, step), 0u) << step;
    ASSERT_TRUE(test.parser.done()) << step << test.parser.failure().reason;
    EXPECT_EQ(test.body, "hello 0123456789");
    EXPECT_EQ(test.request.headers.get("x-trailer"), std::nullopt);
  }
}

// With no chunk before it, the last one reaches Beast in the shortest pieces there are.
TEST(RequestParser, ParsesALastChunkInAnyPieces) {
  std::string_view head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::string_view last : {"0\r\n\r\n", "0\r\nA: b\r\n\r\n", "000;x\r\nA: b\r\n\r\n"}) {
    for (std::size_t step : {1, 2, 3, 4, 5, 6}) {
      RequestCase test;
      test.feed(head);
      EXPECT_EQ(test.feed(last, step), 0u) << last << step;
      EXPECT_TRUE(test.parser.done()) << last << step;
      EXPECT_EQ(test.body, "");
    }
  }
}

TEST(RequestParser, LeavesTheNextRequestAlone) {
  RequestCase test;
  std::string two = std::string(kPost) + "GET / HTTP/1.1\r\n";
  EXPECT_EQ(test.parser.feed(two), kPost.size());
  EXPECT_TRUE(test.parser.done());
  EXPECT_EQ(test.parser.feed("more"), 0u);
  test.parser.reset();
  EXPECT_FALSE(test.parser.started());
  test.body.clear();
  test.feed("GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(test.parser.done());
  EXPECT_EQ(test.request.path, "/next");
  EXPECT_EQ(test.request.headers.size(), 2u);
  EXPECT_FALSE(test.parser.keep_alive());
}

TEST(RequestParser, KnowsOldClientsAndExpectations) {
  RequestCase old;
  old.feed("GET / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(old.parser.done());
  EXPECT_TRUE(old.parser.http_1_0());
  EXPECT_FALSE(old.parser.keep_alive());
  EXPECT_FALSE(old.parser.expects_continue());
  RequestCase waiting;
  waiting.feed("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n");
  EXPECT_TRUE(waiting.parser.head_done());
  EXPECT_FALSE(waiting.parser.done());
  EXPECT_TRUE(waiting.parser.expects_continue());
  RequestCase options;
  options.feed("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(options.parser.done());
}

struct Refused {
  std::string_view text;
  int status;
};

TEST(RequestParser, RefusesWhatIsDangerous) {
  using namespace std::string_view_literals;
  const Refused cases[] = {
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\nContent-Length: 1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
       "identity\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n", 400},
      {"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n"sv, 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: a\x7f\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nX y: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: h\n\n", 505},
      {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 505},
      {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"get / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
      {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"sv, 400},
  };
  for (const auto& each : cases) {
    for (std::size_t step : {std::size_t{1}, std::size_t{13}, each.text.size()}) {
      RequestCase test;
      test.feed(each.text, step);
      // What is still incomplete was at least not taken for a request.
      EXPECT_FALSE(test.parser.head_done()) << each.text;
      if (step != each.text.size()) continue;
      ASSERT_TRUE(test.parser.failed()) << each.text;
      if (each.status != 505) {
        EXPECT_EQ(test.parser.failure().status, each.status) << each.text;
      } else {
        EXPECT_TRUE(test.parser.failure().status == 505 || test.parser.failure().status == 400);
      }
      EXPECT_FALSE(test.parser.failure().reason.empty());
      EXPECT_EQ(test.parser.feed(kPost), 0u);
    }
  }
}

TEST(RequestParser, LimitsTheHead) {
  ParseLimits limits;
  limits.head_bytes = 512;
  for (std::size_t step : {1, 50, 4000}) {
    RequestCase line(limits);
    line.feed("GET /" + std::string(3000, 'a'), step);
    ASSERT_TRUE(line.parser.failed()) << step;
    EXPECT_EQ(line.parser.failure().status, 431);
    RequestCase field(limits);
    field.feed("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(3000, 'a'), step);
    ASSERT_TRUE(field.parser.failed()) << step;
    EXPECT_EQ(field.parser.failure().status, 431);
    RequestCase many(limits);
    std::string text = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (int i = 0; i < 100; ++i) text += "A: 12345678\r\n";
    many.feed(text, step);
    ASSERT_TRUE(many.parser.failed()) << step;
    EXPECT_EQ(many.parser.failure().status, 431);
  }
  limits.head_bytes = 32 * 1024;
  limits.fields = 10;
  RequestCase crowd(limits);
  std::string text = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 20; ++i) text += "A: 1\r\n";
  crowd.feed(text + "\r\n");
  ASSERT_TRUE(crowd.parser.failed());
  EXPECT_EQ(crowd.parser.failure().status, 431);
}

TEST(RequestParser, LimitsTheBody) {
  RequestCase length;
  length.parser.set_body_limit(10);
  length.feed(kPost);
  EXPECT_TRUE(length.parser.failed());
  EXPECT_TRUE(length.parser.too_large());
  EXPECT_EQ(length.parser.failure().status, 413);
  RequestCase late;
  late.feed(kPost.substr(0, kPost.size() - 1));
  late.parser.set_body_limit(5);
  EXPECT_TRUE(late.parser.too_large());
  RequestCase exact;
  exact.parser.set_body_limit(11);
  exact.feed(kPost);
  EXPECT_TRUE(exact.parser.done());
}

TEST(RequestParser, LimitsChunkHeadersAndTrailers) {
  std::string_view head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  RequestCase extension;
  extension.feed(head);
  extension.feed("1;" + std::string(40'000, 'x'), 1000);
  EXPECT_TRUE(extension.parser.failed());
  RequestCase trailer;
  trailer.feed(head);
  trailer.feed("0\r\nX: " + std::string(40'000, 'x'), 1000);
  EXPECT_TRUE(trailer.parser.failed());
  for (std::string_view bad : {"g\r\nxx", "\r\n\r\n\r\n", "1 \r\nx", "1\r\nxy\r\n0\r\n\r\n",
                               "11111111111111111\r\n", "0\r\nbad trailer\r\n\r\n"}) {
    RequestCase test;
    test.feed(head);
    test.feed(bad);
    EXPECT_FALSE(test.parser.done()) << bad;
    EXPECT_TRUE(test.parser.failed()) << bad;
    EXPECT_EQ(test.parser.failure().status, 400) << bad;
  }
}

// --- answers -------------------------------------------------------------------------------------

struct ResponseCase {
  Headers headers;
  ResponseParser parser;
  std::string body;

  explicit ResponseCase(ParseLimits limits = {}) : parser(headers, limits) {}
  std::size_t feed(std::string_view text, std::size_t step = 1 << 20) {
    return feed_all(text, step, [this](std::string& kept) {
      std::size_t used = parser.feed(kept);
      body += parser.body();
      return used;
    });
  }
};

TEST(ResponseParser, ParsesInAnyPieces) {
  for (std::size_t step : {1, 2, 3, 5, 7, 20, 1000}) {
    ResponseCase length;
    length.feed("HTTP/1.1 201 Created\r\nX: y\r\nContent-Length: 5\r\n\r\nhello", step);
    ASSERT_TRUE(length.parser.done()) << step;
    EXPECT_EQ(length.parser.status(), 201);
    EXPECT_EQ(length.headers.get("x"), "y");
    EXPECT_EQ(length.body, "hello");
    EXPECT_TRUE(length.parser.keep_alive());
    ResponseCase chunks;
    chunks.feed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n10;x\r\n0123456789abcdef\r\n0\r\nT: v\r\n\r\n",
        step);
    ASSERT_TRUE(chunks.parser.done()) << step << chunks.parser.reason();
    EXPECT_EQ(chunks.body, "abcde0123456789abcdef");
    EXPECT_EQ(chunks.headers.size(), 1u);
  }
}

TEST(ResponseParser, EndsWithTheConnection) {
  ResponseCase test;
  test.feed("HTTP/1.1 200 OK\r\n\r\nsome");
  test.feed(" text");
  EXPECT_FALSE(test.parser.done());
  test.parser.end_of_input();
  EXPECT_TRUE(test.parser.done());
  EXPECT_EQ(test.body, "some text");
  EXPECT_FALSE(test.parser.keep_alive());
  ResponseCase cut;
  cut.feed("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
  cut.parser.end_of_input();
  EXPECT_TRUE(cut.parser.failed());
  ResponseCase head;
  head.feed("HTTP/1.1 200 OK\r\nContent-");
  head.parser.end_of_input();
  EXPECT_TRUE(head.parser.failed());
}

TEST(ResponseParser, KnowsAnswersWithoutBody) {
  ResponseCase head;
  head.parser.reset(true);
  head.feed("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
  EXPECT_TRUE(head.parser.done());
  for (std::string_view status : {"204 No Content", "304 Not Modified", "100 Continue"}) {
    ResponseCase test;
    test.feed("HTTP/1.1 " + std::string(status) + "\r\n\r\n");
    EXPECT_TRUE(test.parser.done()) << status;
  }
}

TEST(ResponseParser, RefusesWhatIsAmbiguous) {
  for (std::string_view bad :
       {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 700 Odd\r\n\r\n",
        "HTTP/1.1 20 Short\r\n\r\n", "HTTP/2 200\r\n\r\n", "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"}) {
    ResponseCase test;
    test.feed(bad);
    EXPECT_TRUE(test.parser.failed()) << bad;
    EXPECT_FALSE(test.parser.done()) << bad;
    EXPECT_FALSE(test.parser.reason().empty()) << bad;
  }
  ResponseCase large;
  large.feed("HTTP/1.1 200 OK\r\nX: " + std::string(50'000, 'x'), 1000);
  EXPECT_TRUE(large.parser.failed());
  ResponseCase chunk;
  chunk.feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  chunk.feed("1;" + std::string(50'000, 'x'), 1000);
  EXPECT_TRUE(chunk.parser.failed());
}

TEST(HttpTokens, AreChecked) {
  EXPECT_TRUE(valid_field_value("a\tb \xc3\xa9"));
  EXPECT_FALSE(valid_field_value("a\r"));
  EXPECT_FALSE(valid_field_value("a\n"));
  EXPECT_FALSE(valid_field_value(std::string_view("a\0", 2)));
  EXPECT_TRUE(valid_token("X-a_1!"));
  EXPECT_FALSE(valid_token(""));
  EXPECT_FALSE(valid_token("a b"));
  for (std::string_view name : {"TE", "trailer", "Upgrade", "Connection", "Keep-Alive",
                                "Content-Length", "Proxy-Connection", "transfer-encoding"}) {
    EXPECT_TRUE(is_connection_field(name)) << name;
  }
  EXPECT_FALSE(is_connection_field("content-type"));
}

}  // namespace
}  // namespace corral::net::http_parser_test
