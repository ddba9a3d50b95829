// What is read of a request body, what is refused, and where the rewritable values stand.
#include "bindings/openai/peek.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace corral::bindings::openai::peek_test {
namespace {

using inference::Operation;

// A chat request with `more` fields.
std::string chat(std::string_view more = "") {
  return fmt::format(R"({{"model":"m","messages":[{{"role":"user","content":"hi"}}]{}{}}})",
                     more.empty() ? "" : ",", more);
}

std::string completion(std::string_view more) {
  return fmt::format(R"({{"model":"m","prompt":"hi",{}}})", more);
}

std::string embedding(std::string_view more) {
  return fmt::format(R"({{"model":"m","input":"hi",{}}})", more);
}

Error refusal(Operation operation, std::string_view body) {
  auto request = peek(operation, body);
  EXPECT_FALSE(request.has_value()) << body;
  if (request) return fail(ErrorCode::internal, "accepted");
  EXPECT_EQ(request.error().code, ErrorCode::invalid_argument) << body;
  return request.error();
}

std::string param(Operation operation, std::string_view body) {
  return refusal(operation, body).param;
}

TEST(Peek, ReadsWhatItMustKnow) {
  std::string body = chat(
      R"("stream":true,"stream_options":{"include_usage":true},"user":"ann","return_progress":true)");
  auto request = peek(Operation::chat, body);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->model.str(), "m");
  EXPECT_EQ(request->user, "ann");
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->usage_in_stream);
  EXPECT_TRUE(request->wants_progress);
  EXPECT_EQ(request->operation, Operation::chat);
  EXPECT_EQ(request->body.data(), body.data());

  auto plain = peek(Operation::chat, chat());
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->stream);
  EXPECT_FALSE(plain->usage_in_stream);
  EXPECT_FALSE(plain->wants_progress);
}

TEST(Peek, NullStandsForAbsent) {
  auto request = peek(Operation::chat, chat(R"("stream":null,"stream_options":null,"user":null,
      "stop":null,"tools":null,"n":null,"temperature":null,"logprobs":null,"return_progress":null)"));
  ASSERT_TRUE(request) << request.error().describe();
  EXPECT_FALSE(request->stream);
  auto usage = peek(Operation::chat, chat(R"("stream_options":{"include_usage":null})"));
  ASSERT_TRUE(usage);
  EXPECT_FALSE(usage->usage_in_stream);
}

struct FieldCase {
  Operation operation;
  std::string_view field;
  std::vector<std::string_view> good;
  std::vector<std::string_view> bad;
};

TEST(Peek, ChecksEveryFieldByItsOwnRule) {
  const std::vector<std::string_view> bools = {"true", "false", "null"};
  const std::vector<std::string_view> not_bools = {"1", "\"true\"", "[]", "{}"};
  const std::vector<std::string_view> texts = {"\"\"", "\"x\"", "null"};
  const std::vector<std::string_view> not_texts = {"1", "true", "[]", "{}"};
  const FieldCase cases[] = {
      {Operation::chat, "stream", bools, not_bools},
      {Operation::chat, "return_progress", bools, not_bools},
      {Operation::chat, "parallel_tool_calls", bools, not_bools},
      {Operation::chat, "logprobs", bools, not_bools},
      {Operation::chat, "user", texts, not_texts},
      {Operation::chat, "stream_options", {"{}", "null"}, {"true", "[]", "\"x\"", "1"}},
      {Operation::chat, "temperature", {"0", "0.7", "2", "100"}, {"-0.1", "\"1\"", "true", "[]"}},
      {Operation::chat, "top_p", {"0", "1", "0.5"}, {"-1", "1.01", "\"1\""}},
      {Operation::chat, "n", {"1", "128"}, {"0", "129", "1.5", "\"1\"", "-1"}},
      {Operation::chat, "max_tokens", {"-1", "0", "100000"}, {"-2", "1.5", "\"5\""}},
      {Operation::chat, "max_completion_tokens", {"-1", "5"}, {"-2", "0.5", "{}"}},
      {Operation::chat, "presence_penalty", {"-2", "2", "0.1"}, {"-2.1", "2.1", "\"0\""}},
      {Operation::chat, "frequency_penalty", {"-2", "2"}, {"-3", "3", "true"}},
      {Operation::chat, "logit_bias", {"{}", "[]", R"({"5":-100})"}, {"1", "\"x\"", "true"}},
      {Operation::chat, "top_logprobs", {"0", "20"}, {"21", "-1", "0.5"}},
      {Operation::chat, "seed", {"0", "-5", "18446744073709551615"}, {"1.5", "\"1\""}},
      {Operation::chat,
       "stop",
       {"\"x\"", "[]", R"(["a","b"])"},
       {"1", R"(["a",1])", "{}", "[null]"}},
      {Operation::chat, "tool_choice", {"\"auto\"", "{}"}, {"1", "[]", "true"}},
      {Operation::chat, "response_format", {"{}", "null"}, {"\"json\"", "[]"}},
      {Operation::completion, "logprobs", {"0", "20"}, {"21", "-1", "true"}},
      {Operation::completion, "echo", bools, not_bools},
      {Operation::completion, "suffix", texts, not_texts},
      {Operation::completion, "stream", bools, not_bools},
      {Operation::embedding, "dimensions", {"1", "4096"}, {"0", "-1", "1.5", "\"1\""}},
      {Operation::embedding,
       "encoding_format",
       {"\"float\"", "\"base64\"", "null"},
       {"\"\"", "\"hex\"", "1", "[]"}},
      {Operation::embedding, "user", texts, not_texts},
  };
  for (const auto& c : cases) {
    auto body = [&](std::string_view value) {
      std::string more = fmt::format(R"("{}": {})", c.field, value);
      return c.operation == Operation::chat         ? chat(more)
             : c.operation == Operation::completion ? completion(more)
                                                    : embedding(more);
    };
    for (auto value : c.good) {
      auto request = peek(c.operation, body(value));
      EXPECT_TRUE(request) << body(value);
    }
    for (auto value : c.bad) EXPECT_EQ(param(c.operation, body(value)), c.field) << body(value);
  }
}

TEST(Peek, RequiredFields) {
  EXPECT_EQ(param(Operation::chat, "{}"), "model");
  EXPECT_EQ(param(Operation::chat, R"({"model":"m"})"), "messages");
  EXPECT_EQ(param(Operation::completion, R"({"model":"m"})"), "prompt");
  EXPECT_EQ(param(Operation::embedding, R"({"model":"m"})"), "input");
  EXPECT_EQ(param(Operation::chat, R"({"model":"","messages":[{"role":"user"}]})"), "model");
  for (auto model : {"1", "null", "true", "[]", "{}"}) {
    EXPECT_EQ(param(Operation::embedding, fmt::format(R"({{"model":{},"input":"x"}})", model)),
              "model");
  }
}

TEST(Peek, Messages) {
  auto with = [](std::string_view messages) {
    return fmt::format(R"({{"model":"m","messages":{}}})", messages);
  };
  const std::pair<std::string_view, std::string_view> bad[] = {
      {"\"hi\"", "messages"},
      {"{}", "messages"},
      {"null", "messages"},
      {"[]", "messages"},
      {"[1]", "messages[0]"},
      {R"([{"role":"user"},[]])", "messages[1]"},
      {"[{}]", "messages[0].role"},
      {R"([{"role":1}])", "messages[0].role"},
      {R"([{"role":"root"}])", "messages[0].role"},
      {R"([{"role":"user","content":1}])", "messages[0].content"},
      {R"([{"role":"user","content":{}}])", "messages[0].content"},
      {R"([{"role":"user","content":["x"]}])", "messages[0].content"},
      {R"([{"role":"user","content":[{"text":"x"}]}])", "messages[0].content"},
      {R"([{"role":"user","content":[{"type":1}]}])", "messages[0].content"},
      {R"([{"role":"assistant","tool_calls":{}}])", "messages[0].tool_calls"},
  };
  for (auto [messages, field] : bad) EXPECT_EQ(param(Operation::chat, with(messages)), field);
  const std::string_view good[] = {
      R"([{"role":"system","content":"x"},{"role":"developer","content":null}])",
      R"([{"role":"user","content":[{"type":"text","text":"x"}]}])",
      R"([{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","content":"1"}])",
      R"([{"role":"function","name":"f","content":""}])",
  };
  for (auto messages : good) EXPECT_TRUE(peek(Operation::chat, with(messages))) << messages;
}

TEST(Peek, Tools) {
  for (auto tools : {"{}", "\"x\"", "1"}) {
    EXPECT_EQ(param(Operation::chat, chat(fmt::format(R"("tools":{})", tools))), "tools");
  }
  for (auto tool : {"1", "{}", R"({"function":1})", R"({"function":{}})",
                    R"({"function":{"name":1}})", R"({"function":{"name":""}})"}) {
    EXPECT_EQ(param(Operation::chat,
                    chat(fmt::format(R"("tools":[{{"function":{{"name":"f"}}}},{}])", tool))),
              "tools[1].function.name");
  }
  EXPECT_TRUE(peek(Operation::chat, chat(R"("tools":[])")));
}

TEST(Peek, EmbeddingInput) {
  auto with = [](std::string_view input) {
    return fmt::format(R"({{"model":"m","input":{}}})", input);
  };
  for (auto input : {"\"x\"", R"(["x","y"])", "[1,2]", "[[1],[2,3]]"}) {
    EXPECT_TRUE(peek(Operation::embedding, with(input))) << input;
  }
  for (auto input : {"[]", "[null]", "[1.5]", "[{}]", "[true]", "1", "{}", "null"}) {
    EXPECT_EQ(param(Operation::embedding, with(input)), "input") << input;
  }
}

TEST(Peek, FieldsOfOtherOperationsAndUnknownOnesPass) {
  EXPECT_TRUE(
      peek(Operation::chat, chat(R"("prompt":1,"echo":1,"dimensions":"x","no_such":[{}])")));
  EXPECT_TRUE(peek(Operation::chat, chat(R"("no_such":1,"no_such":2)")));
  std::string body = embedding(R"("stream":[1,{"a":2}],"stream_options":{"include_usage":1})");
  auto request = peek(Operation::embedding, body);
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->stream);
}

TEST(Peek, UsageOptionMustBeABool) {
  EXPECT_EQ(param(Operation::chat, chat(R"("stream_options":{"include_usage":1})")),
            "stream_options.include_usage");
}

TEST(Peek, RefusesAKeyThatStandsTwice) {
  EXPECT_EQ(param(Operation::chat, chat(R"("model":"other")")), "model");
  EXPECT_EQ(param(Operation::chat, chat(R"("mod\u0065l":"other")")), "model");
  EXPECT_EQ(param(Operation::chat, R"({"\u006dodel":"a","model":"b","messages":[]})"), "model");
  EXPECT_EQ(param(Operation::chat, chat(R"("stream":true,"stream":false)")), "stream");
  EXPECT_EQ(param(Operation::chat, chat(R"("stream":null,"str\u0065am":true)")), "stream");
  EXPECT_EQ(param(Operation::chat, chat(R"("messages":[{"role":"user"}])")), "messages");
  EXPECT_EQ(param(Operation::embedding, embedding(R"("input":"again")")), "input");
}

TEST(Peek, SaysWhereJsonIsWrong) {
  Error error = refusal(Operation::chat, "{\n \"model\": tru }");
  EXPECT_TRUE(error.message.contains("line 2")) << error.message;
  EXPECT_TRUE(error.message.contains("byte ")) << error.message;
  for (std::string_view body :
       {"{", "}", "{\"model\"}", "{\"model\":\"m\",}", "{'model':1}", "{\"a\":01}", "nul",
        "{\"a\":\"\n\"}", "{\"model\":\"m\"} x", "{\"model\":\"\xff\"}", "{\"model\":\"\\ud800\"}",
        "\"", "{\"a\":1e}"}) {
    EXPECT_TRUE(refusal(Operation::chat, body).message.contains("not valid JSON at line ")) << body;
  }
}

TEST(Peek, RefusesWhatIsNoObject) {
  for (auto body : {"[]", "1", "\"x\"", "null", "true", "[{\"model\":\"m\"}]"}) {
    EXPECT_TRUE(refusal(Operation::chat, body).message.contains("JSON object")) << body;
  }
  EXPECT_TRUE(refusal(Operation::chat, "").message.contains("empty"));
  (void)refusal(Operation::chat, "   ");
  (void)refusal(Operation::chat, std::string_view("\0", 1));
}

TEST(Peek, RefusesNumbersThatDoNotFit) {
  EXPECT_TRUE(refusal(Operation::chat, chat(R"("x":1e400)")).message.contains("too large"));
  EXPECT_TRUE(
      refusal(Operation::chat, chat(R"("x":184467440737095516160)")).message.contains("64 bits"));
  EXPECT_TRUE(
      peek(Operation::chat, chat(R"("x":1.7976931348623157e308,"y":18446744073709551615)")));
}

TEST(Peek, DepthIsBounded) {
  auto nested = [](std::size_t depth) {
    return chat(R"("x":)" + std::string(depth, '[') + std::string(depth, ']'));
  };
  EXPECT_TRUE(peek(Operation::chat, nested(200)));
  (void)refusal(Operation::chat, nested(300));
  (void)refusal(Operation::chat, nested(100'000));
  EXPECT_TRUE(peek(Operation::chat, nested(200)));  // the parser is well after a refusal
}

TEST(Peek, UnicodeAndLongTexts) {
  std::string body = R"({"model":"mod\u00e8le-日本","input":")" + std::string(3 << 20, 'x') + "\"}";
  auto request = peek(Operation::embedding, body);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->model.str(), "modèle-日本");
  // After such a body, which makes the parsers give their memory back, small ones still work.
  EXPECT_TRUE(peek(Operation::chat, chat()));
  (void)refusal(Operation::chat, chat(R"("x":)" + std::string(300, '[') + std::string(300, ']')));
}

TEST(Peek, ReadsNothingBehindTheBody) {
  std::string whole = chat() + R"(,"model":"other"})";
  auto request = peek(Operation::chat, std::string_view(whole).substr(0, chat().size()));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->model.str(), "m");
}

}  // namespace
}  // namespace corral::bindings::openai::peek_test
