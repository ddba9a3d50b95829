// `corral run`: one answer, and the talk.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/chat.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::run_test {
namespace {

constexpr auto kChat = "POST /v1/chat/completions";
const std::string kReady = R"({"name":"m","source":"file","state":"ready"})";

class RunTest : public ::testing::Test {
 protected:
  RunTest() { stage.server.on("GET /admin/v1/models/m", {.body = kReady}); }

  void answers(std::vector<std::string> words) {
    FakeServer::Reply reply;
    for (const std::string& word : words) reply.stream.push_back(chat_event(word));
    reply.stream.push_back(kStop + kDone);
    stage.server.on(kChat, reply);
  }
  boost::json::value sent(std::size_t nth = 0) {
    std::vector<std::string> bodies;
    for (const auto& seen : stage.server.seen) {
      if (seen.path == "/v1/chat/completions") bodies.push_back(seen.body);
    }
    if (nth >= bodies.size()) {
      ADD_FAILURE() << "only " << bodies.size() << " chats were sent";
      return nullptr;
    }
    return *json::parse(bodies[nth]);
  }
  std::size_t chats() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        stage.server.seen, [](const auto& seen) { return seen.path == "/v1/chat/completions"; }));
  }
  std::string messages(std::size_t nth = 0) {
    std::string text;
    boost::json::value request = sent(nth);
    for (const auto& message : request.at("messages").as_array()) {
      text += std::string(message.at("role").as_string()) + "=" +
              std::string(message.at("content").as_string()) + ";";
    }
    return text;
  }
  int talk(std::deque<LineRead> lines) {
    stage.lines = std::move(lines);
    return stage.run({"run", "m"});
  }
  bool printed(std::string_view text) const {
    return stage.console.out_text.find(text) != std::string::npos;
  }
  bool complained(std::string_view text) const {
    return stage.console.err_text.find(text) != std::string::npos;
  }

  Stage stage;
};

TEST_F(RunTest, OneAnswer) {
  answers({"Hel", "lo."});
  EXPECT_EQ(stage.run({"run", "m", "say", "hello", "--system", "be kind", "--temperature", "0",
                       "--max-tokens", "5", "--seed", "3"}),
            0);
  EXPECT_EQ(stage.console.out_text, "Hello.\n");
  EXPECT_EQ(messages(), "system=be kind;user=say hello;");
  EXPECT_EQ(sent().at("model"), "m");
  EXPECT_EQ(sent().at("temperature").to_number<double>(), 0.0);
  EXPECT_EQ(sent().at("max_tokens"), 5);
  EXPECT_EQ(sent().at("seed"), 3);
  EXPECT_EQ(sent().at("stream"), true);
}

TEST_F(RunTest, OnlyWhatWasSetIsSent) {
  answers({"x"});
  EXPECT_EQ(stage.run({"run", "m", "hi"}), 0);
  for (const char* name : {"temperature", "max_tokens", "seed"}) {
    EXPECT_FALSE(sent().as_object().contains(name)) << name;
  }
}

TEST_F(RunTest, StandardInputFollowsThePrompt) {
  answers({"x"});
  stage.console.in_terminal = false;
  stage.console.input = "some\ntext\n";
  EXPECT_EQ(stage.run({"run", "m", "explain:"}), 0);
  EXPECT_EQ(messages(0), "user=explain:\n\nsome\ntext;");
  EXPECT_EQ(stage.run({"run", "m"}), 0);
  EXPECT_EQ(messages(1), "user=some\ntext;");
  stage.console.input = " \n";
  EXPECT_EQ(stage.run({"run", "m", "alone"}), 0);
  EXPECT_EQ(messages(2), "user=alone;");
}

TEST_F(RunTest, NothingToAskIsWrongUse) {
  stage.console.in_terminal = false;
  EXPECT_EQ(stage.run({"run", "m"}), 2);
  stage.console.input_fails = true;
  EXPECT_EQ(stage.run({"run", "m", "x"}), 1);
  stage.console.in_terminal = true;
  EXPECT_EQ(stage.run({"run", "m", "--json"}), 2);
  EXPECT_EQ(chats(), 0u);
}

TEST_F(RunTest, JsonPrintsTheWholeAnswer) {
  stage.server.on(kChat, {.body = R"({"choices":[{"message":{"content":"Hi"}}],"usage":{}})"});
  EXPECT_EQ(stage.run({"run", "m", "--json", "hi"}), 0);
  EXPECT_EQ(stage.console.out_text,
            "{\"choices\":[{\"message\":{\"content\":\"Hi\"}}],\"usage\":{}}\n");
  EXPECT_FALSE(sent().as_object().contains("stream"));
}

TEST_F(RunTest, HostileBytesAreMadeSafeOnATerminalAndKeptElsewhere) {
  stage.server.on(kChat, {.stream = {chat_event("a\\u001b]0;x\\u0007\\tb"), kStop + kDone}});
  EXPECT_EQ(stage.run({"run", "m", "hi"}), 0);
  EXPECT_EQ(stage.console.out_text, "a\x1b]0;x\x07\tb\n");
  stage.console.out_text.clear();
  stage.console.out_terminal = true;
  EXPECT_EQ(stage.run({"run", "m", "hi"}), 0);
  EXPECT_EQ(stage.console.out_text, "a\xE2\x90\x9B]0;x\xE2\x90\x87\tb\n");
}

TEST_F(RunTest, ReasoningIsForPeople) {
  stage.server.on(
      kChat, {.stream = {"data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n",
                         chat_event("yes"), kStop + kDone}});
  EXPECT_EQ(stage.run({"run", "m", "hi"}), 0);
  EXPECT_EQ(stage.console.out_text, "yes\n");
  stage.console.out_text.clear();
  stage.console.out_terminal = true;
  EXPECT_EQ(stage.run({"run", "m", "hi", "--no-color"}), 0);
  EXPECT_EQ(stage.console.out_text, "hm\n\nyes\n");
}

TEST_F(RunTest, SaysWhenAnAnswerWasCut) {
  stage.server.on(kChat,
                  {.stream = {chat_event("yes"),
                              "data: {\"choices\":[{\"finish_reason\":\"length\"}]}\n\n", kDone}});
  stage.console.err_terminal = true;
  EXPECT_EQ(stage.run({"run", "m", "hi", "--no-color"}), 0);
  EXPECT_EQ(stage.console.err_text, "(cut at the token limit)\n");
}

TEST_F(RunTest, FailuresMidway) {
  stage.server.on(kChat, {.stream = {chat_event("so far")},
                          .failure = Failure{ExitCode::interrupted, "interrupted", {}}});
  EXPECT_EQ(stage.run({"run", "m", "hi"}), 130);
  EXPECT_EQ(stage.console.out_text, "so far\n");
  stage.server.replies[kChat].clear();
  stage.server.on(kChat, {.stream = {"data: {\"error\":{\"message\":\"engine died\"}}\n\n"}});
  EXPECT_EQ(stage.run({"run", "m", "hi"}), 1);
  EXPECT_TRUE(complained("error: engine died"));
}

TEST_F(RunTest, LoadsFirstAndSaysSo) {
  answers({"x"});
  stage.server.on("GET /admin/v1/models/big",
                  {.body = R"({"source":"file","state":"unloaded","size_bytes":1073741824})"});
  stage.server.on("POST /admin/v1/models/big/load?wait=0", {.body = kReady});
  EXPECT_EQ(stage.run({"run", "big", "hi", "--no-color"}), 0);
  EXPECT_EQ(stage.console.err_text, "");
  stage.console.err_terminal = true;
  EXPECT_EQ(stage.run({"run", "big", "hi", "--no-color"}), 0);
  EXPECT_TRUE(complained("loading big (1.0 GiB) ..."));
  stage.server.on("GET /admin/v1/models/bad", {.body = R"({"source":"file","state":"failed"})"});
  stage.server.on("POST /admin/v1/models/bad/load?wait=0",
                  {.status = 502, .body = R"({"detail":"the engine ended","hint":"see its log"})"});
  EXPECT_EQ(stage.run({"run", "bad", "hi"}), 1);
  EXPECT_TRUE(complained("the engine ended"));
}

TEST_F(RunTest, ShowsHowFarTheLoadIs) {
  answers({"x"});
  stage.console.err_terminal = true;
  stage.server.on("GET /admin/v1/models/big", {.body = R"({"source":"file","state":"loading"})"});
  stage.server.on("POST /admin/v1/models/big/load?wait=0",
                  {.status = 202, .body = R"({"id":"load-1","state":"running"})"});
  auto event = [](std::string_view type, std::string_view data) {
    return fmt::format("event: {}\ndata: {}\n\n", type, data);
  };
  stage.server.on(
      "GET /admin/v1/operations/load-1/events",
      {.stream = {
           event("progress",
                 R"({"state":"running","stage":"waiting for room","detail":"a\u001b"})"),
           event(
               "progress",
               R"({"state":"running","stage":"loading","elapsed_seconds":12,"remaining_seconds":8})"),
           event("progress", R"({"state":"running","stage":"loading","elapsed_seconds":21})"),
           event("end", R"({"state":"succeeded"})")}});
  EXPECT_EQ(stage.run({"run", "big", "hi", "--no-color"}), 0);
  EXPECT_TRUE(complained("loading big ... (waiting for room: a\xE2\x90\x9B)"));
  EXPECT_TRUE(complained("loading big ... (12 s of about 20)"));
  EXPECT_TRUE(complained("loading big ... (21 s)"));
  EXPECT_TRUE(stage.console.err_text.ends_with("\r\x1b[K"));

  stage.server.replies["GET /admin/v1/operations/load-1/events"] = {
      {.stream = {event("end", R"({"state":"failed","error":"no memory"})")}}};
  EXPECT_EQ(stage.run({"run", "big", "hi", "--no-color"}), 1);
  EXPECT_TRUE(complained("error: no memory"));
  stage.server.replies["GET /admin/v1/operations/load-1/events"] = {{.stream = {}}};
  EXPECT_EQ(stage.run({"run", "big", "hi", "--no-color"}), 1);
  EXPECT_TRUE(complained("ended the stream of events early"));
}

TEST_F(RunTest, ModelsOfEndpointsAreNotLoaded) {
  answers({"x"});
  stage.server.on("GET /admin/v1/models/far",
                  {.body = R"({"source":"endpoint","state":"unloaded"})"});
  EXPECT_EQ(stage.run({"run", "far", "hi"}), 0);
  EXPECT_EQ(stage.server.seen.size(), 2u);
}

TEST_F(RunTest, AliasesAndSlips) {
  answers({"x"});
  stage.server.on("GET /admin/v1/models",
                  {.body = R"({"models":[{"name":"m","aliases":["em"]},{"name":"other"}]})"});
  EXPECT_EQ(stage.run({"run", "em", "hi"}), 0);
  EXPECT_EQ(sent().at("model"), "em");
  EXPECT_EQ(stage.run({"run", "othr", "hi"}), 4);
  EXPECT_TRUE(complained("did you mean other?"));
  EXPECT_EQ(stage.run({"run", "zzzzzzzz", "hi"}), 4);
  EXPECT_TRUE(complained("corral list"));
}

TEST_F(RunTest, ATalkKeepsWhatWasSaid) {
  answers({"One."});
  answers({"Two."});
  EXPECT_EQ(talk({typed("first"), typed("  "), typed(" second ")}), 0);
  EXPECT_EQ(messages(0), "user=first;");
  EXPECT_EQ(messages(1), "user=first;assistant=One.;user=second;");
  EXPECT_TRUE(printed("One.\n"));
  EXPECT_TRUE(printed("Two.\n"));
  EXPECT_EQ(stage.prompts, (std::vector<std::string>{">>> ", ">>> ", ">>> ", ">>> "}));
  EXPECT_EQ(stage.remembered, (std::vector<std::string>{"first", " second "}));
}

TEST_F(RunTest, LeavingATalk) {
  for (const char* word : {"/bye", "/exit", "/quit"}) {
    EXPECT_EQ(talk({typed(word), typed("not read")}), 0);
  }
  EXPECT_EQ(talk({}), 0);  // Ctrl-D
  EXPECT_EQ(chats(), 0u);
}

TEST_F(RunTest, CtrlCAtThePromptGoesOn) {
  answers({"Yes."});
  EXPECT_EQ(talk({ctrl_c(), typed("hi")}), 0);
  EXPECT_TRUE(printed("/bye leaves"));
  EXPECT_EQ(chats(), 1u);
}

TEST_F(RunTest, AStoppedAnswerIsKeptAsFarAsItCame) {
  stage.server.on(kChat, {.stream = {chat_event("One, t")},
                          .failure = Failure{ExitCode::interrupted, "interrupted", {}}});
  answers({"Fine."});
  EXPECT_EQ(talk({typed("count"), typed("go on")}), 0);
  EXPECT_TRUE(printed("One, t\n(stopped)\n"));
  EXPECT_EQ(messages(1), "user=count;assistant=One, t;user=go on;");
  EXPECT_EQ(stage.console.err_text, "");
}

TEST_F(RunTest, AFailedQuestionCanBeAskedAgain) {
  stage.server.on(kChat, {.status = 503, .body = R"({"error":{"message":"busy"}})"});
  answers({"Fine."});
  EXPECT_EQ(talk({typed("first"), typed("second")}), 0);
  EXPECT_TRUE(complained("error: busy"));
  EXPECT_EQ(messages(1), "user=second;");
}

TEST_F(RunTest, AMessageOfSeveralLines) {
  answers({"Ok."});
  EXPECT_EQ(
      talk({typed("\"\"\"one"), typed(""), typed("  two"), typed("three\"\"\""),
            typed("\"\"\"all in one\"\"\""), typed("\"\"\""), typed("last"), typed("\"\"\"")}),
      0);
  EXPECT_EQ(messages(0), "user=one\n\n  two\nthree;");
  EXPECT_NE(messages(1).find("user=all in one;"), std::string::npos);
  EXPECT_NE(messages(2).find("user=last\n;"), std::string::npos);
  EXPECT_EQ(stage.prompts[1], "... ");
}

TEST_F(RunTest, AMessageOfSeveralLinesCanBeGivenUp) {
  EXPECT_EQ(talk({typed("\"\"\"one"), ctrl_c(), typed("\"\"\""), typed("\"\"\"")}), 0);
  EXPECT_EQ(chats(), 0u);  // the second one is empty
  EXPECT_TRUE(printed("given up"));
}

TEST_F(RunTest, SettingsHoldForTheTalk) {
  answers({"Ok."});
  EXPECT_EQ(talk({typed("/set system You are a cat."), typed("/set temperature 0.5"),
                  typed("/set max_tokens 7"), typed("/set seed 9"), typed("hi"),
                  typed("/set system"), typed("/set temperature"), typed("/show"), typed("bye")}),
            0);
  EXPECT_EQ(messages(0), "system=You are a cat.;user=hi;");
  EXPECT_EQ(sent(0).at("temperature").to_number<double>(), 0.5);
  EXPECT_EQ(sent(0).at("max_tokens"), 7);
  EXPECT_EQ(sent(0).at("seed"), 9);
  EXPECT_EQ(messages(1), "user=hi;assistant=Ok.;user=bye;");
  EXPECT_FALSE(sent(1).as_object().contains("temperature"));
  EXPECT_TRUE(printed("temperature  the server's own\nmax_tokens   7\n"));
}

TEST_F(RunTest, WrongSettingsChangeNothing) {
  answers({"Ok."});
  EXPECT_EQ(
      talk({typed("/set temperature hot"), typed("/set temperature nan"),
            typed("/set temperature -1"), typed("/set max_tokens 0"), typed("/set max_tokens 1x"),
            typed("/set"), typed("/set colour red"), typed("hi")}),
      0);
  EXPECT_FALSE(sent(0).as_object().contains("temperature"));
  EXPECT_FALSE(sent(0).as_object().contains("max_tokens"));
  EXPECT_TRUE(complained("\"hot\" is no value for temperature"));
  EXPECT_TRUE(complained("/set what?"));
}

TEST_F(RunTest, ClearHelpAndSlips) {
  answers({"Ok."});
  EXPECT_EQ(talk({typed("hi"), typed("/clear"), typed("/help"), typed("/shw"), typed("/xyzzy"),
                  typed("again")}),
            0);
  EXPECT_EQ(messages(1), "user=again;");
  EXPECT_TRUE(printed("/set temperature X"));
  EXPECT_TRUE(complained("did you mean /show?"));
  EXPECT_TRUE(complained("/help lists them"));
}

TEST_F(RunTest, ATalkWithAModelThatIsNotThereDoesNotBegin) {
  stage.server.on("GET /admin/v1/models", {.body = R"({"models":[]})"});
  EXPECT_EQ(stage.run({"run", "nobody"}), 4);
  EXPECT_TRUE(stage.prompts.empty());
}

}  // namespace
}  // namespace corral::cli::run_test
