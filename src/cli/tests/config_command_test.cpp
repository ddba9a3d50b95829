#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/config_source.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::config_command_test {
namespace {

class ConfigTest : public ::testing::Test {
 protected:
  int config(std::vector<std::string> words) {
    words.insert(words.begin(), "config");
    stage.console.out_text.clear();
    stage.console.err_text.clear();
    return stage.run(std::move(words));
  }
  const std::string& out() const { return stage.console.out_text; }
  const std::string& err() const { return stage.console.err_text; }

  Stage stage;
};

TEST_F(ConfigTest, CheckSaysFileAndCount) {
  stage.files.files["c.yaml"] = "log:\n  level: debug\nserver:\n  threads: 2\n";
  EXPECT_EQ(config({"check", "--config", "c.yaml"}), 0);
  EXPECT_EQ(out(), "c.yaml is right: 2 settings\n");
  EXPECT_EQ(config({"check", "--config", "c.yaml", "--json"}), 0);
  auto report = json::parse(out());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->at("ok"), true);
  EXPECT_EQ(report->at("settings"), 2);
}

TEST_F(ConfigTest, CheckPrintsEveryProblemWithItsLine) {
  stage.files.files["c.yaml"] = "log:\n  levle: debug\nserver:\n  threads: many\n";
  EXPECT_EQ(config({"check", "--config", "c.yaml"}), 1);
  EXPECT_NE(out().find("c.yaml:2: "), std::string::npos) << out();
  EXPECT_NE(out().find("c.yaml:4: "), std::string::npos) << out();
  EXPECT_NE(err().find("error: the configuration has 2 problems"), std::string::npos) << err();
  EXPECT_EQ(config({"check", "--config", "c.yaml", "--json"}), 1);
  auto report = json::parse(out());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->at("ok"), false);
  EXPECT_EQ(report->at("problems").as_array().size(), 2u);
}

TEST_F(ConfigTest, AMissingFileOrBadOverrideIsAFailure) {
  EXPECT_EQ(config({"check", "--config", "none.yaml"}), 1);
  EXPECT_NE(err().find("none.yaml"), std::string::npos);
  EXPECT_EQ(config({"check", "--set", "server.api_key"}), 1);
  EXPECT_NE(err().find("--set needs path=value"), std::string::npos);
  EXPECT_EQ(config({"check", "--set", "=x"}), 1);
}

TEST_F(ConfigTest, WithoutAFileAllIsAsByDefault) {
  EXPECT_EQ(config({"check"}), 0);
  EXPECT_NE(out().find("no configuration file"), std::string::npos);
}

TEST_F(ConfigTest, TheClientsOwnVariablesAreNoSlips) {
  stage.environment["CORRAL_SERVER"] = "http://x";
  stage.environment["CORRAL_API_KEY"] = "k";
  EXPECT_EQ(config({"check"}), 0);
  EXPECT_EQ(err(), "");
}

TEST_F(ConfigTest, Documents) {
  EXPECT_EQ(config({"schema"}), 0);
  EXPECT_TRUE(json::parse(out()));
  EXPECT_EQ(config({"docs"}), 0);
  EXPECT_NE(out().find("server.listen"), std::string::npos);
  EXPECT_EQ(config({"example"}), 0);
  stage.files.files["e.yaml"] = out();
  EXPECT_EQ(config({"check", "--config", "e.yaml"}), 0) << err();
}

TEST_F(ConfigTest, ExportIsEffectiveAndKeepsSecrets) {
  stage.files.files["c.yaml"] = "server:\n  api_key: hush-hush-hush-hush-hush-hush-hush\n";
  for (bool as_json : {false, true}) {
    std::vector<std::string> words{"export", "--config", "c.yaml", "--set", "log.level=warn"};
    if (as_json) words.emplace_back("--json");
    EXPECT_EQ(config(words), 0) << err();
    EXPECT_EQ(out().find("hush"), std::string::npos);
    EXPECT_NE(out().find("warn"), std::string::npos);
    if (as_json) EXPECT_TRUE(json::parse(out()));
  }
}

TEST_F(ConfigTest, GetOneValueOrASection) {
  stage.files.files["c.yaml"] =
      "log:\n  level: debug\nserver:\n  threads: 3\nmodels:\n  settings:\n    a.b:\n      slots: "
      "7\n";
  auto get = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "get");
    words.insert(words.end(), {"--config", "c.yaml"});
    EXPECT_EQ(config(words), 0) << err();
    return out();
  };
  EXPECT_EQ(get({"log.level"}), "debug\n");
  EXPECT_EQ(get({"log.level", "--json"}), "\"debug\"\n");
  EXPECT_EQ(get({"server.threads"}), "3\n");
  EXPECT_EQ(get({"models.settings.a.b.slots"}), "7\n");
  EXPECT_EQ(json::parse(get({"log"}))->at("level"), "debug");
  EXPECT_EQ(json::parse(get({}))->at("server").at("threads"), 3);
  EXPECT_EQ(config({"get", "log.levle"}), 4);
  EXPECT_NE(err().find("did you mean log.level?"), std::string::npos);
  EXPECT_EQ(config({"get", "endpoints.0.name"}), 4);
  EXPECT_EQ(config({"get", "server.api_key"}), 1);
  EXPECT_NE(err().find("secret"), std::string::npos);
}

TEST(ConfigSources, OptionsBecomeOverrides) {
  MemoryFiles files;
  auto sources = config_sources({.listen = {"127.0.0.1:0", "127.0.0.1:1"},
                                 .data_dir = "/d",
                                 .models = "/m",
                                 .overrides = {"log.level=debug"}},
                                files, {});
  ASSERT_TRUE(sources);
  auto loaded = config::load(*sources);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->settings.data_dir, "/d");
  EXPECT_EQ(loaded->settings.models.directory, "/m");
  EXPECT_EQ(loaded->settings.log.level, "debug");
  ASSERT_EQ(loaded->settings.server.listen.size(), 2u);
  EXPECT_EQ(loaded->settings.server.listen[1].port, 1);
}

}  // namespace
}  // namespace corral::cli::config_command_test
