// `corral bench`, over a fake server.
#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/commands.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::bench_command_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kBegin = "POST /admin/v1/models/tiny/bench";
constexpr const char* kEvents = "GET /admin/v1/operations/bench-1/events";
constexpr const char* kPast = "GET /admin/v1/models/tiny/benchmarks?limit=1";

const std::string kBegun = R"({"id":"bench-1","kind":"bench","target":"tiny","state":"running"})";

std::string event(const std::string& state, const std::string& stage,
                  const std::string& error = "null") {
  return fmt::format(
      "event: progress\ndata: {{\"id\":\"bench-1\",\"state\":\"{}\",\"stage\":\"{}\","
      "\"remaining_seconds\":75,\"error\":{}}}\n\n",
      state, stage, error);
}

const std::string kMeasured = R"({"model":"tiny","tuned":null,"benchmarks":[{"id":7,
  "measured":"2025-12-31T23:00:00.000Z","result":{"operation":"bench-1","kind":"bench",
  "purpose":"chat","engine":"b1-abc","settings":{"device":"cpu","slots":4,"context":1024,
  "threads":2,"batch":256,"cache_type":"f16","repack":true},"load_seconds":0.4321,
  "resident_peak_bytes":33554432,"estimated_bytes":31457280,"interruptions":1,"disturbed":0.25,
  "measures":[
   {"prompt_tokens":128,"concurrency":1,"prompt_tokens_per_second":2000.4,
    "generation_tokens_per_second":50.25,"generation_tokens_per_second_each":50.25,
    "requests_per_second":0.7,"first_token_p50_ms":64.2,"first_token_worst_ms":70.9},
   {"prompt_tokens":128,"concurrency":4,"prompt_tokens_per_second":2400,
    "generation_tokens_per_second":100.5,"generation_tokens_per_second_each":25.1,
    "requests_per_second":1.4,"first_token_p50_ms":200,"first_token_worst_ms":12000}],
  "skipped":[{"prompt_tokens":2048,"concurrency":4}],"search":null}}]})";

const std::string kTuned = R"({"model":"tiny","tuned":{"tuned":"2025-12-31T23:00:00.000Z",
  "settings":{"batch":512},"note":"batch 512: 12 % faster than the default"},"benchmarks":[{"id":8,
  "measured":"2025-12-31T23:00:00.000Z","result":{"kind":"tune","purpose":"chat",
  "settings":{"device":"cpu","slots":4,"context":1024,"threads":2,"batch":256,"cache_type":"f16",
  "repack":false},"measures":[],"skipped":[],"search":{"kept":true,"gain":0.12,
  "why":"batch 512: 12 % faster than the default","trials":[
   {"what":"the default","rates":{"prompt_tokens_per_second":100,"generation_tokens_per_second":20,
     "together_tokens_per_second":50,"score":46.4},"problem":null},
   {"what":"batch 512","rates":{"prompt_tokens_per_second":140,"generation_tokens_per_second":20,
     "together_tokens_per_second":50,"score":51.9},"problem":null},
   {"what":"threads 9","rates":null,"problem":"it did not start"}]}}}]})";

TEST(BenchCommand, FollowsItAndShowsATable) {
  Stage stage;
  stage.server.on(kBegin, {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("running", "loading"), event("running", "loading"),
                                       event("running", "128 tokens"), event("succeeded", "")}});
  stage.server.on(kPast, {.body = kMeasured});
  EXPECT_EQ(stage.run({"bench", "tiny", "--prompts", "128,2048", "--concurrency", "1,4", "--tokens",
                       "16", "--repeats", "2", "--budget", "90s", "--embeddings"}),
            0);
  EXPECT_EQ(stage.server.seen[0].body,
            R"({"prompts":[128,2048],"concurrency":[1,4],"tokens":16,"repeats":2,"budget":"90s",)"
            R"("purpose":"embedding"})");
  EXPECT_EQ(stage.console.err_text, "loading\n128 tokens\n");
  const std::string& out = stage.console.out_text;
  EXPECT_THAT(out, HasSubstr("4 slots of 1024 tokens, 2 threads, batch 256, cache f16"));
  EXPECT_THAT(out, HasSubstr("32.0 MiB at most (30.0 MiB estimated)"));
  EXPECT_THAT(out, HasSubstr("0.43 s"));
  EXPECT_THAT(out, HasSubstr("b1-abc"));
  EXPECT_THAT(out, HasSubstr("PROMPT TOKENS/S"));
  EXPECT_THAT(out, HasSubstr("12.0 s"));
  // The graph: half as long for half the speed.
  EXPECT_THAT(out, HasSubstr(" 71 ms  ██████████\n"));
  EXPECT_THAT(out, HasSubstr("12.0 s  ████████████████████\n"));
  EXPECT_THAT(out, HasSubstr("not measured for lack of time: 2048 tokens, 4 at once"));
  EXPECT_THAT(out, HasSubstr("gave way to other models 1 time\n"));
  EXPECT_THAT(out, HasSubstr("during 25 % of it"));
}

TEST(BenchCommand, OnATerminalOneLineIsRedrawn) {
  Stage stage;
  stage.console.err_terminal = true;
  stage.server.on(kBegin, {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("running", "loading"), event("succeeded", "")}});
  stage.server.on(kPast, {.body = kMeasured});
  EXPECT_EQ(stage.run({"bench", "tiny"}), 0);
  EXPECT_EQ(stage.server.seen[0].body, "{}");
  EXPECT_EQ(stage.console.err_text, "\r\x1b[Kloading  at most 1m15s\r\x1b[K");
}

TEST(BenchCommand, ASearchShowsItsTrials) {
  Stage stage;
  stage.server.on(kBegin, {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("succeeded", "")}});
  stage.server.on(kPast, {.body = kTuned});
  EXPECT_EQ(stage.run({"bench", "tiny", "--tune", "--smaller-cache"}), 0);
  EXPECT_EQ(stage.server.seen[0].body, R"({"tune":true,"smaller_cache":true})");
  const std::string& out = stage.console.out_text;
  EXPECT_THAT(out, HasSubstr("kept for the next starts: batch 512: 12 % faster"));
  EXPECT_THAT(out, HasSubstr("it did not start"));
  EXPECT_THAT(out, HasSubstr("not rearranged"));
  EXPECT_THAT(out, Not(HasSubstr("Load time")));
}

TEST(BenchCommand, JsonIsTheResult) {
  Stage stage;
  stage.server.on(kBegin, {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("succeeded", "")}});
  stage.server.on(kPast, {.body = kMeasured});
  EXPECT_EQ(stage.run({"bench", "tiny", "--json"}), 0);
  auto document = corral::json::parse(stage.console.out_text);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->at("result").at("operation"), "bench-1");
}

TEST(BenchCommand, WhatFailsIsSaid) {
  Stage stage;
  stage.server.on(kBegin, {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("failed", "", "\"the engine is tired\"")}});
  EXPECT_EQ(stage.run({"bench", "tiny"}), 1);
  EXPECT_THAT(stage.console.err_text, HasSubstr("the engine is tired"));

  Stage cancelled;
  cancelled.server.on(kBegin, {.status = 202, .body = kBegun});
  cancelled.server.on(kEvents, {.stream = {event("cancelled", "")}});
  EXPECT_EQ(cancelled.run({"bench", "tiny"}), 1);
  EXPECT_THAT(cancelled.console.err_text, HasSubstr("the benchmark was cancelled"));

  Stage cut;
  cut.server.on(kBegin, {.status = 202, .body = kBegun});
  cut.server.on(kEvents, {.stream = {}});
  EXPECT_EQ(cut.run({"bench", "tiny"}), 1);
  EXPECT_THAT(cut.console.err_text, HasSubstr("ended the stream of events early"));

  Stage refused;
  refused.server.on(
      kBegin,
      {.status = 422, .body = R"({"title":"x","status":422,"detail":"\"repeats\" is wrong"})"});
  EXPECT_EQ(refused.run({"bench", "tiny", "--repeats", "0"}), 1);
  EXPECT_THAT(refused.console.err_text, HasSubstr("repeats"));
}

TEST(BenchCommand, AnInterruptionLeavesItRunning) {
  Stage stage;
  stage.server.on(kBegin, {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("running", "loading")},
                            .failure = Failure{ExitCode::interrupted, "", ""}});
  EXPECT_EQ(stage.run({"bench", "tiny"}), 130);
  EXPECT_THAT(stage.console.err_text, HasSubstr("corral operations cancel bench-1 ends it"));
}

TEST(BenchCommand, LastForgetAndDetach) {
  Stage stage;
  stage.server.on(kPast, {.body = kMeasured});
  EXPECT_EQ(stage.run({"bench", "tiny", "--last"}), 0);
  EXPECT_THAT(stage.console.out_text, HasSubstr("FIRST TOKEN"));

  Stage none;
  none.server.on(kPast, {.body = R"({"model":"tiny","benchmarks":[],"tuned":null})"});
  EXPECT_EQ(none.run({"bench", "tiny", "--last"}), 4);
  EXPECT_THAT(none.console.err_text, HasSubstr("was not measured yet"));

  Stage forget;
  forget.server.on("DELETE /admin/v1/models/tiny/tuned", {.status = 204});
  EXPECT_EQ(forget.run({"bench", "tiny", "--forget"}), 0);
  EXPECT_EQ(forget.console.out_text, "tiny starts by default again\n");
  EXPECT_EQ(forget.run({"bench", "tiny", "--forget", "--json"}), 0);
  EXPECT_THAT(forget.console.out_text, HasSubstr(R"("forgotten":true)"));
  EXPECT_EQ(forget.run({"bench", "tiny", "--forget", "--tune"}), 2);
  EXPECT_EQ(forget.run({"bench", "tiny", "--smaller-cache"}), 2);
  EXPECT_EQ(forget.run({"bench", "tiny", "--prompts", "1,x"}), 2);
  EXPECT_THAT(forget.console.err_text, HasSubstr("is not a list of numbers such as 128,512"));

  Stage detached;
  detached.server.on(kBegin, {.status = 202, .body = kBegun});
  EXPECT_EQ(detached.run({"bench", "tiny", "--detach"}), 0);
  EXPECT_EQ(detached.console.out_text, "tiny is measured as bench-1\n");
  EXPECT_EQ(detached.run({"bench", "tiny", "--detach", "--json"}), 0);
}

TEST(BenchCommand, ShowMentionsTheLast) {
  Stage stage;
  stage.server.on("GET /admin/v1/models/tiny",
                  {.body = R"({"name":"tiny","source":"file","state":"unloaded"})"});
  stage.server.on(kPast, {.body = kMeasured});
  EXPECT_EQ(stage.run({"show", "tiny"}), 0);
  EXPECT_THAT(stage.console.out_text,
              HasSubstr("2000 tokens/s of prompt, 50.2 tokens/s, first token after 64 ms"));
  EXPECT_EQ(stage.run({"show", "tiny", "--json"}), 0);
  EXPECT_THAT(stage.console.out_text, HasSubstr(R"("benchmark":{)"));

  Stage tuned;
  tuned.server.on("GET /admin/v1/models/tiny",
                  {.body = R"({"name":"tiny","source":"file","state":"unloaded"})"});
  tuned.server.on(kPast, {.body = kTuned});
  EXPECT_EQ(tuned.run({"show", "tiny"}), 0);
  EXPECT_THAT(tuned.console.out_text, HasSubstr("Tuned"));
  EXPECT_THAT(tuned.console.out_text, HasSubstr("batch 512: 12 % faster than the default"));
}

// Whatever the server says, nothing breaks.
TEST(BenchCommand, OddAnswersAreShownAsFarAsTheyGo) {
  Paint plain(false);
  sys::ManualClock clock;
  for (const char* body :
       {"", "[]", "{}", R"({"benchmarks":5})", R"({"benchmarks":[5]})",
        R"({"benchmarks":[{"result":{"measures":[3,{}],"search":{"trials":[{}]}}}]})",
        R"({"benchmarks":[{"result":{"measures":[{"prompt_tokens":-1,
            "first_token_p50_ms":"x","generation_tokens_per_second":1e300}],"skipped":[1]}}]})"}) {
    (void)render_benchmark(body, clock.wall(), plain);
  }
  std::string bad = render_benchmark(
      "{\"model\":\"a\\u001b[31m\",\"benchmarks\":[{\"result\":{\"search\":{\"why\":\"\\u001b\"}}}]"
      "}",
      clock.wall(), plain);
  EXPECT_THAT(bad, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace corral::cli::bench_command_test
