// `corral pull`, `corral operations` and `corral search`, over a fake server.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/commands.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::pull_command_test {
namespace {

const std::string kBegun =
    R"({"id":"pull-1","kind":"pull","target":"tiny","state":"queued","bytes_done":0})";

std::string state(std::string_view state, std::uint64_t done, std::string_view more = "") {
  return fmt::format(R"({{"id":"pull-1","kind":"pull","target":"tiny","model":"tiny:1b",
                         "state":"{}","stage":"downloading","bytes_total":1048576,"bytes_done":{},
                         "bytes_per_second":1024,"remaining_seconds":75{}}})",
                     state, done, more);
}

std::string event(const std::string& type, std::string data) {
  std::erase(data, '\n');
  return fmt::format("event: {}\ndata: {}\n\n", type, data);
}

constexpr const char* kEvents = "GET /admin/v1/operations/pull-1/events";

TEST(PullCommand, ShowsProgressAndTheEnd) {
  Stage stage;
  stage.server.on("POST /admin/v1/pulls", {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("progress", state("running", 0)),
                                       event("progress", state("running", 524288)),
                                       event("end", state("succeeded", 1048576))}});
  EXPECT_EQ(stage.run({"pull", "tiny", "--name", "mine"}), 0);
  EXPECT_EQ(stage.server.seen[0].body, R"({"model":"tiny","name":"mine"})");
  EXPECT_EQ(stage.console.out_text, "tiny:1b is here\n");
  EXPECT_TRUE(stage.console.err_text.contains("tiny: downloading 0 %, 0 B of 1.0 MiB, 1.0 KiB/s"))
      << stage.console.err_text;
  EXPECT_FALSE(stage.console.err_text.contains("50 %")) << "a log needs no line for each step";
  EXPECT_FALSE(stage.console.err_text.contains("\r"));
}

TEST(PullCommand, DrawsABarOnATerminal) {
  Stage stage;
  stage.console.err_terminal = true;
  stage.server.on("POST /admin/v1/pulls", {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("progress", state("running", 524288)),
                                       event("end", state("succeeded", 1048576))}});
  EXPECT_EQ(stage.run({"pull", "tiny"}), 0);
  EXPECT_TRUE(stage.console.err_text.contains("████████████░░░░░░░░░░░░  50 %"))
      << stage.console.err_text;
  EXPECT_TRUE(stage.console.err_text.contains("1m15s left"));
  EXPECT_TRUE(stage.console.err_text.ends_with("\n"));
}

TEST(PullCommand, FailuresSayWhatRemains) {
  Stage stage;
  stage.server.on("POST /admin/v1/pulls", {.status = 202, .body = kBegun});
  stage.server.on(kEvents,
                  {.stream = {event("end", state("failed", 5, R"(,"error":"no space")"))}});
  EXPECT_EQ(stage.run({"pull", "tiny"}), 1);
  EXPECT_TRUE(stage.console.err_text.contains("no space"));
  EXPECT_TRUE(stage.console.err_text.contains("corral operations resume pull-1"));
}

TEST(PullCommand, OthersMayPauseOrCancelIt) {
  Stage stage;
  stage.server.on("POST /admin/v1/pulls", {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("progress", state("paused", 5)), "never read"}});
  EXPECT_EQ(stage.run({"pull", "tiny"}), 0);
  EXPECT_TRUE(stage.console.out_text.contains("is paused"));
  Stage other;
  other.server.on("POST /admin/v1/pulls", {.status = 202, .body = kBegun});
  other.server.on(kEvents, {.stream = {event("end", state("cancelled", 5))}});
  EXPECT_EQ(other.run({"pull", "tiny"}), 1);
  EXPECT_TRUE(other.console.err_text.contains("was cancelled"));
}

TEST(PullCommand, CtrlCLeavesItRunningAndSaysSo) {
  Stage stage;
  stage.server.on("POST /admin/v1/pulls", {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {event("progress", state("running", 5))},
                            .failure = Failure{ExitCode::interrupted, "interrupted", {}}});
  EXPECT_EQ(stage.run({"pull", "tiny"}), 130);
  EXPECT_TRUE(stage.console.err_text.contains("goes on in the server"));
  EXPECT_EQ(stage.server.seen.size(), 2u) << "nothing is cancelled";
}

TEST(PullCommand, AStreamThatEndsEarlyIsAFailure) {
  Stage stage;
  stage.server.on("POST /admin/v1/pulls", {.status = 202, .body = kBegun});
  stage.server.on(kEvents, {.stream = {}});
  EXPECT_EQ(stage.run({"pull", "tiny"}), 1);
  EXPECT_TRUE(stage.console.err_text.contains("ended the stream"));
}

TEST(PullCommand, DetachedAndDryRun) {
  Stage stage;
  stage.server.on("POST /admin/v1/pulls", {.status = 202, .body = kBegun});
  EXPECT_EQ(stage.run({"pull", "tiny", "--detach"}), 0);
  EXPECT_EQ(stage.console.out_text, "tiny is queued as pull-1\n");
  stage.server.on(
      "GET /admin/v1/pulls/plan?model=hf%3Ao%2Fr",
      {.body = R"({"name":"hf.co/o/r","origin":"hf:o/r","revision":"abc","size_bytes":2048,
                   "files":[{"name":"f\u001b.gguf","role":"weights","size_bytes":null}]})"});
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"pull", "--dry-run", "hf:o/r"}), 0);
  EXPECT_TRUE(stage.console.out_text.contains("2.0 KiB")) << stage.console.out_text;
  EXPECT_TRUE(stage.console.out_text.contains("weights, size not known"));
  EXPECT_FALSE(stage.console.out_text.contains("\x1b"));
}

TEST(OperationsCommand, ListsAndActs) {
  Stage stage;
  stage.server.on(
      "GET /admin/v1/operations",
      {.body = fmt::format(R"({{"operations":[{}, null, 5]}})", state("running", 524288))});
  EXPECT_EQ(stage.run({"operations"}), 0);
  EXPECT_TRUE(stage.console.out_text.contains("512.0 KiB of 1.0 MiB")) << stage.console.out_text;
  for (std::string action : {"pause", "resume", "cancel"}) {
    stage.server.on("POST /admin/v1/operations/pull-1/" + action, {.body = state(action + "d", 5)});
    stage.console.out_text.clear();
    EXPECT_EQ(stage.run({"operations", action, "pull-1"}), 0);
    EXPECT_EQ(stage.console.out_text, fmt::format("pull-1 is {}d\n", action));
  }
  EXPECT_EQ(stage.run({"operations", "cancel", "none"}), 4);
  Stage empty;
  empty.server.on("GET /admin/v1/operations", {.body = R"({"operations":[]})"});
  EXPECT_EQ(empty.run({"operations"}), 0);
  EXPECT_EQ(empty.console.out_text, "There is no operation.\n");
  empty.server.on(kEvents, {.stream = {event("end", state("succeeded", 1048576))}});
  EXPECT_EQ(empty.run({"operations", "watch", "pull-1", "--json"}), 0);
  EXPECT_TRUE(empty.console.out_text.contains(R"("state":"succeeded")"));
}

TEST(SearchCommand, ShowsWhatWasFound) {
  Stage stage;
  stage.server.on(
      "GET /admin/v1/search?q=tiny%20llama",
      {.body = R"({"models":[{"reference":"hf:o/r","parameters":"1.2B","downloads":12345,
                               "license":"mit","gated":true,"size_bytes":null}]})"});
  EXPECT_EQ(stage.run({"search", "tiny", "llama"}), 0);
  EXPECT_TRUE(stage.console.out_text.contains("hf:o/r"));
  EXPECT_TRUE(stage.console.out_text.contains("yes"));
  stage.server.on("GET /admin/v1/search?q=x", {.body = R"({"models":[]})"});
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"search", "x"}), 0);
  EXPECT_EQ(stage.console.out_text, "Nothing was found.\n");
}

TEST(RenderPulls, ShapesThatNobodyPromisedAreSurvived) {
  Paint plain(false);
  for (std::string_view body : {"", "null", "[]", "{}", R"({"operations":5,"models":7})"}) {
    EXPECT_EQ(render_operations(body, {}, plain), "");
    EXPECT_EQ(render_search(body, plain), "");
    EXPECT_NE(render_fetch_plan(body, plain), "");
    auto value = corral::json::parse(body);
    if (value) (void)render_progress(*value);
    if (value) (void)render_progress_line(*value);
  }
}

}  // namespace
}  // namespace corral::cli::pull_command_test
