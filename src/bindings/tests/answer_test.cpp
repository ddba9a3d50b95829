// Answers over a response that is played by hand.
#include "bindings/openai/answer.hpp"

#include <gtest/gtest.h>

#include "bindings/tests/played.hpp"

namespace corral::bindings::openai::answer_test {
namespace {

using net::testing::Loops;

class AnswerTest : public testing::Test {
 protected:
  StreamAnswer stream(std::vector<std::string> pieces, StreamOptions options = {},
                      std::optional<Error> error = {}) {
    return {std::make_unique<PlayedResponse>(std::move(pieces), std::move(error)), options};
  }
  Relayed relay_all(Answer& answer) {
    return loops_.run(loops_.shards().serving(0), relay(answer));
  }
  Decoded decode_all(Answer& answer) {
    return loops_.run(loops_.shards().serving(0), decode(answer));
  }

  Loops loops_;
};

TEST_F(AnswerTest, RelaysWholeEventsAsTheyCome) {
  std::string two = token("a") + token("b");
  auto answer = stream({kRole, two.substr(0, 30), two.substr(30), kFinish + kDone});
  EXPECT_TRUE(answer.relayable());
  auto relayed = relay_all(answer);
  EXPECT_FALSE(relayed.error);
  EXPECT_EQ(relayed.pieces, (std::vector<std::string>{kRole, two, kFinish + kDone}));
  EXPECT_EQ(answer.usage().completion_tokens, 2u);
  EXPECT_FALSE(answer.usage().reported);
  EXPECT_TRUE(answer.first_token_at());
}

TEST_F(AnswerTest, FirstTokenIsTheFirstWithText) {
  auto silent = stream({kRole, kFinish, kDone});
  relay_all(silent);
  EXPECT_FALSE(silent.first_token_at());
  EXPECT_EQ(silent.usage().completion_tokens, 0u);
  for (std::string_view event :
       {R"(data: {"choices":[{"delta":{"reasoning_content":"x"}}]})",
        R"(data: {"choices":[{"delta":{"content" : "x"}}]})",
        R"(data: {"choices":[{"text": "\""}]})",
        R"(data: {"choices":[{"delta":{"tool_calls": [{}]}}]})",
        R"(data: {"choices":[{"delta":{"content":null,"reasoning":"x"}}]})"}) {
    auto answer = stream({std::string(event) + "\n\n", kDone});
    relay_all(answer);
    EXPECT_TRUE(answer.first_token_at()) << event;
    EXPECT_EQ(answer.usage().completion_tokens, 1u) << event;
  }
}

TEST_F(AnswerTest, ReportedUsageReplacesTheCount) {
  for (const std::string& usage :
       {kUsage,
        std::string("data: {\"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 42}}\n\n")}) {
    auto answer = stream({token("a"), token("b"), usage, token("late"), kDone});
    relay_all(answer);
    EXPECT_TRUE(answer.usage().reported);
    EXPECT_EQ(answer.usage().completion_tokens, 42u);
    EXPECT_EQ(answer.usage().prompt_tokens, 7u);
  }
}

TEST_F(AnswerTest, HidesProgressOnlyWhenItAskedForIt) {
  auto hidden = stream({kProgress, kProgress + token("a"), kDone}, {true, true});
  EXPECT_EQ(relay_all(hidden).all(), token("a") + kDone);
  auto shown = stream({kProgress, token("a"), kDone}, {true, false});
  EXPECT_EQ(relay_all(shown).all(), kProgress + token("a") + kDone);
  // A text about it is not it.
  std::string talk = token("\"prompt_progress\":{");
  auto quoted = stream({talk, kDone}, {true, true});
  EXPECT_EQ(relay_all(quoted).all(), talk + kDone);
}

TEST_F(AnswerTest, EndingEarlyIsAnError) {
  for (const std::string& last : {std::string(), token("b"), token("b").substr(0, 20), kFinish}) {
    auto answer = stream({token("a"), last.empty() ? token("x") : last});
    auto relayed = relay_all(answer);
    ASSERT_TRUE(relayed.error);
    EXPECT_EQ(relayed.error->code, ErrorCode::upstream);
    EXPECT_TRUE(relayed.all().starts_with(token("a")));
    EXPECT_FALSE(relayed.all().ends_with(token("b").substr(0, 20)));  // never half an event
    auto decoded = stream({token("a"), last.empty() ? token("x") : last});
    EXPECT_EQ(decode_all(decoded).error->code, ErrorCode::upstream);
  }
  auto nothing = stream({});
  EXPECT_EQ(relay_all(nothing).error->code, ErrorCode::upstream);
}

TEST_F(AnswerTest, ReadErrorsPass) {
  auto answer = stream({token("a")}, {}, fail(ErrorCode::timeout, "silent"));
  auto relayed = relay_all(answer);
  EXPECT_EQ(relayed.all(), token("a"));
  EXPECT_EQ(relayed.error->code, ErrorCode::timeout);
  auto events = stream({token("a")}, {}, fail(ErrorCode::cancelled, "left"));
  EXPECT_EQ(decode_all(events).error->code, ErrorCode::cancelled);
}

TEST_F(AnswerTest, AnErrorEventEndsTheAnswer) {
  for (std::string_view data : {R"(data: {"error":{"message":"broke","code":500}})",
                                R"(data:{"error": {"message":"broke"}})",
                                "event: error\ndata: {\"error\":{\"message\":\"broke\"}}"}) {
    std::string event = std::string(data) + "\n\n";
    // In one read with a good event before and one after: the good one goes out, the rest does not.
    auto answer = stream({token("a") + event + token("b"), kDone});
    auto relayed = relay_all(answer);
    EXPECT_EQ(relayed.all(), token("a")) << event;
    ASSERT_TRUE(relayed.error);
    EXPECT_EQ(relayed.error->message, "broke");
    auto alone = stream({event});
    EXPECT_EQ(relay_all(alone).error->message, "broke");
    auto decoded = stream({token("a"), event});
    auto events = decode_all(decoded);
    EXPECT_EQ(events.error->message, "broke");
    EXPECT_EQ(events.events.size(), 2u);
  }
  std::string null_error = "data: {\"error\":null,\"choices\":[]}\n\n";
  auto fine = stream({null_error, kDone});
  EXPECT_EQ(relay_all(fine).all(), null_error + kDone);
}

TEST_F(AnswerTest, DoneIsSeenBehindCommentsAndWithoutSpace) {
  for (const char* done : {"data:[DONE]\n\n", ": bye\ndata: [DONE]\n\n", "data: [DONE]\r\n\r\n"}) {
    auto answer = stream({token("a"), done});
    EXPECT_FALSE(relay_all(answer).error) << done;
  }
  // A text that says so is not the end.
  auto talk = stream({token("data: [DONE]")});
  EXPECT_TRUE(relay_all(talk).error);
}

TEST_F(AnswerTest, DecodesEvents) {
  auto answer =
      stream({": ping\n\n" + kProgress + token("a") + kFinish, kUsage + kDone}, {false, true});
  EXPECT_FALSE(answer.relayable());
  auto decoded = decode_all(answer);
  EXPECT_FALSE(decoded.error);
  ASSERT_EQ(decoded.events.size(), 4u);
  EXPECT_EQ(std::get<Started>(decoded.events[0]).created, 5);
  EXPECT_EQ(std::get<TextDelta>(decoded.events[1]).text, "a");
  EXPECT_EQ(std::get<Finished>(decoded.events[2]).reason, FinishReason::stop);
  EXPECT_EQ(std::get<UsageReport>(decoded.events[3]).usage.completion_tokens, 42u);
  EXPECT_EQ(answer.usage().completion_tokens, 42u);
}

TEST_F(AnswerTest, RubbishInTheStreamIsAnUpstreamError) {
  auto answer = stream({"data: {oops\n\n"});
  EXPECT_EQ(decode_all(answer).error->code, ErrorCode::upstream);
}

TEST_F(AnswerTest, Document) {
  DocumentAnswer answer(std::make_unique<PlayedResponse>(
      std::vector<std::string>{R"({"data":[],"usa)", R"(ge":{"prompt_tokens":3}})"}));
  EXPECT_TRUE(answer.relayable());
  EXPECT_FALSE(answer.first_token_at());
  auto relayed = relay_all(answer);
  EXPECT_EQ(relayed.all(), R"({"data":[],"usage":{"prompt_tokens":3}})");
  EXPECT_EQ(answer.usage().prompt_tokens, 3u);
  EXPECT_TRUE(answer.first_token_at());
  EXPECT_EQ(decode_all(answer).error->code, ErrorCode::internal);

  DocumentAnswer empty(std::make_unique<PlayedResponse>(std::vector<std::string>{}));
  EXPECT_EQ(relay_all(empty).error->code, ErrorCode::upstream);
  DocumentAnswer cut(std::make_unique<PlayedResponse>(std::vector<std::string>{"{"},
                                                      fail(ErrorCode::upstream, "cut")));
  EXPECT_EQ(relay_all(cut).error->message, "cut");
}

}  // namespace
}  // namespace corral::bindings::openai::answer_test
