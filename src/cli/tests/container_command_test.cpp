// `corral containers`: what it shows, what it asks for, how it ends.
#include <gtest/gtest.h>

#include "cli/commands.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::container_command_test {
namespace {

constexpr const char* kContainers = R"({"error":null,"containers":[
  {"name":"boxed","image":"x:1","configured":true,"state":"ready","url":"http://127.0.0.1:4000/v1",
   "restarts":2,"error":null,"pull":null,"usage":{"memory_bytes":1073741824}},
  {"name":"pulled","image":"y:1","configured":true,"state":"pulling","url":null,"restarts":0,
   "error":"bad\u001b[31m words","pull":{"bytes_done":30,"bytes_total":120},"usage":null},
  {"name":"left","image":"z","configured":false,"state":"stopped","url":7}]})";

TEST(ContainerCommand, ShowsATable) {
  std::string table = render_containers(kContainers, Paint(false));
  EXPECT_NE(table.find("boxed   x:1    ready           http://127.0.0.1:4000/v1  1.0 GiB"),
            std::string::npos)
      << table;
  EXPECT_NE(table.find("pulling 25 %"), std::string::npos) << table;
  EXPECT_NE(table.find("not configured"), std::string::npos) << table;
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  for (auto odd : {"", "[]", "{\"containers\":[]}", "{\"containers\":7}"}) {
    EXPECT_EQ(render_containers(odd, Paint(false)), "") << odd;
  }
}

TEST(ContainerCommand, OptionsAreRead) {
  auto parse = [](std::vector<std::string> words) {
    return parse_options(words, [](const std::string&) { return std::nullopt; });
  };
  auto logs = std::get<Options>(parse({"containers", "logs", "boxed", "--tail", "5"}));
  EXPECT_EQ(logs.command, "containers logs");
  EXPECT_EQ(logs.name, "boxed");
  EXPECT_EQ(logs.tail, 5);
  EXPECT_EQ(std::get<Options>(parse({"containers"})).command, "containers");
  EXPECT_TRUE(std::holds_alternative<Failure>(parse({"containers", "logs", "b", "--tail", "0"})));
  EXPECT_TRUE(std::holds_alternative<Failure>(parse({"containers", "stop"})));
  EXPECT_TRUE(std::holds_alternative<HelpText>(parse({"containers", "--help"})));
}

TEST(ContainerCommand, CompletionKnowsTheNames) {
  for (auto shell : {"bash", "zsh", "fish"}) {
    auto script = completion_script(shell, command_tree());
    EXPECT_NE(script.find("containers"), std::string::npos) << shell;
  }
  EXPECT_NE(completion_script("bash", command_tree()).find("takes=containers"), std::string::npos);
}

std::string event(const std::string& data) { return "event: end\ndata: " + data + "\n\n"; }

TEST(ContainerCommand, ListsShowsLogsAndActs) {
  Stage stage;
  stage.server.on("GET /admin/v1/containers", {.body = R"({"error":"no Docker","containers":[]})"});
  EXPECT_EQ(stage.run({"containers"}), 0);
  EXPECT_TRUE(stage.console.out_text.contains("There is no container"));
  EXPECT_TRUE(stage.console.err_text.contains("warning: no Docker"));

  stage.server.on("GET /admin/v1/containers/boxed/logs?tail=200",
                  {.body = R"({"lines":[{"stream":"stdout","text":"a\u001bb"},7]})"});
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"containers", "logs", "boxed"}), 0);
  EXPECT_TRUE(stage.console.out_text.starts_with("a\u241Bb\n")) << stage.console.out_text;

  stage.server.on("POST /admin/v1/containers/boxed/remove",
                  {.status = 202, .body = R"({"id":"container-remove-1","state":"running"})"});
  stage.server.on("GET /admin/v1/operations/container-remove-1/events",
                  {.stream = {event(R"({"state":"succeeded"})")}});
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"containers", "rm", "boxed"}), 0);
  EXPECT_EQ(stage.console.out_text, "boxed is removed\n");
  EXPECT_EQ(stage.run({"containers", "stop", "none"}), 4);
}

TEST(ContainerCommand, FailuresAndInterruptionsAreTold) {
  Stage stage;
  stage.server.on("POST /admin/v1/containers/boxed/start",
                  {.status = 202, .body = R"({"id":"container-start-1"})"});
  stage.server.on("GET /admin/v1/operations/container-start-1/events",
                  {.stream = {event(R"({"state":"failed","error":"no such image"})")}});
  EXPECT_EQ(stage.run({"containers", "start", "boxed"}), 1);
  EXPECT_TRUE(stage.console.err_text.contains("no such image"));
  Stage cut;
  cut.server.on("POST /admin/v1/containers/boxed/pull",
                {.status = 202, .body = R"({"id":"container-pull-1"})"});
  cut.server.on("GET /admin/v1/operations/container-pull-1/events",
                {.stream = {}, .failure = Failure{ExitCode::interrupted, "interrupted", {}}});
  EXPECT_EQ(cut.run({"containers", "pull", "boxed"}), 130);
  EXPECT_TRUE(cut.console.err_text.contains("the server goes on with it"));
}

}  // namespace
}  // namespace corral::cli::container_command_test
