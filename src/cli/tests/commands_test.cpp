// The commands from the command line to what is printed, over a fake server.
#include "cli/commands.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::commands_test {
namespace {

const std::string kModels = R"({"models":[
 {"name":"corral-tiny","source":"file","state":"ready","size_bytes":7340032,"architecture":"llama",
  "parameters":3700000,"quantization":"Q8_0","context_length":2048,
  "capabilities":["chat"],"modified":"2025-12-31T21:00:00Z","aliases":["tiny"],"error":null},
 {"name":"qwen2.5-7b-instruct","source":"file","state":"unloaded","size_bytes":4683073952,
  "architecture":"qwen2","parameters":7615616512,"quantization":"Q4_K_M","context_length":32768,
  "capabilities":["chat","vision"],"modified":"2025-10-01T00:00:00+02:00","aliases":[],"error":null},
 {"name":"模型","source":"file","state":"unusable","size_bytes":12,"architecture":"",
  "parameters":null,"quantization":null,"context_length":null,"modified":null,"aliases":[],
  "error":"the file is cut short"},
 {"name":"evil\u001b[31m\nname","source":"endpoint","state":"loading","parameters":"70B",
  "modified":"nonsense"}]})";

const std::string kInstances = R"({"instances":[
 {"model":"corral-tiny","purpose":"chat","state":"ready","pid":4242,"address":"127.0.0.1:40001",
  "since":"2025-12-31T23:58:00Z","idle_unload_at":"2026-01-01T00:04:30Z","device":"cpu",
  "reserved_bytes":62914560,"waits_because":null,"resident_bytes":61865984,
  "cpu_seconds":12.34,"in_flight":2,"requests_total":1234,"restarts":0},
 {"model":"corral-tiny","purpose":"embedding","state":"loading","pid":4243,
  "since":"2025-12-31T23:59:59Z","idle_unload_at":null,"in_flight":0,"requests_total":0,
  "restarts":3,"waits_because":"it is loading"}]})";

const std::string kModel = R"({"name":"corral-tiny","source":"file","state":"failed",
 "size_bytes":7340032,"architecture":"llama","parameters":3700000,"quantization":"Q8_0",
 "context_length":2048,"capabilities":["chat","vision"],"modified":"2025-12-31T21:00:00Z",
 "aliases":["tiny","small"],
 "error":"the engine ended with exit code 1","files":[{"path":"/m/corral-tiny.gguf",
 "size_bytes":7340032}],"chat_template":"{{ messages }}","metadata":{},
 "settings":{"context":2048,"slots":4,"idle_timeout_ms":300000},"memory_estimate_bytes":20971520})";

TEST(Render, Golden) {
  sys::ManualClock clock;
  Paint plain(false);
  expect_golden("list.txt", render_models(kModels, clock.wall(), plain));
  expect_golden("list-colors.txt", render_models(kModels, clock.wall(), Paint(true)));
  expect_golden("ps.txt", render_instances(kInstances, clock.wall(), plain));
  expect_golden("show.txt", render_model(kModel, clock.wall(), plain));
}

const std::string kScaling = R"({"enabled":true,"cpu":0.4,"deployments":[
 {"model":"corral-tiny","purpose":"chat","ready":2,"starting":0,"wanted":2,"min_replicas":1,
  "max_replicas":4,"in_flight":7,"waiting":1,"wait_ms":12.4,"first_token_ms":180,
  "tokens_per_second":null}],"decisions":[
 {"at":"2025-12-31T23:50:00Z","model":"corral-tiny","purpose":"chat","kind":"up","signal":"wait",
  "from":1,"to":2,"reason":"for 5m requests waited 450ms for a place, over 200ms"},
 {"at":"2025-12-31T23:58:00Z","model":"corral-tiny","purpose":"chat","kind":"held_back",
  "signal":"wait","from":2,"to":2,"reason":"no memory\u001b[31m"}]})";

TEST(Render, Scaling) {
  sys::ManualClock clock;
  expect_golden("scaling.txt", render_scaling(kScaling, clock.wall(), Paint(false)));
  for (std::string_view body : {"", "null", "[]", "{\"deployments\":5,\"decisions\":{}}"}) {
    EXPECT_EQ(render_scaling(body, clock.wall(), Paint(false)), "") << body;
  }
  EXPECT_NE(render_scaling(R"({"deployments":[null],"decisions":[7]})", clock.wall(), Paint(false)),
            "");
}

TEST(Commands, Scaling) {
  Stage stage;
  stage.server.on("GET /admin/v1/scaling", {.body = kScaling});
  EXPECT_EQ(stage.run({"scaling"}), 0);
  EXPECT_TRUE(stage.console.out_text.contains("1 to 2")) << stage.console.out_text;
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"scaling", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, kScaling + "\n");
}

TEST(Commands, ScalingOfNothingSaysHow) {
  Stage stage;
  stage.server.on("GET /admin/v1/scaling", {.body = R"({"deployments":[],"decisions":[]})"});
  EXPECT_EQ(stage.run({"scaling"}), 0);
  EXPECT_TRUE(stage.console.out_text.contains("max_replicas"));
}

TEST(Render, NothingAtAll) {
  sys::ManualClock clock;
  for (std::string_view body : {"", "null", "{}", "[]", "{\"models\":5}", "{\"instances\":{}}"}) {
    EXPECT_EQ(render_models(body, clock.wall(), Paint(false)), "") << body;
    EXPECT_EQ(render_instances(body, clock.wall(), Paint(false)), "") << body;
  }
  EXPECT_NE(render_models(R"({"models":[null]})", clock.wall(), Paint(false)), "");
}

TEST(Commands, ListPrintsATableOrTheServersJson) {
  Stage stage;
  stage.server.on("GET /admin/v1/models", {.body = kModels});
  EXPECT_EQ(stage.run({"list"}), 0);
  sys::ManualClock clock;
  EXPECT_EQ(stage.console.out_text, render_models(kModels, clock.wall(), Paint(false)));
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"list", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, kModels + "\n");
}

TEST(Commands, ColoursOnlyOnATerminal) {
  Stage stage;
  stage.server.on("GET /admin/v1/models", {.body = kModels});
  stage.console.out_terminal = true;
  EXPECT_EQ(stage.run({"list"}), 0);
  EXPECT_NE(stage.console.out_text.find("\x1b[32mready"), std::string::npos);
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"list", "--no-color"}), 0);
  EXPECT_EQ(stage.console.out_text.find('\x1b'), std::string::npos);
}

TEST(Commands, JsonOnATerminalIsMadeSafe) {
  Stage stage;
  stage.console.out_terminal = true;
  stage.server.on("GET /admin/v1/models", {.body = "{\"a\":\"\x7f\xC2\x9B\"}"});
  EXPECT_EQ(stage.run({"list", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, "{\"a\":\"\xE2\x90\xA1\xEF\xBF\xBD\"}\n");
}

TEST(Commands, EmptyListsSaySo) {
  Stage stage;
  stage.server.on("GET /admin/v1/models", {.body = R"({"models":[]})"});
  stage.server.on("GET /admin/v1/instances", {.body = R"({"instances":[]})"});
  EXPECT_EQ(stage.run({"list"}), 0);
  EXPECT_EQ(stage.run({"ps"}), 0);
  EXPECT_NE(stage.console.out_text.find("There is no model"), std::string::npos);
  EXPECT_NE(stage.console.out_text.find("No engine runs"), std::string::npos);
}

TEST(Commands, PsShowStop) {
  Stage stage;
  stage.server.on("GET /admin/v1/instances", {.body = kInstances});
  stage.server.on("GET /admin/v1/models/corral-tiny", {.body = kModel});
  stage.server.on("POST /admin/v1/models/corral-tiny/unload",
                  {.body = R"({"name":"corral-tiny","state":"unloaded"})"});
  EXPECT_EQ(stage.run({"ps"}), 0);
  EXPECT_NE(stage.console.out_text.find("in 4 minutes"), std::string::npos);
  EXPECT_EQ(stage.run({"ps", "--json"}), 0);
  EXPECT_NE(stage.console.out_text.find(kInstances + "\n"), std::string::npos);
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"show", "corral-tiny"}), 0);
  EXPECT_NE(stage.console.out_text.find("5m"), std::string::npos) << stage.console.out_text;
  EXPECT_EQ(stage.run({"show", "corral-tiny", "--json"}), 0);
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"stop", "corral-tiny"}), 0);
  EXPECT_EQ(stage.console.out_text, "corral-tiny is unloaded\n");
  EXPECT_EQ(stage.run({"stop", "corral-tiny", "--json"}), 0);
}

TEST(Commands, LoadWaitsUntilTheModelIsReady) {
  Stage stage;
  stage.server.replies["GET /admin/v1/models/m"] = {
      {.body = R"({"name":"m","source":"file","state":"unloaded"})"},
      {.body = R"({"name":"m","source":"file","state":"ready"})"}};
  stage.server.on("POST /admin/v1/models/m/load?wait=0",
                  {.status = 202, .body = R"({"id":"load-1","state":"running"})"});
  stage.server.on("GET /admin/v1/operations/load-1/events",
                  {.stream = {"event: end\ndata: {\"state\":\"succeeded\"}\n\n"}});
  EXPECT_EQ(stage.run({"load", "m"}), 0);
  EXPECT_EQ(stage.console.out_text, "m is ready\n");
  EXPECT_EQ(stage.console.err_text, "");  // no terminal: no line that is drawn again and again

  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"load", "m", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, "{\"name\":\"m\",\"source\":\"file\",\"state\":\"ready\"}\n");
}

TEST(Commands, LoadCanGoOnAlone) {
  Stage stage;
  stage.server.replies["POST /admin/v1/models/m/load?wait=0"] = {
      {.status = 202, .body = R"({"id":"load-1","state":"running"})"},
      {.status = 202, .body = R"({"id":"load-2","state":"running"})"},
      {.body = R"({"name":"m","state":"ready"})"}};
  EXPECT_EQ(stage.run({"load", "m", "--detach"}), 0);
  EXPECT_EQ(stage.console.out_text, "m is loading; to watch it: corral operations watch load-1\n");
  EXPECT_EQ(stage.run({"load", "m", "--detach", "--json"}), 0);
  EXPECT_TRUE(stage.console.out_text.ends_with("{\"id\":\"load-2\",\"state\":\"running\"}\n"));
  EXPECT_EQ(stage.run({"load", "m", "--detach"}), 0);
  EXPECT_TRUE(stage.console.out_text.ends_with("\nm is ready\n"));
}

TEST(Commands, LoadSaysWhyNot) {
  Stage stage;
  stage.server.on("GET /admin/v1/models", {.body = R"({"models":[{"name":"model-1"}]})"});
  EXPECT_EQ(stage.run({"load", "modle-1"}), 4);
  EXPECT_TRUE(stage.console.err_text.ends_with("hint: did you mean model-1?\n"))
      << stage.console.err_text;
  EXPECT_EQ(stage.run({"load", "modle-1", "--detach"}), 4);

  stage.server.on("GET /admin/v1/models/far", {.body = R"({"name":"far","source":"endpoint"})"});
  stage.console.err_text.clear();
  EXPECT_EQ(stage.run({"load", "far"}), 1);
  EXPECT_EQ(stage.console.err_text,
            "error: 'far' is at an endpoint that Corral does not run\n"
            "hint: there is nothing to load; see where it is with: corral routes explain far\n");
}

TEST(Commands, ModelsAreKnownByTheirOtherNames) {
  Stage stage;
  stage.server.on("GET /admin/v1/models",
                  {.body = R"({"models":[{"name":"long-name","aliases":["gpt-4o"]}]})"});
  stage.server.on("GET /admin/v1/models/long-name",
                  {.body = R"({"name":"long-name","source":"file","state":"ready"})"});
  stage.server.on("POST /admin/v1/models/long-name/unload", {.body = R"({"state":"unloaded"})"});
  EXPECT_EQ(stage.run({"load", "gpt-4o"}), 0);
  EXPECT_EQ(stage.run({"stop", "gpt-4o"}), 0);
  EXPECT_EQ(stage.console.out_text, "gpt-4o is ready\ngpt-4o is unloaded\n");
  EXPECT_EQ(stage.run({"show", "gpt-4o"}), 0);
}

TEST(Commands, ExitCodes) {
  Stage stage;
  EXPECT_EQ(stage.run({"nonsense"}), 2);
  EXPECT_EQ(stage.run({"show", "nobody"}), 4);
  EXPECT_EQ(stage.console.err_text.substr(stage.console.err_text.rfind("error:")),
            "error: no such thing\n");
  stage.server.on("GET /admin/v1/models",
                  {.failure = Failure{ExitCode::unreachable, "no server answers at X",
                                      "is it running? start it with: corral serve"}});
  stage.console.err_text.clear();
  EXPECT_EQ(stage.run({"list"}), 3);
  EXPECT_EQ(stage.console.err_text,
            "error: no server answers at X\nhint: is it running? start it with: corral serve\n");
  stage.server.on("GET /admin/v1/instances", {.status = 500, .body = "{}"});
  EXPECT_EQ(stage.run({"ps"}), 1);
  stage.server.on("POST /admin/v1/models/m/unload",
                  {.failure = Failure{ExitCode::interrupted, "interrupted", {}}});
  stage.console.err_text.clear();
  EXPECT_EQ(stage.run({"stop", "m"}), 130);
  EXPECT_EQ(stage.console.err_text, "");
}

TEST(Commands, HostileErrorTextsAreMadeSafe) {
  Stage stage;
  stage.server.on("GET /admin/v1/models",
                  {.status = 400, .body = R"({"detail":"\u001b[2Jx","hint":"\u0007y"})"});
  EXPECT_EQ(stage.run({"list"}), 1);
  EXPECT_EQ(stage.console.err_text.find('\x1b'), std::string::npos);
  EXPECT_EQ(stage.console.err_text.find('\x07'), std::string::npos);
}

TEST(Commands, StandardOutputThatFailsIsAFailure) {
  Stage stage;
  stage.console.is_broken = true;
  EXPECT_EQ(stage.run({"version"}), 1);
  EXPECT_EQ(stage.run({"--help"}), 1);
}

TEST(Commands, Version) {
  Stage stage;
  EXPECT_EQ(stage.run({"version"}), 0);
  EXPECT_EQ(stage.run({"version", "--json"}), 0);
  EXPECT_EQ(stage.console.out_text, "corral 9.8.7\n{\"version\":\"9.8.7\"}\n");
}

TEST(Commands, ServeHandsItsOptionsOver) {
  Stage stage;
  stage.serve_code = 7;
  EXPECT_EQ(stage.run({"serve", "--listen", "127.0.0.1:0", "--set", "log.level=debug"}), 7);
  EXPECT_EQ(stage.served.listen, std::vector<std::string>{"127.0.0.1:0"});
  EXPECT_EQ(stage.served.overrides, std::vector<std::string>{"log.level=debug"});
}

TEST(ApiKey, FromAFileOrTheEnvironment) {
  Stage stage;
  stage.server.on("GET /admin/v1/instances", {.body = "{}"});
  stage.files.files["/key"] = "  sk-file \n";
  stage.environment["CORRAL_API_KEY"] = "sk-env";
  EXPECT_EQ(stage.run({"ps"}), 0);
  EXPECT_EQ(stage.server.address.api_key, "sk-env");
  EXPECT_EQ(stage.run({"ps", "--api-key-file", "/key"}), 0);
  EXPECT_EQ(stage.server.address.api_key, "sk-file");
  EXPECT_EQ(stage.console.err_text, "");
}

TEST(ApiKey, BadKeysAreRefusedWithoutBeingShown) {
  Stage stage;
  stage.server.on("GET /admin/v1/instances", {.body = "{}"});
  stage.environment["CORRAL_API_KEY"] = "secret\r\nx-evil: 1";
  EXPECT_EQ(stage.run({"ps"}), 1);
  EXPECT_EQ(stage.console.err_text.find("secret"), std::string::npos);
  EXPECT_EQ(stage.run({"ps", "--api-key-file", "/missing"}), 1);
  stage.files.files["/empty"] = "\n";
  EXPECT_EQ(stage.run({"ps", "--api-key-file", "/empty"}), 1);
  EXPECT_TRUE(stage.server.seen.empty());
}

TEST(ApiKey, WarnsBeforeItTravelsInTheClear) {
  Stage stage;
  stage.server.on("GET /admin/v1/instances", {.body = "{}"});
  stage.environment["CORRAL_API_KEY"] = "k";
  for (const char* url : {"http://127.0.0.1:1", "https://far.example", "unix:/s", "localhost:1"}) {
    EXPECT_EQ(stage.run({"ps", "--server", url}), 0);
    EXPECT_EQ(stage.console.err_text, "") << url;
  }
  EXPECT_EQ(stage.run({"ps", "--server", "http://far.example"}), 0);
  EXPECT_NE(stage.console.err_text.find("unencrypted"), std::string::npos);
}

TEST(Complete, PrintsOnlyNamesThatAShellTakesAsTheyAre) {
  Stage stage;
  boost::json::array models{boost::json::object()};
  for (const char* name : {"a-b.c:7/x_1", "$(rm -rf x)", "a b", "-n", "x;y", "", "z`"}) {
    models.push_back({{"name", name}});
  }
  stage.server.on("GET /admin/v1/models",
                  {.body = json::serialize(boost::json::object{{"models", models}})});
  EXPECT_EQ(stage.run({"__complete", "models"}), 0);
  EXPECT_EQ(stage.console.out_text, "a-b.c:7/x_1\n");
  EXPECT_EQ(stage.run({"__complete", "other"}), 0);
}

// Completion is not the time to ask far sources whether they answer.
TEST(Complete, OffersTheSourcesThatHaveNames) {
  Stage stage;
  boost::json::array sources;
  sources.push_back(boost::json::object{{"name", "hf"}, {"kind", "hub"}});
  for (const char* name : {"lab", "$(x)", "desk"}) {
    sources.push_back(boost::json::object{{"name", name}, {"kind", "folder"}});
  }
  stage.server.on("GET /admin/v1/sources?ask=nobody",
                  {.body = json::serialize(boost::json::object{{"sources", sources}})});
  EXPECT_EQ(stage.run({"__complete", "sources"}), 0);
  EXPECT_EQ(stage.console.out_text, "desk\nlab\n");
  stage.console.out_text.clear();
  EXPECT_EQ(stage.run({"__complete", "references"}), 0);
  EXPECT_EQ(stage.console.out_text, "desk/\nlab/\n");
  auto script = completion_script("bash", command_tree());
  EXPECT_TRUE(script.contains("--delete --detach\"; takes=sources ;;")) << script;
  EXPECT_TRUE(script.contains("\"info\") words=\"\"; takes=references ;;")) << script;
  script = completion_script("zsh", command_tree());
  EXPECT_TRUE(script.contains("_corral_names sources")) << script;
  script = completion_script("fish", command_tree());
  EXPECT_TRUE(script.contains("__complete references")) << script;
}

TEST(Complete, IsSilentWithoutAServer) {
  Stage stage;
  stage.server.on("GET /admin/v1/models", {.failure = Failure{ExitCode::unreachable, "x", "y"}});
  EXPECT_EQ(stage.run({"__complete", "models"}), 0);
  EXPECT_EQ(stage.console.out_text + stage.console.err_text, "");
}

TEST(Completion, ScriptsNameEveryCommandAndOption) {
  CommandInfo root = command_tree();
  for (std::string shell : {"bash", "zsh", "fish"}) {
    Stage stage;
    EXPECT_EQ(stage.run({"completion", shell}), 0);
    const std::string& script = stage.console.out_text;
    for (const CommandInfo& command : root.children) {
      EXPECT_NE(script.find(command.name), std::string::npos) << shell << " " << command.name;
      for (const OptionInfo& option : command.options) {
        std::string name = shell == "fish" ? "-l " + option.name.substr(2) : option.name;
        if (option.name == "--help") continue;
        EXPECT_NE(script.find(name), std::string::npos) << shell << " " << option.name;
      }
    }
    EXPECT_NE(script.find("corral __complete"), std::string::npos) << shell;
    for (const char* kind : {"models", "endpoints", "routes", "names"}) {
      EXPECT_NE(script.find(kind), std::string::npos) << shell << " " << kind;
    }
    // Names of models must never be words that the shell expands.
    EXPECT_EQ(script.find("compgen -W \"$(corral"), std::string::npos);
  }
}

}  // namespace
}  // namespace corral::cli::commands_test
