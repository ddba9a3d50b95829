#include "config/config.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/json.hpp"
#include "base/text.hpp"
#include "config/properties.hpp"

namespace corral::config::config_test {
namespace {

using std::chrono::milliseconds;

Result<Loaded> load_text(std::string text) { return load({.text = std::move(text)}); }

Settings good(const Result<Loaded>& loaded) {
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded ? loaded->settings : Settings{};
}

std::string problems(const Result<Loaded>& loaded) {
  return loaded ? "none" : loaded.error().message;
}

// A secret file in memory.
class OneFile final : public sys::Files {
 public:
  Result<std::string> read(const sys::Path& path, std::uint64_t) override {
    if (path == "/run/key") return std::string("sk-from-file\n");
    return fail(ErrorCode::not_found, "no file " + path.string());
  }
  Result<sys::FileInfo> stat(const sys::Path&) override { return none(); }
  Result<std::vector<sys::FileInfo>> list(const sys::Path&) override { return none(); }
  Result<std::unique_ptr<sys::ReadableFile>> open(const sys::Path&) override { return none(); }
  Result<void> write_atomic(const sys::Path&, std::string_view, unsigned) override {
    return none();
  }
  Result<void> make_directories(const sys::Path&, unsigned) override { return none(); }
  Result<void> remove(const sys::Path&) override { return none(); }

 private:
  static Error none() { return fail(ErrorCode::unsupported, "not here"); }
};

TEST(ConfigLoad, NothingGivesTheDefaults) {
  Settings settings = good(load({}));
  EXPECT_TRUE(diff(Settings{}, settings).empty());
  ASSERT_EQ(settings.server.listen.size(), 3u);
  EXPECT_EQ(to_string(settings.server.listen[0]), "127.0.0.1:8585");
  EXPECT_TRUE(settings.server.listen[0].required);
  EXPECT_FALSE(settings.server.listen[1].required);
  EXPECT_EQ(settings.log.level, "info");
  EXPECT_TRUE(diff(settings, good(load_text("# nothing\n"))).empty());
}

TEST(ConfigLoad, ReadsEveryKindOfValue) {
  Settings settings = good(load_text(R"(
data_dir: /var/lib/corral
server:
  listen: [127.0.0.1:9000, "[::1]:9001?"]
  threads: 3
  max_body_bytes: 8MiB
  min_body_rate: 50
  idle_timeout: 1m30s
  write_timeout: 5
  compression: off
  cors_origins: https://example.org
  api_key: sk-1
log: {level: off, format: json}
engines:
  llama_server:
    context: 2048
    extra_arguments: [--mlock, "--override-kv", "a=int:1,b=int:2"]
models:
  idle_timeout: 0
  settings:
    qwen2.5:
      context: 512
      preload: yes
      aliases: [small]
endpoints:
  - name: office
    binding: openai
    url: https://api.example.org/v1
    api_key: sk-2
    models: [a, "b=c"]
    capacity: 8
)"));
  EXPECT_EQ(settings.data_dir, "/var/lib/corral");
  EXPECT_EQ(settings.server.listen,
            (std::vector<ListenAddress>{{"127.0.0.1", 9000, true}, {"::1", 9001, false}}));
  EXPECT_EQ(settings.server.threads, 3u);
  EXPECT_EQ(settings.server.max_body_bytes, 8u << 20);
  EXPECT_EQ(settings.server.min_body_rate, 50u);
  EXPECT_EQ(settings.server.idle_timeout, milliseconds(90'000));
  EXPECT_EQ(settings.server.write_timeout, milliseconds(5000));
  EXPECT_FALSE(settings.server.compression);
  EXPECT_EQ(settings.server.cors_origins, std::vector<std::string>{"https://example.org"});
  EXPECT_EQ(settings.server.api_key.value, "sk-1");
  EXPECT_EQ(settings.log.level, "off");
  EXPECT_EQ(settings.llama_server.context, 2048u);
  EXPECT_EQ(settings.llama_server.extra_arguments.back(), "a=int:1,b=int:2");
  EXPECT_EQ(settings.models.idle_timeout, milliseconds(0));
  const auto& model = settings.models.settings.at("qwen2.5");
  EXPECT_EQ(model.context, 512u);
  EXPECT_TRUE(model.preload);
  EXPECT_EQ(model.idle_timeout, milliseconds(-1));
  EXPECT_EQ(model.aliases, std::vector<std::string>{"small"});
  ASSERT_EQ(settings.endpoints.size(), 1u);
  EXPECT_EQ(settings.endpoints[0].api_key.value, "sk-2");
  EXPECT_EQ(settings.endpoints[0].capacity, 8u);
}

TEST(ConfigLoad, EnvironmentStandsOverFileAndCommandLineOverBoth) {
  Sources sources{.text = "server: {threads: 1, max_connections: 1, min_body_rate: 1}"};
  sources.environment = {{"CORRAL_SERVER_MAX_CONNECTIONS", "2"},
                         {"CORRAL_SERVER_MIN_BODY_RATE", "2"},
                         {"CORRAL_ENGINES_LLAMA_SERVER_PATH", "/opt/llama-server"},
                         {"CORRAL_SERVER_LISTEN", "127.0.0.1:1, 127.0.0.1:2"},
                         {"PATH", "/bin"}};
  sources.overrides = {{"server.min_body_rate", "3"}, {"models.settings.qwen2.5.slots", "9"}};
  auto loaded = load(sources);
  Settings settings = good(loaded);
  EXPECT_EQ(settings.server.threads, 1u);
  EXPECT_EQ(settings.server.max_connections, 2u);
  EXPECT_EQ(settings.server.min_body_rate, 3u);
  EXPECT_EQ(settings.llama_server.path, "/opt/llama-server");
  EXPECT_EQ(settings.server.listen.size(), 2u);
  EXPECT_EQ(settings.models.settings.at("qwen2.5").slots, 9u);
  EXPECT_TRUE(loaded->warnings.empty());
}

TEST(ConfigLoad, NamesTheSourceOfAWrongValue) {
  Sources sources;
  sources.environment = {{"CORRAL_SERVER_THREADS", "many"}};
  sources.overrides = {{"log.level", "loud"}, {"log.levl", "info"}, {"models.settings.x.y", "1"}};
  EXPECT_EQ(problems(load(sources)),
            "environment variable CORRAL_SERVER_THREADS: server.threads: 'many' is not a whole "
            "number (0 to 1024)\n"
            "command line: log.level: 'loud' is not one of trace, debug, info, warn, error, off\n"
            "command line: unknown key 'log.levl'; did you mean 'log.level'?\n"
            "command line: unknown key 'models.settings.x.y'");
}

TEST(ConfigLoad, WarnsOfVariablesThatLookLikeSlips) {
  Sources sources;
  sources.environment = {{"CORRAL_SERVER_LISTN", "127.0.0.1:1"}, {"CORRAL_Q", "x"}};
  auto loaded = load(sources);
  good(loaded);
  EXPECT_EQ(loaded->warnings,
            std::vector<std::string>{"environment variable 'CORRAL_SERVER_LISTN' means nothing to "
                                     "Corral; did you mean CORRAL_SERVER_LISTEN?"});
}

TEST(ConfigLoad, SecretsComeFromFilesToo) {
  OneFile files;
  Sources sources{.text = "endpoints: [{name: my-box, binding: openai, url: 'http://h'}]"};
  sources.environment = {{"CORRAL_SERVER_API_KEY_FILE", "/run/key"},
                         {"CORRAL_ENDPOINTS_MY_BOX_API_KEY", "sk-box"}};
  sources.files = &files;
  Settings settings = good(load(sources));
  EXPECT_EQ(settings.server.api_key.value, "sk-from-file");
  EXPECT_EQ(settings.endpoints[0].api_key.value, "sk-box");

  sources.environment["CORRAL_SERVER_API_KEY_FILE"] = "/missing";
  EXPECT_EQ(problems(load(sources)),
            "environment variable CORRAL_SERVER_API_KEY_FILE: no file /missing");
  sources.files = nullptr;
  EXPECT_NE(problems(load(sources)).find("files are not read here"), std::string::npos);
}

TEST(ConfigLoad, ListsAtMostFiftyProblems) {
  std::string text;
  for (int i = 0; i < 80; ++i) text += fmt::format("zz{}: 1\n", i);
  std::string all = problems(load_text(text));
  EXPECT_EQ(std::ranges::count(all, '\n'), 50);
  EXPECT_TRUE(all.ends_with("\nand 30 more")) << all;
}

TEST(ConfigLoad, RefusesHostileTextWithoutHarm) {
  EXPECT_NE(problems(load_text(std::string(65, '[') + std::string(65, ']')))
                .find("nested deeper than 64 levels"),
            std::string::npos);
  EXPECT_NE(problems(load_text(std::string(200'000, '['))), "none");
  EXPECT_NE(problems(load_text(std::string(200'000, '{'))), "none");
  EXPECT_EQ(problems(load_text(std::string("a: 1\nb: \0", 9))),
            "corral.yaml:2: control character 0x00");
  EXPECT_EQ(problems(load_text("a: \xff\n")), "corral.yaml:1: the text is not UTF-8");
  EXPECT_EQ(load_text(std::string((1u << 20) + 1, 'a')).error().code, ErrorCode::too_large);
  std::string long_key(5000, 'k');
  EXPECT_LT(problems(load_text(long_key.substr(0, 900) + ": 1")).size(), 200u);
}

TEST(ConfigDiff, NamesWhatChangedAndWhatNeedsARestart) {
  Settings before = good(load_text(R"(
server: {threads: 2, api_key: sk-old}
models: {settings: {gone: {slots: 1}, stays: {slots: 1}}}
endpoints: [{name: a, binding: openai, url: 'http://h'}]
)"));
  Settings after = good(load_text(R"(
server: {threads: 3, api_key: sk-new}
models: {settings: {came: {slots: 1}, stays: {slots: 2}}}
endpoints: [{name: a, binding: openai, url: 'http://i'}, {name: b, binding: openai, url: 'http://h'}]
)"));
  std::string text;
  for (const auto& change : diff(before, after)) {
    text += change.path + (change.needs_restart ? " restart\n" : "\n");
  }
  EXPECT_EQ(text,
            "server.threads restart\nserver.api_key\nmodels.settings.gone\n"
            "models.settings.stays.slots\nmodels.settings.came\nendpoints.a.url\nendpoints.b\n");
  EXPECT_TRUE(diff(after, after).empty());
}

TEST(ConfigSchema, DescribesEveryPropertyButShowsNoSecret) {
  auto parsed = json::parse(schema());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->at("$schema").as_string(), "https://json-schema.org/draft/2020-12/schema");
  EXPECT_FALSE(parsed->at("additionalProperties").as_bool());
  for (const auto& property : properties()) {
    boost::json::value at = *parsed;
    for (auto part : split(property.path, '.')) {
      ASSERT_TRUE(at.at("properties").as_object().contains(part)) << property.path;
      boost::json::value inner = at.at("properties").at(part);
      at = inner;
    }
    EXPECT_FALSE(at.at("description").as_string().empty()) << property.path;
    EXPECT_TRUE(at.as_object().contains("type")) << property.path;
    EXPECT_EQ(at.as_object().contains("default"), !property.secret) << property.path;
  }
  auto server = parsed->at("properties").at("server").at("properties");
  EXPECT_EQ(server.at("threads").at("maximum").as_int64(), 1024);
  EXPECT_EQ(server.at("idle_timeout").at("default").as_string(), "1m15s");
  EXPECT_TRUE(server.at("api_key").at("writeOnly").as_bool());
  auto log = parsed->at("properties").at("log").at("properties");
  EXPECT_EQ(log.at("level").at("enum").as_array().size(), 6u);
  auto endpoint = parsed->at("properties").at("endpoints").at("items");
  EXPECT_EQ(endpoint.at("required").as_array().size(), 3u);
  auto model = parsed->at("properties").at("models").at("properties").at("settings");
  EXPECT_EQ(model.at("additionalProperties").at("properties").as_object().size(),
            model_properties().size());
}

TEST(ConfigDocs, HaveARowForEveryProperty) {
  std::string text = docs();
  for (const auto& property : properties()) {
    EXPECT_NE(text.find(fmt::format("| `{}` |", property.path)), std::string::npos);
  }
  EXPECT_NE(text.find("| `server.threads` | whole number, 0 to 1024 | `0` | restart |"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("| `server.api_key` | secret |  | reload |"), std::string::npos);
  EXPECT_NE(text.find("| `capacity` |"), std::string::npos);
  for (auto line : split(text, '\n')) {
    if (line.starts_with("|")) {
      EXPECT_EQ(std::ranges::count(line, '|'), 6) << line;
    }
  }
}

TEST(ConfigExample, LoadsAndEqualsTheDefaults) {
  EXPECT_TRUE(diff(Settings{}, good(load_text(example()))).empty());
}

// Takes the comment signs off what is no explanation, up to the endpoints.
std::string uncommented(const std::string& text) {
  std::string result;
  for (auto line : split(text, '\n')) {
    if (line == "# endpoints:") break;
    auto sign = line.find("# ");
    bool value = false;
    if (sign != std::string_view::npos) {
      auto rest = line.substr(sign + 2);
      auto colon = rest.find(':');
      value = rest.starts_with("  ") ||
              (colon != std::string_view::npos &&
               (colon + 1 == rest.size() || rest[colon + 1] == ' ') &&
               rest.substr(0, colon).find_first_not_of("abcdefghijklmnopqrstuvwxyz_") ==
                   std::string_view::npos);
    }
    result += value ? std::string(line.substr(0, sign)) + std::string(line.substr(sign + 2))
                    : std::string(line);
    result += '\n';
  }
  return result;
}

TEST(ConfigExample, EqualsTheDefaultsAlsoWhenAllIsUncommented) {
  std::string text = uncommented(example());
  EXPECT_NE(text.find("\n  threads: 0\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n    NAME:\n"), std::string::npos) << text;
  Settings settings = good(load_text(text));
  EXPECT_EQ(settings.models.settings.size(), 1u) << text;
  EXPECT_TRUE(diff({}, {{}}).empty());
  EXPECT_EQ(diff(Settings{}, settings).size(), 3u);  // the model NAME, the pool NAME, a container
}

TEST(ConfigPools, AreNamedByModelsAndHold) {
  Settings settings;
  settings.models.settings["big"].pool = "gpu";
  auto problems = validate(settings);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].path, "models.settings.big.pool");
  EXPECT_NE(problems[0].message.find("scheduler.pools"), std::string::npos);
  settings.scheduler.pools["gpu"].memory = 1;
  EXPECT_TRUE(validate(settings).empty());
}

TEST(ConfigPools, AreForOneKindOfWorkEach) {
  Settings settings;
  auto& pools = settings.scheduler.pools;
  pools["a"].work = {"chat", "embedding"};
  EXPECT_TRUE(validate(settings).empty());
  pools["b"].work = {"embedding", "painting"};
  auto problems = validate(settings);
  ASSERT_EQ(problems.size(), 2u);
  for (const auto& problem : problems) EXPECT_EQ(problem.path, "scheduler.pools.b.work");
  EXPECT_NE(problems[0].message.find("is for embedding already"), std::string::npos);
  EXPECT_NE(problems[1].message.find("chat or embedding"), std::string::npos);
}

TEST(ConfigExample, LinesFitAScreen) {
  for (auto line : split(example(), '\n')) EXPECT_LE(line.size(), 100u) << line;
}

TEST(ConfigExport, ReadsBackTheSameButForSecrets) {
  Settings settings = good(load_text(R"(
server: {threads: 2, api_key: sk-top-secret, max_body_bytes: 1000001, idle_timeout: 1501ms}
log: {file: "/tmp/a \"b\"\\\n\u00e9.log"}
models: {settings: {"odd: name": {slots: 1, aliases: [x]}}}
endpoints:
  - {name: a, binding: openai, url: 'http://h', api_key: sk-top-secret, models: [x, "y=z"]}
  - {name: b, binding: llamacpp, url: 'unix:/run/b'}
)"));
  std::string text = export_yaml(settings);
  EXPECT_EQ(text.find("sk-top-secret"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  # api_key: set, and not shown\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n    # api_key: not set\n"), std::string::npos) << text;
  auto changes = diff(settings, good(load_text(text)));
  ASSERT_EQ(changes.size(), 2u) << text;
  EXPECT_EQ(changes[0].path, "server.api_key");
  EXPECT_EQ(changes[1].path, "endpoints.a.api_key");
  EXPECT_TRUE(diff(Settings{}, good(load_text(export_yaml(Settings{})))).empty());
}

TEST(ConfigAddresses, AreReadAndWritten) {
  for (const char* text : {"127.0.0.1:8585", "0.0.0.0:0", "[::1]:65535", "localhost:1"}) {
    auto address = parse_listen_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
    EXPECT_TRUE(address->required);
  }
  EXPECT_FALSE(parse_listen_address("127.0.0.1:1?")->required);
  for (const char* text :
       {"", "?", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "1.2.3:80",
        "256.0.0.1:1", "1.2.3.4.5:1", "[]:1", "[x]:1", "::1:80", "*:80", "127.0.0.1:-1",
        "127.0.0.1:+1", "evil.example:80", "1.2.3.0004:80"}) {
    EXPECT_FALSE(parse_listen_address(text)) << text;
  }
}

TEST(ConfigAddresses, LoopbackIsToldFromTheRest) {
  EXPECT_TRUE(is_loopback({"127.0.0.1", 1}));
  EXPECT_TRUE(is_loopback({"127.9.9.9", 1}));
  EXPECT_TRUE(is_loopback({"::1", 1}));
  EXPECT_TRUE(is_loopback({"localhost", 1}));
  EXPECT_FALSE(is_loopback({"0.0.0.0", 1}));
  EXPECT_FALSE(is_loopback({"::", 1}));
  EXPECT_FALSE(is_loopback({"127.evil.example", 1}));
  EXPECT_FALSE(is_loopback({"192.168.0.1", 1}));
}

TEST(ConfigNames, OfTheEnvironment) {
  EXPECT_EQ(environment_name("server.api_key"), "CORRAL_SERVER_API_KEY");
  EXPECT_EQ(environment_name("endpoints.My-Box.9"), "CORRAL_ENDPOINTS_MY_BOX_9");
}

TEST(ConfigValidate, NeedsAnAddress) {
  Settings settings;
  settings.server.listen.clear();
  auto found = validate(settings);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "server.listen");
  settings = {};
  settings.server.tls_key = "key.pem";
  settings.models.settings[" "] = {};
  found = validate(settings);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].path, "server.tls_key");
  EXPECT_EQ(found[1].message, "a model without a name");
}

TEST(ConfigValidate, KnowsGoodAndBadAddressesOfEndpoints) {
  auto wrong = [](std::string url) {
    Settings settings;
    settings.endpoints.push_back({.name = "a", .binding = "openai", .url = std::move(url)});
    return validate(settings).size();
  };
  for (const char* url : {"http://h", "https://h:1/v1", "http://[::1]:80/", "unix:/run/x"}) {
    EXPECT_EQ(wrong(url), 0u) << url;
  }
  for (const char* url : {"", "h", "http://", "http:///x", "http://h?x", "http://h/#x",
                          "http://a b", "unix:x", "file:///etc/passwd", "http://a@h"}) {
    EXPECT_EQ(wrong(url), 1u) << url;
  }
}

}  // namespace
}  // namespace corral::config::config_test
