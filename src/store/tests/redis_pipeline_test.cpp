#include "store/core/redis_pipeline.hpp"

#include <gtest/gtest.h>

#include <random>

namespace corral::store::redis_pipeline_test {
namespace {

using namespace std::chrono_literals;
using Kind = RedisReply::Kind;
using Words = std::vector<std::string_view>;

RedisPipeline::Time at(std::chrono::milliseconds since) { return RedisPipeline::Time(since); }

std::vector<RedisReply> parse(RedisParser& parser, std::string_view bytes) {
  std::vector<RedisReply> replies;
  EXPECT_TRUE(parser.feed(bytes));
  for (;;) {
    auto reply = parser.next();
    if (!reply || !*reply) {
      EXPECT_TRUE(reply);
      return replies;
    }
    replies.push_back(std::move(**reply));
  }
}

bool refused(std::string_view bytes, std::size_t largest = 1000) {
  RedisParser parser(largest);
  if (!parser.feed(bytes)) return true;
  for (;;) {
    auto reply = parser.next();
    if (!reply) return true;
    if (!*reply) return false;
  }
}

// --- the protocol --------------------------------------------------------------------------------

TEST(RedisProtocol, WritesCommandsOfAnyBytes) {
  std::string out;
  std::string_view words[] = {"SET", std::string_view("a\0\r\n", 4), ""};
  append_command(out, words);
  EXPECT_EQ(out, std::string("*3\r\n$3\r\nSET\r\n$4\r\na\0\r\n\r\n$0\r\n\r\n", 29));
}

TEST(RedisProtocol, ReadsEveryKindOfReply) {
  RedisParser parser(1000);
  auto replies = parse(parser,
                       "+OK\r\n-ERR no\r\n:-42\r\n$-1\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n"
                       "*3\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n$-1\r\n*0\r\n*-1\r\n");
  ASSERT_EQ(replies.size(), 9u);
  EXPECT_EQ(replies[0].kind, Kind::status);
  EXPECT_EQ(replies[0].text, "OK");
  EXPECT_EQ(replies[1].kind, Kind::error);
  EXPECT_EQ(replies[1].text, "ERR no");
  EXPECT_EQ(replies[2].integer, -42);
  EXPECT_EQ(replies[3].kind, Kind::nil);
  EXPECT_EQ(replies[4].text, "a\r\nbc");
  EXPECT_EQ(replies[5].kind, Kind::text);
  EXPECT_EQ(replies[5].text, "");
  ASSERT_EQ(replies[6].elements.size(), 3u);
  ASSERT_EQ(replies[6].elements[1].elements.size(), 2u);
  EXPECT_EQ(replies[6].elements[1].elements[1].text, "b");
  EXPECT_EQ(replies[6].elements[2].kind, Kind::nil);
  EXPECT_EQ(replies[7].kind, Kind::array);
  EXPECT_EQ(replies[8].kind, Kind::nil);
}

TEST(RedisProtocol, ReadsRepliesInPiecesOfAnySize) {
  std::string bytes = "$5\r\nhello\r\n*2\r\n:7\r\n+done\r\n";
  for (std::size_t size = 1; size <= bytes.size(); ++size) {
    RedisParser parser(1000);
    std::vector<RedisReply> all;
    for (std::size_t i = 0; i < bytes.size(); i += size) {
      for (auto& reply : parse(parser, std::string_view(bytes).substr(i, size))) {
        all.push_back(std::move(reply));
      }
    }
    ASSERT_EQ(all.size(), 2u) << size;
    EXPECT_EQ(all[0].text, "hello");
    EXPECT_EQ(all[1].elements[1].text, "done");
  }
}

TEST(RedisProtocol, RefusesRubbishAndWhatIsTooMuch) {
  EXPECT_TRUE(refused("HTTP/1.1 400 Bad Request\r\n\r\n"));
  EXPECT_TRUE(refused(std::string(1001, 'x')));
  EXPECT_TRUE(refused("$2000\r\n" + std::string(2000, 'x') + "\r\n"));
  EXPECT_TRUE(refused("*1025\r\n"));
  EXPECT_TRUE(refused("*2147483647\r\n"));
  EXPECT_TRUE(refused("*4294967297\r\n"));
  std::string deep;
  for (int i = 0; i < 20; ++i) deep += "*1\r\n";
  EXPECT_TRUE(refused(deep));
  EXPECT_TRUE(refused("*1\r\n?\r\n"));
  EXPECT_FALSE(refused("$900\r\nnot all of it"));
}

TEST(RedisProtocol, CountsEachReplyForItself) {
  RedisParser parser(100);
  for (int i = 0; i < 50; ++i) {
    auto replies = parse(parser, "$60\r\n" + std::string(60, 'x') + "\r\n");
    ASSERT_EQ(replies.size(), 1u);
  }
  EXPECT_TRUE(parser.feed("$200\r\n" + std::string(80, 'x')));
  EXPECT_FALSE(parser.feed(std::string(20, 'x')));
}

TEST(RedisProtocol, SurvivesRandomBytes) {
  std::mt19937 random(7);
  constexpr std::string_view kLikely = "*$+-:0123456789\r\n\r\nab";
  for (int round = 0; round < 5000; ++round) {
    RedisParser parser(400);
    for (int piece = 0; piece < 5; ++piece) {
      std::string bytes;
      for (unsigned i = 0, size = random() % 40; i < size; ++i) {
        bytes += kLikely[random() % kLikely.size()];
      }
      if (!parser.feed(bytes)) break;
      bool broken = false;
      while (!broken) {
        auto reply = parser.next();
        if (reply && !*reply) break;
        broken = !reply;
      }
      if (broken) break;
    }
  }
}

// --- the conversation ----------------------------------------------------------------------------

TEST(RedisPipeline, GivesEachReplyToWhoAsked) {
  RedisPipeline pipeline({});
  EXPECT_EQ(pipeline.overdue_at(), std::nullopt);
  auto first = pipeline.ask(Words{"GET", "a"}, at(1s));
  auto second = pipeline.ask(Words{"GET", "b"}, at(2s));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(pipeline.to_send(), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
  EXPECT_EQ(pipeline.overdue_at(), at(1250ms));
  pipeline.sent(3);
  EXPECT_TRUE(pipeline.to_send().starts_with("\n$3"));
  pipeline.sent(pipeline.to_send().size());
  EXPECT_EQ(pipeline.to_send(), "");
  auto answers = pipeline.feed("$1\r\nA\r\n$1");
  ASSERT_TRUE(answers);
  ASSERT_EQ(answers->size(), 1u);
  EXPECT_EQ(answers->front().whose, *first);
  EXPECT_EQ(answers->front().reply.text, "A");
  EXPECT_EQ(pipeline.overdue_at(), at(2250ms));
  answers = pipeline.feed("\r\nB\r\n");
  ASSERT_TRUE(answers);
  ASSERT_EQ(answers->size(), 1u);
  EXPECT_EQ(answers->front().whose, *second);
  EXPECT_EQ(pipeline.waiting(), 0u);
}

TEST(RedisPipeline, RefusesARepliesThatNobodyAskedFor) {
  RedisPipeline pipeline({});
  auto answers = pipeline.feed("+OK\r\n");
  ASSERT_FALSE(answers);
  EXPECT_EQ(answers.error().code, ErrorCode::upstream);
  EXPECT_FALSE(RedisPipeline({}).feed("rubbish\r\n"));
}

TEST(RedisPipeline, BoundsWhatIsUnderWay) {
  RedisPipeline pipeline({.waiting = 2, .unsent_bytes = 100, .largest_reply = 50});
  ASSERT_TRUE(pipeline.ask(Words{"SET", "a", std::string_view("x")}, at(1s)));
  auto large = pipeline.ask(Words{"SET", "a", std::string(100, 'x')}, at(1s));
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::unavailable);
  ASSERT_TRUE(pipeline.ask(Words{"PING"}, at(1s)));
  EXPECT_FALSE(pipeline.ask(Words{"PING"}, at(1s)));
  EXPECT_FALSE(pipeline.feed("$60\r\n" + std::string(60, 'x')));
}

TEST(RedisPipeline, KeepsWhatIsUnsentWhateverIsTaken) {
  std::mt19937 random(3);
  RedisPipeline pipeline({.waiting = 100'000, .unsent_bytes = 100u << 20});
  std::string wanted, sent;
  for (int i = 0; i < 400; ++i) {
    std::string value(random() % 3000, static_cast<char>('a' + i % 26));
    Words words{"SET", value};
    append_command(wanted, words);
    ASSERT_TRUE(pipeline.ask(words, at(1s)));
    auto part = pipeline.to_send().substr(0, random() % 1000);
    sent += part;
    pipeline.sent(part.size());
  }
  while (!pipeline.to_send().empty()) {
    auto part = pipeline.to_send().substr(0, 5000);
    sent += part;
    pipeline.sent(part.size());
  }
  EXPECT_EQ(sent, wanted);
}

TEST(ReconnectPause, GrowsWithJitterToItsLimitAndStartsAnew) {
  ReconnectPause pause(100ms, 1000ms);
  EXPECT_EQ(pause.failed(0.0), 50ms);
  EXPECT_EQ(pause.failed(0.0), 100ms);
  EXPECT_EQ(pause.failed(0.5), 300ms);
  EXPECT_EQ(pause.failed(0.0), 400ms);
  for (int i = 0; i < 100; ++i) {
    auto next = pause.failed(0.99);
    EXPECT_LE(next, 1000ms);
    EXPECT_GE(next, 500ms);
  }
  pause.succeeded();
  EXPECT_EQ(pause.failed(0.0), 50ms);
}

}  // namespace
}  // namespace corral::store::redis_pipeline_test
