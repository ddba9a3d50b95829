#include "api/openai/aggregate.hpp"

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "base/json.hpp"

namespace corral::api::openai::aggregate_test {
namespace {

using namespace inference;
namespace bj = boost::json;

bj::value document(Operation operation, const std::vector<Event>& events) {
  Aggregate whole(operation);
  for (const auto& event : events) whole.add(event);
  std::string text = whole.document("pub\"lic");
  auto value = json::parse(text);
  EXPECT_TRUE(value) << text;
  return value ? *value : bj::value{};
}

TEST(Aggregate, ChatCompletion) {
  auto doc = document(Operation::chat,
                      {Started{"id-1", 1700000000, "b1"}, TextDelta{0, TextKind::reasoning, "hm"},
                       TextDelta{0, TextKind::content, "Hel\"lo\n"},
                       TextDelta{0, TextKind::content, "wörld"}, Finished{0, FinishReason::length},
                       UsageReport{{10, 4, 5, true, R"({"predicted_ms":1.5})"}}});
  EXPECT_EQ(doc, *json::parse(R"({"id":"id-1","object":"chat.completion","created":1700000000,
      "model":"pub\"lic","system_fingerprint":"b1","choices":[{"index":0,"message":{
        "role":"assistant","content":"Hel\"lo\nwörld","reasoning_content":"hm"},
        "logprobs":null,"finish_reason":"length"}],
      "usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
        "prompt_tokens_details":{"cached_tokens":4}},"timings":{"predicted_ms":1.5}})"));
}

TEST(Aggregate, Completion) {
  auto doc = document(Operation::completion,
                      {TextDelta{0, TextKind::content, "a"}, Finished{0, FinishReason::stop}});
  EXPECT_EQ(doc.at("object"), "text_completion");
  EXPECT_EQ(doc.at("choices").at(0).at("text"), "a");
  EXPECT_FALSE(doc.at("choices").at(0).as_object().contains("message"));
  EXPECT_FALSE(doc.as_object().contains("timings"));
  EXPECT_FALSE(doc.as_object().contains("system_fingerprint"));
}

TEST(Aggregate, ChoicesAreInOrderOfTheirIndex) {
  auto doc =
      document(Operation::chat,
               {TextDelta{2, TextKind::content, "c"}, TextDelta{0, TextKind::content, "a"},
                TextDelta{2, TextKind::content, "C"}, Finished{2, FinishReason::content_filter},
                TextDelta{0, TextKind::refusal, "no"}});
  const auto& choices = doc.at("choices").as_array();
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0].at("index"), 0);
  EXPECT_EQ(choices[0].at("message").at("refusal"), "no");
  EXPECT_EQ(choices[0].at("finish_reason"), "stop");
  EXPECT_EQ(choices[1].at("index"), 2);
  EXPECT_EQ(choices[1].at("message").at("content"), "cC");
  EXPECT_EQ(choices[1].at("finish_reason"), "content_filter");
}

TEST(Aggregate, ToolCallsArePutTogether) {
  auto doc =
      document(Operation::chat,
               {ToolCallDelta{0, 1, "c2", "g", "{}"}, ToolCallDelta{0, 0, "c1", "f", "{\"a\""},
                ToolCallDelta{0, 0, "", "", ":1}"}, Finished{0, FinishReason::tool_calls}});
  const auto& message = doc.at("choices").at(0).at("message");
  EXPECT_TRUE(message.at("content").is_null());
  EXPECT_EQ(message.at("tool_calls"), *json::parse(R"([
      {"type":"function","id":"c1","function":{"name":"f","arguments":"{\"a\":1}"}},
      {"type":"function","id":"c2","function":{"name":"g","arguments":"{}"}}])"));
  EXPECT_EQ(doc.at("choices").at(0).at("finish_reason"), "tool_calls");
}

TEST(Aggregate, Logprobs) {
  TokenLogprob top{"b", -2, {98}, {}};
  TokenLogprob first{"a\"", -0.25, {97, 226}, {top, top}};
  auto doc = document(Operation::chat, {LogprobsDelta{0, {first}}, LogprobsDelta{0, {top}}});
  EXPECT_EQ(doc.at("choices").at(0).at("logprobs"), *json::parse(R"({"content":[
      {"token":"a\"","logprob":-0.25,"bytes":[97,226],"top_logprobs":[
        {"token":"b","logprob":-2,"bytes":[98]},{"token":"b","logprob":-2,"bytes":[98]}]},
      {"token":"b","logprob":-2,"bytes":[98],"top_logprobs":[]}]})"));
}

TEST(Aggregate, NothingAtAllIsStillADocument) {
  auto doc = document(Operation::chat, {});
  EXPECT_TRUE(doc.at("choices").as_array().empty());
  EXPECT_EQ(doc.at("usage").at("total_tokens"), 0);
}

TEST(Aggregate, TimingsOfAnEarlierEventAreKept) {
  auto doc = document(Operation::chat, {UsageReport{{1, 0, 2, true, R"({"predicted_n":2})"}},
                                        UsageReport{{3, 0, 4, true, ""}}});
  EXPECT_EQ(doc.at("usage").at("total_tokens"), 7);
  EXPECT_EQ(doc.at("timings").at("predicted_n"), 2);
}

}  // namespace
}  // namespace corral::api::openai::aggregate_test
