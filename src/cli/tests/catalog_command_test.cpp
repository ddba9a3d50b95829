#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/commands.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::catalog_command_test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kMade =
    R"({"name":"mine","version":2,"files":[{"name":"a.gguf","digest":"sha256:00"}]})";
constexpr const char* kGone =
    R"({"title":"Not found","status":404,"detail":"there is no model 'x' in the catalog","hint":"look"})";

TEST(CatalogCommands, CopyAndTagSendTheOtherName) {
  Stage stage;
  stage.server.on("POST /admin/v1/models/hf.co%2Fa%3Ab/copy", {.body = kMade});
  EXPECT_EQ(stage.run({"cp", "hf.co/a:b", "mine"}), 0);
  EXPECT_EQ(stage.server.seen.back().body, R"({"name":"mine"})");
  EXPECT_EQ(stage.console.out_text, "mine has version 2\n");

  stage.server.on("POST /admin/v1/models/a/tag", {.body = kMade});
  EXPECT_EQ(stage.run({"tag", "a", "mine"}), 0);
  EXPECT_EQ(stage.server.seen.back().body, R"({"name":"mine"})");
  EXPECT_EQ(stage.run({"tag", "a", "mine", "--version", "7"}), 0);
  EXPECT_EQ(stage.server.seen.back().body, R"({"name":"mine","version":7})");

  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"tag", "a", "mine", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, kMade + "\n");
}

TEST(CatalogCommands, RollbackSaysWhereItIs) {
  Stage stage;
  stage.server.on("POST /admin/v1/models/mine/rollback", {.body = kMade});
  EXPECT_EQ(stage.run({"rollback", "mine"}), 0);
  EXPECT_EQ(stage.server.seen.back().body, "{}");
  EXPECT_EQ(stage.console.out_text, "mine is back at version 2\n");
  EXPECT_EQ(stage.run({"rollback", "mine", "--version", "2"}), 0);
  EXPECT_EQ(stage.server.seen.back().body, R"({"version":2})");
}

TEST(CatalogCommands, RemoveTakesAModelOrOneVersion) {
  Stage stage;
  stage.server.on("DELETE /admin/v1/models/a", {.status = 204, .body = ""});
  stage.server.on("DELETE /admin/v1/models/a?version=3", {.status = 204, .body = ""});
  stage.server.on("DELETE /admin/v1/models/x", {.status = 404, .body = kGone});
  EXPECT_EQ(stage.run({"rm", "a"}), 0);
  EXPECT_EQ(stage.console.out_text, "a is removed\n");
  EXPECT_EQ(stage.run({"rm", "a", "--version", "3"}), 0);
  EXPECT_THAT(stage.console.out_text, HasSubstr("version 3 of a is removed\n"));
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"rm", "a", "--version", "3", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, "{\"name\":\"a\",\"removed\":true,\"version\":3}\n");
  EXPECT_EQ(stage.run({"rm", "x"}), 4);
  EXPECT_THAT(stage.console.err_text, HasSubstr("there is no model 'x' in the catalog"));
}

TEST(CatalogCommands, VerifyWaitsForTheOperation) {
  Stage stage;
  const std::string running = R"({"id":"verify-1","state":"running"})";
  stage.server.on("POST /admin/v1/models/a/verify", {.status = 202, .body = running});
  stage.server.on("GET /admin/v1/operations/verify-1", {.body = running});
  stage.server.on("GET /admin/v1/operations/verify-1",
                  {.body = R"({"id":"verify-1","state":"succeeded"})"});
  EXPECT_EQ(stage.run({"verify", "a"}), 0);
  EXPECT_EQ(stage.server.seen.size(), 3u);
  EXPECT_EQ(stage.console.out_text, "a is as it was taken in\n");

  stage.server.on("POST /admin/v1/verify", {.status = 202, .body = running});
  stage.server.replies["GET /admin/v1/operations/verify-1"] = {
      {.body = R"({"id":"verify-1","state":"failed","error":"1 of 2 files are damaged: a"})"}};
  EXPECT_EQ(stage.run({"verify"}), 1);
  EXPECT_THAT(stage.console.err_text, HasSubstr("1 of 2 files are damaged: a"));

  stage.server.replies["POST /admin/v1/verify"] = {{.body = R"({"state":"succeeded"})"}};
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"verify"}), 0);
  EXPECT_EQ(stage.console.out_text, "all files are as they were taken in\n");
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"verify", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, "{\"state\":\"succeeded\"}\n");
}

TEST(CatalogCommands, VerifyShowsABarOnATerminal) {
  Stage stage;
  stage.console.err_terminal = true;
  stage.server.on("POST /admin/v1/verify?wait=0",
                  {.status = 202, .body = R"({"id":"verify-1","state":"running"})"});
  const std::string events = "GET /admin/v1/operations/verify-1/events";
  const std::string half =
      "event: progress\ndata: "
      R"({"state":"running","stage":"checking","bytes_total":4096,"bytes_done":2048,)"
      R"("bytes_per_second":1024,"remaining_seconds":2})"
      "\n\n";
  auto end = [](std::string_view state) {
    return fmt::format("event: end\ndata: {{\"state\":\"{}\"}}\n\n", state);
  };
  stage.server.on(events, {.stream = {half, end("succeeded")}});
  EXPECT_EQ(stage.run({"verify"}), 0);
  EXPECT_THAT(stage.console.err_text, HasSubstr("50 %  2.0 KiB of 4.0 KiB  1.0 KiB/s"));
  EXPECT_EQ(stage.console.out_text, "all files are as they were taken in\n");
  stage.server.replies[events] = {{.stream = {half, end("cancelled")}}};
  EXPECT_EQ(stage.run({"verify"}), 1);
  EXPECT_THAT(stage.console.err_text, HasSubstr("the check was cancelled"));
  stage.server.replies[events] = {
      {.stream = {half}, .failure = Failure{ExitCode::interrupted, "interrupted", {}}}};
  EXPECT_EQ(stage.run({"verify"}), 130);
  EXPECT_THAT(stage.console.err_text, HasSubstr("corral operations cancel verify-1 ends it"));
}

TEST(CatalogCommands, ListGoesThroughAllPagesAndWarns) {
  Stage stage;
  stage.server.on(
      "GET /admin/v1/models",
      {.body = R"({"models":[{"name":"a"}],"next":"a","warnings":["two \u001b[31m"]})"});
  stage.server.on("GET /admin/v1/models?limit=1000&after=a",
                  {.body = R"({"models":[{"name":"b"}],"next":"b"})"});
  stage.server.on("GET /admin/v1/models?limit=1000&after=b",
                  {.body = R"({"models":[{"name":"c"}],"next":"b"})"});
  EXPECT_EQ(stage.run({"list"}), 0);
  EXPECT_THAT(stage.console.out_text, HasSubstr("\na "));
  EXPECT_THAT(stage.console.out_text, HasSubstr("\nc "));
  EXPECT_THAT(stage.console.err_text, StartsWith("warning: two \xE2\x90\x9B[31m"));
  EXPECT_EQ(stage.server.seen.size(), 3u);
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"list", "--json"}), 0);
  auto all = corral::json::parse(stage.console.out_text);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->at("models").as_array().size(), 3u);
  EXPECT_TRUE(all->at("next").is_null());

  stage.server.on("GET /admin/v1/models?search=q%26x", {.body = R"({"models":[],"next":null})"});
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"list", "--search", "q&x"}), 0);
  EXPECT_EQ(stage.console.out_text, "There is no model with 'q&x' in its name.\n");
}

TEST(CatalogCommands, ShowPutsTheVersionsIn) {
  Stage stage;
  stage.server.on("GET /admin/v1/models/a",
                  {.body = R"({"name":"a","version":2,"origin":"hf.co/a"})"});
  stage.server.on("GET /admin/v1/models/a/versions",
                  {.body = R"({"name":"a","license":"mit","files":[{"digest":"sha256:1"}],
                  "versions":[{"version":2,"present":true,"size_bytes":1024,"author":"eve",
                  "added":"2025-12-31T23:00:00Z"},{"version":1,"present":false,"size_bytes":5}]})"});
  EXPECT_EQ(stage.run({"show", "a"}), 0);
  EXPECT_THAT(stage.console.out_text, HasSubstr("hf.co/a"));
  EXPECT_THAT(stage.console.out_text, HasSubstr("2 in use (1.0 KiB, 1 hour ago by eve)"));
  EXPECT_THAT(stage.console.out_text, HasSubstr("1 (5 B, "));
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"show", "a", "--json"}), 0);
  auto shown = corral::json::parse(stage.console.out_text);
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->at("versions").as_array().size(), 2u);
  EXPECT_EQ(shown->at("blobs").at(0).at("digest"), "sha256:1");
  EXPECT_EQ(shown->at("license"), "mit");
  // Without an answer about versions the model is shown all the same.
  stage.server.replies.erase("GET /admin/v1/models/a/versions");
  EXPECT_EQ(stage.run({"show", "a"}), 0);
}

}  // namespace
}  // namespace corral::cli::catalog_command_test
