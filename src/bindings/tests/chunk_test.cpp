// What the payloads of backends mean: chunks, usage, refusals.
#include "bindings/openai/chunk.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "base/text.hpp"
#include "bindings/openai/upstream_error.hpp"
#include "bindings/openai/usage_scan.hpp"

namespace corral::bindings::openai::chunk_test {
namespace {

using namespace inference;

// The events of chunks after the first, whose Started is left off.
std::vector<Event> decode(std::string_view data) {
  ChunkState state{true};
  std::vector<Event> out;
  auto done = decode_chunk(data, state, out);
  EXPECT_TRUE(done) << data;
  return out;
}

template <class T>
T only(const std::vector<Event>& events) {
  EXPECT_EQ(events.size(), 1u);
  if (events.size() != 1 || !std::holds_alternative<T>(events[0])) {
    ADD_FAILURE() << "another event";
    return {};
  }
  return std::get<T>(events[0]);
}

TEST(Chunk, TheFirstOneStartsTheAnswer) {
  ChunkState state;
  std::vector<Event> out;
  std::string_view data =
      R"({"id":"c-1","created":1700000000,"system_fingerprint":"b1","choices":[]})";
  ASSERT_TRUE(decode_chunk(data, state, out));
  ASSERT_TRUE(decode_chunk(data, state, out));
  const auto& started = only<Started>(out);
  EXPECT_EQ(started.id, "c-1");
  EXPECT_EQ(started.created, 1700000000);
  EXPECT_EQ(started.fingerprint, "b1");
}

TEST(Chunk, Texts) {
  auto text = [](std::string_view delta) {
    return only<TextDelta>(
        decode(std::string(R"({"choices":[{"index":2,"delta":)").append(delta).append("}]}")));
  };
  EXPECT_EQ(text(R"({"content":"é\n"})").text, "é\n");
  EXPECT_EQ(text(R"({"content":"x"})").choice, 2u);
  EXPECT_EQ(text(R"({"content":"x"})").kind, TextKind::content);
  EXPECT_EQ(text(R"({"reasoning_content":"x"})").kind, TextKind::reasoning);
  EXPECT_EQ(text(R"({"reasoning":"x"})").kind, TextKind::reasoning);
  EXPECT_EQ(text(R"({"refusal":"x","content":null})").kind, TextKind::refusal);
  EXPECT_EQ(only<TextDelta>(decode(R"({"choices":[{"text":"abc"}]})")).text, "abc");
  EXPECT_TRUE(decode(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})").empty());
}

TEST(Chunk, ToolCalls) {
  auto events = decode(R"({"choices":[{"delta":{"tool_calls":[
      {"index":1,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a"}},
      {"function":{"arguments":"\":1}"}}, 5, {"index":3}]}}]})");
  ASSERT_EQ(events.size(), 3u);
  const auto& first = std::get<ToolCallDelta>(events[0]);
  EXPECT_EQ(first.index, 1u);
  EXPECT_EQ(first.id, "c1");
  EXPECT_EQ(first.name, "f");
  EXPECT_EQ(first.arguments, "{\"a");
  const auto& second = std::get<ToolCallDelta>(events[1]);
  EXPECT_EQ(second.index, 0u);
  EXPECT_EQ(second.id, "");
  EXPECT_EQ(second.arguments, "\":1}");
  EXPECT_EQ(std::get<ToolCallDelta>(events[2]).index, 3u);
}

TEST(Chunk, Logprobs) {
  const auto& delta = only<LogprobsDelta>(decode(R"({"choices":[{"index":1,"delta":{},"logprobs":
      {"content":[{"token":"a","logprob":-0.5,"bytes":[97,226],"top_logprobs":[
          {"token":"b","logprob":-2,"bytes":null}, 7]}, null]}}]})"));
  EXPECT_EQ(delta.choice, 1u);
  ASSERT_EQ(delta.tokens.size(), 1u);
  EXPECT_EQ(delta.tokens[0].token, "a");
  EXPECT_DOUBLE_EQ(delta.tokens[0].logprob, -0.5);
  EXPECT_EQ(delta.tokens[0].bytes, (std::vector<unsigned char>{97, 226}));
  ASSERT_EQ(delta.tokens[0].top.size(), 1u);
  EXPECT_EQ(delta.tokens[0].top[0].token, "b");
  EXPECT_DOUBLE_EQ(delta.tokens[0].top[0].logprob, -2);
  EXPECT_TRUE(decode(R"({"choices":[{"logprobs":{"content":[]}},{"logprobs":null},
                                     {"logprobs":{"content":null}}]})")
                  .empty());
}

TEST(Chunk, FinishReasons) {
  const std::pair<std::string_view, FinishReason> reasons[] = {
      {"stop", FinishReason::stop},
      {"length", FinishReason::length},
      {"tool_calls", FinishReason::tool_calls},
      {"function_call", FinishReason::tool_calls},
      {"content_filter", FinishReason::content_filter},
      {"never heard of", FinishReason::stop}};
  for (auto [text, reason] : reasons) {
    const auto& finished =
        only<Finished>(decode(std::string(R"({"choices":[{"index":4,"delta":{},"finish_reason":")")
                                  .append(text)
                                  .append("\"}]}")));
    EXPECT_EQ(finished.reason, reason);
    EXPECT_EQ(finished.choice, 4u);
  }
  EXPECT_TRUE(decode(R"({"choices":[{"delta":{},"finish_reason":null}]})").empty());
}

TEST(Chunk, UsageAndTimings) {
  const auto usage = only<UsageReport>(decode(R"({"choices":[],"usage":{"prompt_tokens":10,
      "completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":7}}})"))
                         .usage;
  EXPECT_TRUE(usage.reported);
  EXPECT_EQ(usage.prompt_tokens, 10u);
  EXPECT_EQ(usage.completion_tokens, 5u);
  EXPECT_EQ(usage.cached_tokens, 7u);
  EXPECT_EQ(usage.backend_timings, "");
  EXPECT_TRUE(decode(R"({"choices":[],"usage":null})").empty());
  const auto odd =
      only<UsageReport>(decode(R"({"usage":{"prompt_tokens":-1,"completion_tokens":"x"}})")).usage;
  EXPECT_EQ(odd.prompt_tokens, 0u);
  EXPECT_EQ(odd.completion_tokens, 0u);
}

TEST(Chunk, TimingsCountUpFromChunkToChunk) {
  Usage usage;
  ASSERT_TRUE(read_usage(R"({"timings":{"cache_n":3,"prompt_n":4,"predicted_n":1}})", usage));
  EXPECT_EQ(usage.completion_tokens, 1u);
  ASSERT_TRUE(read_usage(R"({"timings":{"cache_n":3,"prompt_n":4,"predicted_n":9}})", usage));
  EXPECT_EQ(usage.prompt_tokens, 7u);
  EXPECT_EQ(usage.cached_tokens, 3u);
  EXPECT_EQ(usage.completion_tokens, 9u);
  // Where both are, the usage counts and the timings are kept.
  ASSERT_TRUE(read_usage(R"({"usage":{"prompt_tokens":8,"completion_tokens":10},
                             "timings":{"predicted_n":99,"predicted_ms":1.5}})",
                         usage));
  EXPECT_EQ(usage.completion_tokens, 10u);
  EXPECT_EQ(usage.backend_timings, R"({"predicted_n":99,"predicted_ms":1.5})");
}

TEST(Chunk, ErrorsAndRubbish) {
  ChunkState state;
  std::vector<Event> out;
  auto failed = decode_chunk(R"({"error":{"message":"no memory","code":500}})", state, out);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::upstream);
  EXPECT_EQ(failed.error().message, "no memory");
  for (auto data : {"", "x", "[]", "1", "{", "\"x\"", "null", "{\"a\":1e999}"}) {
    auto done = decode_chunk(data, state, out);
    ASSERT_FALSE(done) << data;
    EXPECT_EQ(done.error().code, ErrorCode::upstream);
  }
  EXPECT_TRUE(out.empty());
  // Wrong shapes inside are nothing, not a crash; an error that is null is none.
  for (auto data :
       {R"({"error":null,"choices":[]})", R"({"choices":{}})", R"({"choices":[1,null,[]]})",
        R"({"choices":[{"delta":[],"index":"x","finish_reason":1}]})",
        R"({"choices":[{"delta":{"content":5,"tool_calls":{}},"logprobs":[]}]})"}) {
    EXPECT_TRUE(decode(data).empty()) << data;
  }
}

TEST(UsageScan, FindsTheObjectNearTheEnd) {
  auto scan = [](std::string_view document) {
    Usage usage;
    scan_usage(document, usage);
    return usage;
  };
  auto plain = scan(R"({"choices":[{"x":{}}],"usage" : 1,"usage":  {"prompt_tokens":3,
      "prompt_tokens_details":{"cached_tokens":1},"completion_tokens":4}})");
  EXPECT_EQ(plain.prompt_tokens, 3u);
  EXPECT_EQ(plain.completion_tokens, 4u);
  EXPECT_EQ(plain.cached_tokens, 1u);
  EXPECT_TRUE(plain.reported);
  // Braces and quotes inside of strings do not count.
  auto odd = scan(
      R"({"usage":{"a":"}}","b\"}":"{","c\\":"\"}","prompt_tokens":3,"completion_tokens":4},"z":1})");
  EXPECT_TRUE(odd.reported);
  EXPECT_EQ(odd.completion_tokens, 4u);
  // A text that talks about usage is not one.
  EXPECT_FALSE(scan(R"({"content":"\"usage\":{\"prompt_tokens\":3}"})").reported);
  for (auto document :
       {"", "{}", R"({"usage":null})", R"({"usage":)", R"({"usage":{)", R"({"usage":{"a":"})",
        R"({"usage":{"prompt_tokens":}})", R"({"usage":{"a":"\)"}) {
    EXPECT_FALSE(scan(document).reported) << document;
  }
}

TEST(UpstreamError, ReadsEveryKnownShape) {
  auto message = [](std::string_view payload) { return error_from_payload(payload, 400).message; };
  EXPECT_EQ(message(R"({"error":{"message":"bad","type":"x","code":400}})"), "bad");
  EXPECT_EQ(message(R"({"error":"model is busy"})"), "model is busy");
  EXPECT_EQ(message(R"({"detail":"no"})"), "no");
  EXPECT_EQ(message(R"({"object":"error","message":"vllm"})"), "vllm");
  EXPECT_EQ(error_from_payload(R"({"error":{"message":"bad","param":"top_p"}})", 400).param,
            "top_p");
  for (auto payload :
       {"", "<html>Bad Gateway</html>", "[]", "{}", R"({"error":5})", R"({"error":{}})",
        R"({"error":{"message":7,"param":[]}})", R"({"detail":[{"msg":"x"}]})"}) {
    EXPECT_EQ(message(payload), "the backend answered with status 400") << payload;
  }
  EXPECT_EQ(error_from_payload("", 418).cause, "backend status 418");
}

TEST(UpstreamError, StatusesKeepTheirMeaning) {
  const std::pair<int, ErrorCode> statuses[] = {
      {400, ErrorCode::invalid_argument}, {422, ErrorCode::invalid_argument},
      {401, ErrorCode::upstream},         {403, ErrorCode::upstream},
      {404, ErrorCode::not_found},        {408, ErrorCode::timeout},
      {409, ErrorCode::conflict},         {413, ErrorCode::too_large},
      {429, ErrorCode::rate_limited},     {500, ErrorCode::upstream},
      {501, ErrorCode::unsupported},      {502, ErrorCode::upstream},
      {503, ErrorCode::unavailable},      {504, ErrorCode::timeout},
      {302, ErrorCode::upstream},         {0, ErrorCode::upstream}};
  for (auto [status, code] : statuses) {
    EXPECT_EQ(error_from_payload(R"({"error":"x"})", status).code, code) << status;
  }
}

TEST(UpstreamError, NamesBothLengthsOfAnOverlongPrompt) {
  Error error = error_from_payload(R"({"error":{"code":500,"message":"the request exceeds",
      "type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}})",
                                   500);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_TRUE(error.message.contains("5000") && error.message.contains("4096")) << error.message;
  EXPECT_EQ(error.param, "messages");
  EXPECT_FALSE(error.hint_text.empty());
  EXPECT_EQ(error_from_payload(R"({"error":{"message":"m","n_ctx":4096}})", 500).message, "m");
}

TEST(UpstreamError, NamesBothLengthsOfAnInputThatDoesNotFitAStep) {
  auto of = [](std::string_view message) {
    return error_from_payload(
        R"({"error":{"code":500,"type":"server_error","message":")" + std::string(message) + "\"}}",
        500);
  };
  Error error =
      of("input (3003 tokens) is too large to process. increase the physical batch size "
         "(current batch size: 512)");
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_TRUE(error.message.contains("3003") && error.message.contains("512")) << error.message;
  EXPECT_EQ(error.param, "input");
  EXPECT_FALSE(error.hint_text.empty());
  for (const char* other : {"the file is too large to process", "input (x) is too large to process",
                            "input (5 tokens) is too large to process", "input (3003 tokens)"}) {
    EXPECT_EQ(of(other).code, ErrorCode::upstream) << other;
    EXPECT_EQ(of(other).message, other);
  }
}

TEST(UpstreamError, LongTextsAreCutBetweenCharacters) {
  for (std::size_t shift = 0; shift < 4; ++shift) {
    std::string text(shift, 'x');
    for (int i = 0; i < 3000; ++i) text += "\xE2\x82\xAC";
    Error error = error_from_payload(R"({"error":)" + json::quoted(text) + "}", 400);
    EXPECT_LE(error.message.size(), 2000u);
    EXPECT_GE(error.message.size(), 1997u);
    EXPECT_TRUE(is_utf8(error.message));
    EXPECT_TRUE(text.starts_with(error.message));
  }
}

}  // namespace
}  // namespace corral::bindings::openai::chunk_test
