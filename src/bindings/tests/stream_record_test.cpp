// A stream that broke off: what it said, how it is asked to go on, and how the rest is joined to
// it.
#include "bindings/openai/stream_record.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"

namespace corral::bindings::openai::stream_record_test {
namespace {

namespace bj = boost::json;

std::string event(std::string_view json) { return "data: " + std::string(json) + "\n\n"; }
std::string said(std::string_view text) {
  return event(R"({"id":"first","created":5,"choices":[{"index":0,"delta":{"content":)" +
               json::quoted(text) + "}}]}");
}
const std::string kRole =
    event(R"({"id":"first","created":5,"choices":[{"index":0,"delta":{"role":"assistant"}}]})");

bj::value continued(StreamRecord& record, std::string_view body,
                    inference::Operation operation = inference::Operation::chat) {
  inference::Request request;
  request.operation = operation;
  request.body = body;
  auto result = record.continued_body(request);
  EXPECT_TRUE(result);
  auto parsed = json::parse(result ? *result : std::string("null"));
  EXPECT_TRUE(parsed) << *result;
  return parsed ? *parsed : bj::value(bj::object{});
}

TEST(StreamRecord, KeepsTheText) {
  StreamRecord record;
  EXPECT_FALSE(record.resumable());  // nothing was said: it is tried again as a whole
  record.note(kRole + said("Hel"));
  record.note(said("lo \"w\"\n") + ": a comment\n\n");
  EXPECT_TRUE(record.resumable());
  EXPECT_EQ(record.text(), "Hello \"w\"\n");
}

TEST(StreamRecord, TheRestIsAskedForBehindWhatWasSaid) {
  StreamRecord record;
  record.note(kRole + said("a") + said(" b"));
  auto body = continued(record, R"({"model":"m","messages":[{"role":"user","content":"x"}],
                                    "max_tokens":10,"max_completion_tokens":2,"seed":3})");
  ASSERT_EQ(body.at("messages").as_array().size(), 2u);
  EXPECT_EQ(body.at("messages").at(0).at("content"), "x");
  EXPECT_EQ(body.at("messages").at(1).at("role"), "assistant");
  EXPECT_EQ(body.at("messages").at(1).at("content"), "a b");
  EXPECT_EQ(body.at("continue_final_message"), true);
  EXPECT_EQ(body.at("add_generation_prompt"), false);
  EXPECT_EQ(body.at("max_tokens"), 8);
  EXPECT_EQ(body.at("max_completion_tokens"), 1);  // never less
  EXPECT_EQ(body.at("seed"), 3);
}

TEST(StreamRecord, ACompletionGoesOnAfterItsPrompt) {
  StreamRecord record;
  record.note(event(R"({"id":"c","choices":[{"index":0,"text":" upon"}]})"));
  record.note(event(R"({"id":"c","choices":[{"index":0,"text":" a"}]})"));
  auto body = continued(record, R"({"model":"m","prompt":"once","max_tokens":-1})",
                        inference::Operation::completion);
  EXPECT_EQ(body.at("prompt"), "once upon a");
  EXPECT_EQ(body.at("max_tokens"), -1);
  EXPECT_FALSE(body.as_object().contains("messages"));
}

TEST(StreamRecord, WhatCannotBeContinuedIsLeft) {
  for (auto chunk : {R"({"choices":[{"index":1,"delta":{"content":"x"}}]})",
                     R"({"choices":[{"index":0,"delta":{"tool_calls":[{}]}}]})",
                     R"({"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]})",
                     R"({"choices":[{"index":0,"delta":{"refusal":"no"}}]})",
                     R"({"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{}}]})",
                     R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"}) {
    StreamRecord record;
    record.note(said("a") + event(chunk));
    EXPECT_FALSE(record.resumable()) << chunk;
  }
  // These say nothing of the kind.
  StreamRecord record;
  record.note(said("a") + event("[1]") + event("{oops") + event(R"({"choices":7})") +
              event(R"({"choices":[3,{"index":0,"delta":{"tool_calls":null},"logprobs":null}]})"));
  EXPECT_TRUE(record.resumable());
  EXPECT_EQ(record.text(), "a");
}

TEST(StreamRecord, RequestsWithoutAPlaceForItAreRefused) {
  StreamRecord record;
  record.note(said("a"));
  inference::Request request;
  for (auto body : {"", "[]", R"({"model":"m"})", R"({"messages":"x"})"}) {
    request.body = body;
    EXPECT_FALSE(record.continued_body(request)) << body;
  }
  request.operation = inference::Operation::completion;
  request.body = R"({"prompt":["a","b"]})";
  EXPECT_FALSE(record.continued_body(request));
}

// As a relay does it: every piece is spliced, then noted.
TEST(StreamRecord, UsageCountsWhatEachBackendSaidOnce) {
  StreamRecord record;
  inference::Request request;
  request.body = R"({"messages":[]})";
  auto usage = [](int prompt, int completion) {
    return event(fmt::format(R"({{"id":"s","choices":[],"usage":{{"prompt_tokens":{},)"
                             R"("completion_tokens":{},"total_tokens":{}}}}})",
                             prompt, completion, prompt + completion));
  };
  record.note(said("a") + said("b"));
  for (const char* text : {"c", "d"}) {  // it breaks off twice
    ASSERT_TRUE(record.continued_body(request));
    record.note(record.spliced(said(text)));
  }
  std::string rest = record.spliced(usage(13, 1));
  EXPECT_TRUE(rest.contains(R"("completion_tokens":4)")) << rest;
  EXPECT_TRUE(rest.contains(R"("prompt_tokens":10)")) << rest;
  EXPECT_EQ(record.text(), "abcd");
}

TEST(StreamRecord, TheRestBecomesPartOfTheStream) {
  StreamRecord record;
  inference::Request request;
  request.body = R"({"messages":[]})";
  record.note(kRole + said("a") + said("b"));
  ASSERT_TRUE(record.continued_body(request));
  std::string rest = record.spliced(
      event(R"({"id":"second","created":9,"choices":[{"index":0,"delta":{"role":"assistant"}}]})") +
      event(R"({"id":"second","created":9,"choices":[{"index":0,"delta":{"content":"c"}}]})") +
      ": ping\n\n" +
      event(R"({"id":"second","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":1,)"
            R"("total_tokens":13}})") +
      event("[DONE]"));
  EXPECT_FALSE(rest.contains("second")) << rest;
  EXPECT_FALSE(rest.contains("role")) << rest;  // it has begun already
  EXPECT_TRUE(rest.contains(R"("content":"c")")) << rest;
  EXPECT_TRUE(rest.contains(R"("created":5)")) << rest;
  EXPECT_TRUE(rest.contains(": ping\n\n")) << rest;
  EXPECT_TRUE(rest.ends_with("data: [DONE]\n\n")) << rest;
  // The text said before is an answer's, not a prompt's.
  EXPECT_TRUE(rest.contains(R"("prompt_tokens":10)")) << rest;
  EXPECT_TRUE(rest.contains(R"("completion_tokens":3)")) << rest;
  EXPECT_TRUE(rest.contains(R"("total_tokens":13)")) << rest;
}

TEST(StreamRecord, AFirstEventWithTextIsNoSecondBeginning) {
  StreamRecord record;
  record.note(said("a"));
  std::string both =
      event(R"({"id":"s","choices":[{"index":0,"delta":{"role":"assistant","content":"b"}}]})");
  EXPECT_TRUE(record.spliced(both).contains(R"("content":"b")"));
  std::string end = event(
      R"({"id":"s","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":"stop"}]})");
  EXPECT_TRUE(record.spliced(end).contains("stop"));
}

}  // namespace
}  // namespace corral::bindings::openai::stream_record_test
