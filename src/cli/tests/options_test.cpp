#include "cli/options.hpp"

#include <gtest/gtest.h>

#include <map>

namespace corral::cli::options_test {
namespace {

using Words = std::vector<std::string>;

struct Parsed {
  std::variant<Options, HelpText, Failure> value;
  const Options& options() const { return std::get<Options>(value); }
  const Failure& wrong() const { return std::get<Failure>(value); }
  bool fine() const { return std::holds_alternative<Options>(value); }
};

Parsed parse(const Words& words, std::map<std::string, std::string> environment = {}) {
  return {parse_options(words, [&](const std::string& name) -> std::optional<std::string> {
    auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  })};
}

TEST(ParseOptions, Serve) {
  auto parsed =
      parse({"serve", "--listen", "127.0.0.1:0", "--listen", "[::1]:9", "--data-dir", "/d",
             "--models", "/m", "--config", "c.yaml", "--set", "a.b=1", "--set", "c=x=y"});
  ASSERT_TRUE(parsed.fine());
  const ServeOptions& serve = parsed.options().serve;
  EXPECT_EQ(parsed.options().command, "serve");
  EXPECT_EQ(serve.listen, (Words{"127.0.0.1:0", "[::1]:9"}));
  EXPECT_EQ(serve.data_dir, "/d");
  EXPECT_EQ(serve.models, "/m");
  EXPECT_EQ(serve.config_file, "c.yaml");
  EXPECT_EQ(serve.overrides, (Words{"a.b=1", "c=x=y"}));
}

TEST(ParseOptions, RunTakesWordsAndOptionsInAnyOrder) {
  auto parsed =
      parse({"run", "m", "list", "the", "--json", "animals", "--system", "be brief",
             "--temperature", "0.5", "--max-tokens", "9", "--seed", "7", "--server", "u"});
  ASSERT_TRUE(parsed.fine());
  const Options& options = parsed.options();
  EXPECT_EQ(options.command, "run");
  EXPECT_EQ(options.model, "m");
  EXPECT_EQ(options.prompt, (Words{"list", "the", "animals"}));
  EXPECT_EQ(options.system, "be brief");
  EXPECT_EQ(options.temperature, 0.5);
  EXPECT_EQ(options.max_tokens, 9);
  EXPECT_EQ(options.seed, 7);
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.server, "u");
}

TEST(ParseOptions, APromptMayBeginWithADash) {
  auto parsed = parse({"run", "m", "--", "-5", "--what?"});
  ASSERT_TRUE(parsed.fine());
  EXPECT_EQ(parsed.options().prompt, (Words{"-5", "--what?"}));
}

TEST(ParseOptions, UnsetMeansUnset) {
  auto parsed = parse({"run", "m"});
  ASSERT_TRUE(parsed.fine());
  EXPECT_FALSE(parsed.options().temperature);
  EXPECT_FALSE(parsed.options().max_tokens);
  EXPECT_FALSE(parsed.options().seed);
  EXPECT_TRUE(parsed.options().prompt.empty());
}

TEST(ParseOptions, EveryCommandHasItsName) {
  std::map<std::string, Words> cases = {{"list", {"ls"}},
                                        {"list", {"list", "--json"}},
                                        {"ps", {"--json", "ps"}},
                                        {"show", {"show", "m"}},
                                        {"load", {"load", "m", "--detach"}},
                                        {"stop", {"stop", "m"}},
                                        {"version", {"--version"}},
                                        {"completion", {"completion", "fish"}},
                                        {"__complete", {"__complete", "models"}},
                                        {"endpoints", {"endpoints", "--json"}},
                                        {"endpoints show", {"endpoints", "show", "a"}},
                                        {"endpoints add", {"endpoints", "add", "-"}},
                                        {"endpoints close", {"endpoints", "close", "a"}},
                                        {"routes", {"--json", "routes"}},
                                        {"routes explain", {"routes", "explain", "m"}},
                                        {"config check", {"config", "check"}},
                                        {"config schema", {"config", "schema"}},
                                        {"config docs", {"config", "docs"}},
                                        {"config example", {"config", "example"}},
                                        {"config export", {"config", "export", "--set", "a=b"}},
                                        {"config get", {"config", "get", "server.listen"}}};
  for (const auto& [name, words] : cases) {
    auto parsed = parse(words);
    ASSERT_TRUE(parsed.fine()) << name;
    EXPECT_EQ(parsed.options().command, name);
  }
}

TEST(ParseOptions, ServerFromOptionEnvironmentOrDefault) {
  EXPECT_EQ(parse({"ps"}).options().server, "http://127.0.0.1:8585");
  EXPECT_EQ(parse({"ps"}, {{"CORRAL_SERVER", "http://h:1"}}).options().server, "http://h:1");
  EXPECT_EQ(
      parse({"--server", "http://i:2", "ps"}, {{"CORRAL_SERVER", "http://h:1"}}).options().server,
      "http://i:2");
}

TEST(ParseOptions, Colours) {
  EXPECT_FALSE(parse({"ps"}, {{"NO_COLOR", ""}}).options().no_color);
  EXPECT_TRUE(parse({"ps"}, {{"NO_COLOR", "1"}}).options().no_color);
  EXPECT_TRUE(parse({"ps"}, {{"TERM", "dumb"}}).options().no_color);
  EXPECT_TRUE(parse({"ps", "--no-color"}).options().no_color);
}

struct Wrong {
  Words words;
  std::string message;  // must hold
  std::string hint;     // must hold
};

TEST(ParseOptions, WrongUseIsExplained) {
  const std::vector<Wrong> cases = {
      {{}, "no command was given", "corral --help"},
      {{"lst"}, "there is no command \"lst\"", "did you mean \"list\"?"},
      {{"--server", "x", "sevre"}, "there is no command \"sevre\"", "did you mean \"serve\"?"},
      {{"completely-else"}, "there is no command", "corral --help"},
      {{"config", "chek"}, "\"corral config\" has no command \"chek\"", "did you mean \"check\"?"},
      {{"config"}, "corral config", "corral config --help"},
      {{"run", "m", "--jsn"}, "\"corral run\" has no option --jsn", "did you mean \"--json\"?"},
      {{"serve", "--lisen=x"}, "has no option --lisen", "did you mean \"--listen\"?"},
      {{"list", "extra"}, "takes no further word \"extra\"", "corral list --help"},
      {{"stop"}, "model is required", "corral stop --help"},
      {{"run", "m", "--temperature", "hot"}, "\"hot\" is not a number from 0 to 100", ""},
      {{"run", "m", "--max-tokens", "0"}, "\"0\" is not a number from 1", ""},
      {{"run", "m", "--seed", "x"}, "--seed", ""},
      {{"completion", "tcsh"}, "\"tcsh\" is none of bash, zsh, fish", ""},
      {{"serve", "--listen"}, "--listen", "corral serve --help"}};
  for (const Wrong& wrong : cases) {
    auto parsed = parse(wrong.words);
    std::string line = wrong.words.empty() ? "(nothing)" : wrong.words.back();
    ASSERT_TRUE(std::holds_alternative<Failure>(parsed.value)) << line;
    EXPECT_EQ(parsed.wrong().exit, ExitCode::usage) << line;
    EXPECT_NE(parsed.wrong().message.find(wrong.message), std::string::npos)
        << parsed.wrong().message;
    EXPECT_NE(parsed.wrong().hint.find(wrong.hint), std::string::npos) << parsed.wrong().hint;
    EXPECT_EQ(parsed.wrong().message.find('\n'), std::string::npos);
  }
}

TEST(ParseOptions, Help) {
  for (const Words& words : {Words{"--help"}, Words{"-h"}, Words{"help"}}) {
    auto parsed = parse(words);
    auto* help = std::get_if<HelpText>(&parsed.value);
    ASSERT_NE(help, nullptr);
    EXPECT_NE(help->text.find("Usage: corral [OPTIONS]"), std::string::npos) << help->text;
    EXPECT_NE(help->text.find("Exit codes"), std::string::npos);
    EXPECT_EQ(help->text.find("__complete"), std::string::npos);
  }
  for (const Words& words : {Words{"run", "--help"}, Words{"help", "run"}}) {
    auto parsed = parse(words);
    auto* help = std::get_if<HelpText>(&parsed.value);
    ASSERT_NE(help, nullptr);
    EXPECT_NE(help->text.find("Usage: corral run [OPTIONS] model"), std::string::npos);
    EXPECT_NE(help->text.find("Examples:"), std::string::npos);
  }
}

TEST(CommandTree, HoldsCommandsOptionsAndWhatTheyTake) {
  CommandInfo root = command_tree();
  std::map<std::string, const CommandInfo*> commands;
  for (const CommandInfo& command : root.children) commands[command.name] = &command;
  ASSERT_TRUE(commands.contains("run") && commands.contains("config") &&
              commands.contains("completion") && commands.contains("list"));
  EXPECT_FALSE(commands.contains("__complete"));
  EXPECT_EQ(commands["run"]->takes, "names");  // routes and aliases too
  EXPECT_EQ(commands["list"]->takes, "");
  EXPECT_EQ(commands["config"]->children.size(), 6u);
  EXPECT_FALSE(commands["config"]->acts);
  EXPECT_TRUE(commands["endpoints"]->acts && commands["routes"]->acts);
  std::map<std::string, std::string> takes;
  for (const CommandInfo& command : commands["routes"]->children) {
    takes[command.name] = command.takes;
  }
  EXPECT_EQ(takes,
            (std::map<std::string, std::string>{
                {"show", "routes"}, {"explain", "names"}, {"add", "files"}, {"remove", "routes"}}));
  EXPECT_EQ(commands["completion"]->choices, (Words{"bash", "zsh", "fish"}));
  for (const OptionInfo& option : commands["serve"]->options) {
    if (option.name == "--models") EXPECT_EQ(option.value, "DIR");
  }
  for (const OptionInfo& option : root.options) {
    if (option.name == "--json") EXPECT_EQ(option.value, "");
    if (option.name == "--server") EXPECT_EQ(option.value, "URL");
  }
}

}  // namespace
}  // namespace corral::cli::options_test
