// `corral sources`, `info`, `recommend` and `sync`, over a fake server.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/commands.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::source_command_test {
namespace {

constexpr const char* kSync = "POST /admin/v1/sync";

const std::string kPlan =
    R"({"source":"lab","fetch_bytes":2048,"refused":[],"models":[
        {"name":"lab/a","state":"new","size_bytes":2048,"fetch_bytes":2048,"operation":"pull-1",
         "here_as":null,"error":null},
        {"name":"lab/b","state":"same","size_bytes":5,"fetch_bytes":0,"operation":null,
         "here_as":"b","error":null}]})";

std::string ended(std::string_view state, std::string_view error = "") {
  return fmt::format(
      "event: end\ndata: {{\"id\":\"pull-1\",\"state\":\"{}\",\"error\":\"{}\"}}\n\n", state,
      error);
}

TEST(SyncCommand, ShowsThePlanAndFollowsItsPulls) {
  Stage stage;
  stage.server.on(kSync, {.status = 202, .body = kPlan});
  stage.server.on("GET /admin/v1/operations/pull-1/events", {.stream = {ended("succeeded")}});
  EXPECT_EQ(stage.run({"sync", "lab", "a*", "b"}), 0) << stage.console.err_text;
  EXPECT_EQ(stage.server.seen[0].body, R"({"source":"lab","dry_run":false,"patterns":["a*","b"]})");
  EXPECT_TRUE(stage.console.out_text.contains("1 model to fetch, 2.0 KiB"))
      << stage.console.out_text;
  EXPECT_TRUE(stage.console.out_text.contains("here as b"));
  EXPECT_TRUE(stage.console.out_text.ends_with("1 model fetched\n"));
}

TEST(SyncCommand, ADryRunFetchesNothing) {
  Stage stage;
  stage.server.on(kSync, {.body = R"({"fetch_bytes":0,"models":[],"refused":[]})"});
  EXPECT_EQ(stage.run({"sync", "lab", "--dry-run", "--delete"}), 0);
  EXPECT_EQ(stage.server.seen[0].body, R"({"source":"lab","dry_run":true,"delete":true})");
  EXPECT_EQ(stage.server.seen.size(), 1u);
  EXPECT_TRUE(stage.console.out_text.contains("The source has no models"));
}

TEST(SyncCommand, JsonSaysHowEachEnded) {
  Stage stage;
  stage.server.on(kSync, {.status = 202, .body = kPlan});
  stage.server.on("GET /admin/v1/operations/pull-1/events", {.stream = {ended("succeeded")}});
  EXPECT_EQ(stage.run({"sync", "lab", "--json"}), 0);
  auto document = json::parse(stage.console.out_text);
  ASSERT_TRUE(document) << stage.console.out_text;
  EXPECT_EQ(document->at("models").at(0).at("result"), "succeeded");
}

TEST(SyncCommand, FailuresAreNamed) {
  Stage stage;
  std::string plan = kPlan;
  plan.replace(plan.find(R"("refused":[])"), 12,
               R"("refused":[{"name":"bad","error":"odd path"}])");
  stage.server.on(kSync, {.status = 202, .body = plan});
  stage.server.on("GET /admin/v1/operations/pull-1/events",
                  {.stream = {ended("failed", "wrong checksum")}});
  EXPECT_EQ(stage.run({"sync", "lab"}), 1);
  EXPECT_TRUE(stage.console.out_text.contains("refused: bad: odd path"));
  EXPECT_TRUE(stage.console.err_text.contains(
      "2 models could not be fetched: bad: odd path; lab/a: wrong checksum"))
      << stage.console.err_text;
  Stage paused;
  paused.server.on(kSync, {.status = 202, .body = kPlan});
  paused.server.on("GET /admin/v1/operations/pull-1/events", {.stream = {ended("paused")}});
  EXPECT_EQ(paused.run({"sync", "lab"}), 0);
  EXPECT_TRUE(paused.console.out_text.contains("1 paused"));
  Stage detached;
  detached.server.on(kSync, {.status = 202, .body = kPlan});
  EXPECT_EQ(detached.run({"sync", "lab", "--detach"}), 0);
  EXPECT_EQ(detached.server.seen.size(), 1u);
}

TEST(SyncCommand, RubbishDoesNoHarm) {
  for (const char* body : {"[]", "{\"models\":1}", "{\"models\":[1,{}]}"}) {
    Stage stage;
    stage.server.on(kSync, {.body = body});
    EXPECT_EQ(stage.run({"sync", "lab"}), 0) << body;
  }
  Stage stage;
  EXPECT_EQ(stage.run({"sync"}), 2);
}

TEST(SourcesCommand, ShowsWhoAnswers) {
  Stage stage;
  stage.server.on("GET /admin/v1/sources",
                  {.body = R"({"sources":[{"name":"hf","kind":"hub","address":"https://h",
                                           "reachable":true,"error":null},
                                          {"name":"lab","kind":"folder","address":"http://l",
                                           "reachable":false,"error":"nobody there"}]})"});
  EXPECT_EQ(stage.run({"sources"}), 0);
  EXPECT_EQ(stage.console.out_text,
            "NAME  KIND    ADDRESS    ANSWERS  WHY NOT\n"
            "hf    hub     https://h  yes      -\n"
            "lab   folder  http://l   no       nobody there\n");
}

TEST(InfoCommand, ShowsWhatIsKnown) {
  Stage stage;
  stage.server.on("GET /admin/v1/sources/info?reference=hf%3Ao%2Fr",
                  {.body = R"({"reference":"hf:o/r","license":"mit","parameters":"8B",
                               "size_bytes":1048576,"downloads":1234567,"gated":true,
                               "fit":{"fits":false,"why":"too large","hint":"Q2_K would fit"}})"});
  EXPECT_EQ(stage.run({"info", "hf:o/r"}), 0) << stage.console.err_text;
  for (const char* part : {"hf:o/r", "1.0 MiB", "1.2M", "needs a token", "too large", "Q2_K"}) {
    EXPECT_TRUE(stage.console.out_text.contains(part)) << part << stage.console.out_text;
  }
  EXPECT_TRUE(render_info("{}", Paint(false)).contains("not known"));
}

TEST(InfoCommand, SaysThatAModelIsHere) {
  Stage stage;
  stage.server.on("GET /admin/v1/sources/info?reference=tiny",
                  {.status = 503, .body = R"({"detail":"h does not resolve"})"});
  EXPECT_EQ(stage.run({"info", "tiny"}), 1);
  EXPECT_EQ(stage.console.err_text, "error: h does not resolve\n");
  stage.server.on("GET /admin/v1/models/tiny", {.body = R"({"name":"tiny"})"});
  stage.console.err_text.clear();
  EXPECT_EQ(stage.run({"info", "tiny"}), 1);
  EXPECT_EQ(stage.console.err_text,
            "error: h does not resolve\nhint: a model of that name is here: corral show tiny\n");
}

TEST(RecommendCommand, ShowsTheBestAndWhy) {
  Stage stage;
  stage.server.on("GET /admin/v1/models/recommendations?q=small%20coder&from=lab",
                  {.body = R"({"fitting":1,"warnings":["hf: does not answer"],"left_out":[],
                               "models":[{"name":"a","here":true,"device":"cpu","gated":true,
                                          "memory_bytes":1024,"why":"fast"}]})"});
  EXPECT_EQ(stage.run({"recommend", "small", "coder", "--from", "lab"}), 0);
  EXPECT_EQ(stage.console.out_text,
            "MODEL  HERE  DEVICE   MEMORY  WHY\n"
            "a      yes   cpu     1.0 KiB  fast; gated\n");
  EXPECT_TRUE(stage.console.err_text.contains("warning: hf: does not answer"));
}

TEST(RecommendCommand, SaysWhatWouldFit) {
  auto text = render_recommendations(
      R"({"fitting":0,"models":[],"left_out":[{"name":"big","why":"needs 9 GiB","hint":"Q2_K"}]})",
      Paint(false));
  EXPECT_EQ(text, "None of them fits this machine. The nearest:\n  big: needs 9 GiB\n    Q2_K\n");
  EXPECT_EQ(render_recommendations("{}", Paint(false)), "Nothing was found.\n");
}

}  // namespace
}  // namespace corral::cli::source_command_test
