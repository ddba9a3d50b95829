// The driver, with a fake engine that misbehaves on demand, and with the real one where there is
// one.
#include "engines/instance.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engines/core/engine_log.hpp"
#include "net/http_client.hpp"
#include "net/one_shot.hpp"

namespace corral::engines {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 60s;  // only a failing test takes so long

// Keeps what is logged.
class MemorySink final : public telemetry::LogSink {
 public:
  bool enabled(telemetry::LogLevel level) const override {
    return level != telemetry::LogLevel::off;
  }
  void flush() override {}
  void write(const telemetry::LogRecord& record) override {
    std::lock_guard lock(mutex_);
    std::string line(telemetry::to_string(record.level));
    line.append(" ").append(record.component).append(" ").append(record.message);
    for (const telemetry::LogField& field : record.fields)
      if (auto* text = std::get_if<std::string_view>(&field.value))
        line.append(" ").append(field.key).append("=").append(*text);
    lines_.push_back(std::move(line));
  }
  std::size_t count(std::string_view part) const {
    std::lock_guard lock(mutex_);
    return std::ranges::count_if(lines_, [&](const std::string& l) { return l.contains(part); });
  }
  std::size_t longest() const {
    std::lock_guard lock(mutex_);
    std::size_t most = 0;
    for (const std::string& line : lines_) most = std::max(most, line.size());
    return most;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

bool process_exists(int pid) { return ::kill(pid, 0) == 0; }

class InstanceTest : public testing::Test {
 public:
  InstanceTest() {
    std::string name = (std::filesystem::temp_directory_path() / "corral-test-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    std::ofstream(folder_ / "model.gguf") << "not looked at by the fake";
    spec_.name = "tiny";
    spec_.model_file = folder_ / "model.gguf";
    spec_.context = 256;
    spec_.slots = 2;
    spec_.settings.path = CORRAL_SOURCE_DIR "/src/engines/tests/fake_llama_server.py";
    spec_.settings.start_timeout = 30s;
    spec_.settings.stop_timeout = 10s;
    spec_.settings.restart_backoff = 20ms;
    spec_.settings.restart_backoff_max = 40ms;
  }
  ~InstanceTest() override { std::filesystem::remove_all(folder_); }

  void fake(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--fake-record", record().string()});
    spec_.settings.extra_arguments = std::move(arguments);
  }
  std::string runs() const { return (folder_ / "runs").string(); }
  std::size_t run_count() const {
    std::ifstream file(runs());
    return static_cast<std::size_t>(
        std::count(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>(), '\n'));
  }
  sys::Path record() const { return folder_ / "record.json"; }
  std::string recorded() const {
    std::ifstream file(record());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  int recorded_number(const std::string& name) const {
    std::string text = recorded();
    std::size_t at = text.find("\"" + name + "\": ");
    return at == std::string::npos ? 0 : std::atoi(text.c_str() + at + name.size() + 4);
  }

  // What happened, in order; `next()` waits for the next event.
  struct Event {
    std::string kind;
    std::optional<Error> error;
    InstanceAddress address;
  };
  void note(Event event) {
    seen_.push_back(event.kind);
    events_.push_back(std::move(event));
    if (arrived_) arrived_->notify();
  }
  net::Task<Event> next() {
    while (events_.empty()) {
      arrived_ = net::Wakeup::create();
      bool woken = co_await arrived_->wait();
      if (!woken) co_return Event{"cancelled", {}, {}};
    }
    Event event = std::move(events_.front());
    events_.pop_front();
    co_return event;
  }

  Instance& make() {
    instance_ = std::make_unique<Instance>(
        spec_,
        InstanceServices{*shard_, *processes_, *files_, clock_, telemetry::Logger(sink_, "test"),
                         folder_ / "cache", 1},
        Instance::Listener{.ready = [this](const InstanceAddress& at) { note({"ready", {}, at}); },
                           .down = [this](const Error& error) { note({"down", error, {}}); },
                           .failed = [this](const Error& error) { note({"failed", error, {}}); },
                           .stopped = [this] { note({"stopped", {}, {}}); }});
    return *instance_;
  }

  // Plays a scenario on the control shard and closes the instance that it made.
  using Scenario = net::Task<void> (*)(InstanceTest&);
  void play(Scenario scenario) {
    net::Shards shards(0);
    shard_ = &shards.control();
    net::TaskGroup main(shards.control());
    net::TaskGroup guard(shards.control());
    guard.spawn(time_out(&main));
    main.spawn(run(this, scenario, &guard, &shards));
    shards.run_control();
    instance_.reset();
  }
  static net::Task<void> run(InstanceTest* test, Scenario scenario, net::TaskGroup* guard,
                             net::Shards* shards) {
    co_await scenario(*test);
    if (test->instance_) co_await test->instance_->close();
    co_await guard->close();
    // Not here: this coroutine must have ended before the shards do.
    shards->control().post([shards] { shards->stop(); });
  }
  static net::Task<void> time_out(net::TaskGroup* main) {
    auto slept = co_await net::sleep_for(kPatience);
    if (!slept) co_return;
    ADD_FAILURE() << "the scenario took too long";
    main->cancel();
  }

  sys::Path folder_;
  InstanceSpec spec_;
  std::unique_ptr<sys::Processes> processes_ = sys::real_processes();
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  sys::RealClock clock_;
  std::shared_ptr<MemorySink> sink_ = std::make_shared<MemorySink>();
  net::Shard* shard_ = nullptr;
  std::unique_ptr<Instance> instance_;
  std::deque<Event> events_;
  std::vector<std::string> seen_;
  std::shared_ptr<net::Wakeup> arrived_;
};

// A test that is a coroutine on the control shard. It uses EXPECT and REQUIRE, never ASSERT.
#define INSTANCE_TEST(name)                              \
  net::Task<void> name##_scenario(InstanceTest& t);      \
  TEST_F(InstanceTest, name) { play(&name##_scenario); } \
  net::Task<void> name##_scenario([[maybe_unused]] InstanceTest& t)

#define REQUIRE(condition)                   \
  do {                                       \
    bool corral_holds = (condition);         \
    EXPECT_TRUE(corral_holds) << #condition; \
    if (!corral_holds) co_return;            \
  } while (false)

// The process that the fake engine recorded is gone (it may take a moment to be reaped by init).
net::Task<bool> gone(int pid) {
  for (int i = 0; i < 500 && process_exists(pid); ++i) {
    auto slept = co_await net::sleep_for(10ms);
    if (!slept) co_return false;
  }
  co_return !process_exists(pid);
}

INSTANCE_TEST(BecomesReadyAndStops) {
  t.fake({"--fake-loading", "0.05"});
  Instance& instance = t.make();
  EXPECT_EQ(instance.state(), InstanceState::stopped);
  EXPECT_EQ(instance.info().pid, 0);
  instance.start();
  instance.start();
  EXPECT_EQ(instance.state(), InstanceState::starting);
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  EXPECT_EQ(event.address.host, "127.0.0.1");
  EXPECT_EQ(event.address.url(), "http://127.0.0.1:" + std::to_string(event.address.port));
  EXPECT_EQ(event.address.api_key.value.size(), 64u);

  InstanceInfo info = instance.info();
  EXPECT_EQ(info.state, InstanceState::ready);
  EXPECT_EQ(info.port, event.address.port);
  EXPECT_EQ(info.pid, t.recorded_number("pid"));
  EXPECT_EQ(info.restarts, 0u);
  EXPECT_FALSE(info.last_error);
  EXPECT_GT(info.resident_bytes, 0u);
  EXPECT_LT(t.clock_.wall() - info.since, 1min);

  // The key is in the environment, where other users cannot read it, and not on the command line.
  std::string recorded = t.recorded();
  std::size_t environment = recorded.find("\"environment\"");
  EXPECT_GT(recorded.find(event.address.api_key.value), environment);
  EXPECT_EQ(recorded.find("\"LLAMA_ARG_"), std::string::npos);

  instance.stop();
  EXPECT_EQ(instance.state(), InstanceState::stopping);
  co_await instance.stopped();
  EXPECT_EQ(instance.state(), InstanceState::stopped);
  EXPECT_EQ(instance.info().pid, 0);
  EXPECT_FALSE(process_exists(info.pid));
  EXPECT_EQ(t.seen_, (std::vector<std::string>{"ready", "stopped"}));
  EXPECT_EQ(t.sink_->count("engine ready model=tiny"), 1u);
  EXPECT_EQ(t.sink_->count("debug engine srv  llama_server: initializing ... model=tiny"), 1u);
  EXPECT_EQ(t.sink_->count(event.address.api_key.value), 0u);
}

INSTANCE_TEST(StartsAgainAfterAStopWithAnotherKey) {
  t.fake({});
  Instance& instance = t.make();
  instance.start();
  auto first = co_await t.next();
  REQUIRE(first.kind == "ready");
  instance.stop();
  instance.start();  // while it is stopping
  auto stopped = co_await t.next();
  EXPECT_EQ(stopped.kind, "stopped");
  auto second = co_await t.next();
  REQUIRE(second.kind == "ready");
  EXPECT_NE(first.address.api_key.value, second.address.api_key.value);
}

INSTANCE_TEST(CloseStopsWhatRuns) {
  t.fake({});
  Instance& instance = t.make();
  instance.start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  int pid = instance.info().pid;
  co_await instance.close();
  EXPECT_FALSE(process_exists(pid));
  EXPECT_EQ(instance.state(), InstanceState::stopped);
  instance.start();  // closed for good
  EXPECT_EQ(instance.state(), InstanceState::stopped);
}

INSTANCE_TEST(StopWhileLoading) {
  t.fake({"--fake-never-ready"});
  Instance& instance = t.make();
  instance.start();
  int pid = instance.info().pid;
  EXPECT_TRUE(process_exists(pid));
  instance.stop();
  co_await instance.stopped();
  EXPECT_FALSE(process_exists(pid));
  EXPECT_EQ(t.seen_, std::vector<std::string>{"stopped"});
}

INSTANCE_TEST(SigtermIgnoredIsSigkill) {
  t.spec_.settings.stop_timeout = 100ms;
  t.fake({"--fake-ignore-term", "--fake-child"});
  Instance& instance = t.make();
  instance.start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  int pid = instance.info().pid;
  int child = t.recorded_number("child");
  REQUIRE(child > 0);
  EXPECT_TRUE(process_exists(child));
  instance.stop();
  co_await instance.stopped();
  EXPECT_FALSE(process_exists(pid));
  bool child_gone = co_await gone(child);
  EXPECT_TRUE(child_gone);
  EXPECT_EQ(t.sink_->count("killing the engine"), 1u);
}

INSTANCE_TEST(CrashesAtStartBackOffAndThenFailWithTheLastWords) {
  t.fake({"--fake-exit", "7", "--fake-say", "0.00.001.000 E engine: out of luck", "--fake-runs",
          t.runs()});
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(t.run_count(), 3u);
  EXPECT_NE(event.error->message.find("'tiny'"), std::string::npos);
  EXPECT_NE(event.error->message.find("exit code 7"), std::string::npos);
  EXPECT_NE(event.error->cause.find("out of luck"), std::string::npos);
  EXPECT_EQ(t.instance_->state(), InstanceState::failed);
  EXPECT_EQ(t.instance_->info().restarts, 2u);
  EXPECT_TRUE(t.instance_->info().last_error);
  EXPECT_EQ(t.sink_->count("error engine engine: out of luck"), 3u);
  co_await t.instance_->stopped();  // failed counts: there is no process
}

INSTANCE_TEST(RecoversWhenALaterRunGoesWell) {
  t.fake({"--fake-exit", "1", "--fake-runs", t.runs(), "--fake-only-first", "2"});
  t.make().start();
  auto event = co_await t.next();
  EXPECT_EQ(event.kind, "ready");
  EXPECT_EQ(t.run_count(), 3u);
}

INSTANCE_TEST(ABrokenModelFailsAtOnce) {
  t.fake({"--fake-exit", "1", "--fake-runs", t.runs(), "--fake-say",
          "0.00.001.000 E gguf: data is not within the file bounds, model is corrupted or "
          "incomplete"});
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(t.run_count(), 1u);
  EXPECT_NE(event.error->message.find("damaged"), std::string::npos);
}

INSTANCE_TEST(ACrashAfterReadyIsToldAndMended) {
  t.fake({});
  Instance& instance = t.make();
  instance.start();
  auto first = co_await t.next();
  REQUIRE(first.kind == "ready");
  ::kill(instance.info().pid, SIGABRT);
  auto down = co_await t.next();
  REQUIRE(down.kind == "down");
  EXPECT_NE(down.error->message.find("signal 6"), std::string::npos);
  auto second = co_await t.next();
  REQUIRE(second.kind == "ready");
  EXPECT_NE(first.address.api_key.value, second.address.api_key.value);
  EXPECT_EQ(instance.info().restarts, 1u);
}

INSTANCE_TEST(KilledFromOutsideComesBack) {
  t.fake({});
  Instance& instance = t.make();
  instance.start();
  auto first = co_await t.next();
  REQUIRE(first.kind == "ready");
  ::kill(instance.info().pid, SIGKILL);
  auto down = co_await t.next();
  REQUIRE(down.kind == "down");
  EXPECT_NE(down.error->hint_text.find("memory"), std::string::npos);
  auto second = co_await t.next();
  EXPECT_EQ(second.kind, "ready");
}

INSTANCE_TEST(NeverReadyFailsAfterTheStartTimeout) {
  t.spec_.settings.start_timeout = 300ms;
  t.spec_.settings.restart_limit = 1;
  t.fake({"--fake-never-ready"});
  Instance& instance = t.make();
  instance.start();
  int pid = instance.info().pid;
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(event.error->code, ErrorCode::timeout);
  EXPECT_FALSE(process_exists(pid));
}

INSTANCE_TEST(ATakenPortIsTriedOnAnother) {
  t.spec_.settings.restart_limit = 1;
  t.fake({"--fake-port-taken", "--fake-runs", t.runs(), "--fake-only-first", "3"});
  t.make().start();
  auto event = co_await t.next();
  EXPECT_EQ(event.kind, "ready");
  EXPECT_EQ(t.run_count(), 4u);
  EXPECT_EQ(t.instance_->info().restarts, 0u);
}

// Answers /health with 200 on a port that the engine was given but does not hold.
class Impostor {
 public:
  explicit Impostor(std::uint16_t port) {
    child_ = sys::real_processes()
                 ->spawn({.program = CORRAL_SOURCE_DIR "/src/engines/tests/fake_llama_server.py",
                          .arguments = {"--port", std::to_string(port)}})
                 .value();
  }

 private:
  std::unique_ptr<sys::ChildProcess> child_;
};

INSTANCE_TEST(AStrangerOnThePortIsNotBelieved) {
  t.spec_.settings.start_timeout = 2s;
  t.spec_.settings.restart_limit = 1;
  t.fake({"--fake-elsewhere"});
  Instance& instance = t.make();
  instance.start();
  Impostor impostor(instance.info().port);
  auto event = co_await t.next();
  EXPECT_EQ(event.kind, "failed");  // and never ready
  EXPECT_EQ(event.error->code, ErrorCode::timeout);
}

INSTANCE_TEST(OutputIsBounded) {
  t.fake({"--fake-huge-lines"});
  Instance& instance = t.make();
  instance.start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  instance.stop();
  co_await instance.stopped();
  EXPECT_GE(t.sink_->count("[cut]"), 1u);
  EXPECT_LT(t.sink_->longest(), LineSplitter::kMaxLine + 200);
  EXPECT_LT(t.sink_->count("many: short lines"), 5000u);
  EXPECT_GT(t.sink_->count("many: short lines"), 100u);
}

INSTANCE_TEST(LinesThatMayHoldPromptsAreNotLogged) {
  t.fake({"--fake-say", "0.00.001.000 D slot: prompt: my secret diary"});
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  t.instance_->stop();
  co_await t.instance_->stopped();
  EXPECT_EQ(t.sink_->count("diary"), 0u);
}

INSTANCE_TEST(AMissingEngineFailsWithAHint) {
  t.spec_.settings.path = "/nowhere/llama-server";
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(event.error->code, ErrorCode::not_found);
  EXPECT_EQ(event.error->param, "engines.llama_server.path");
}

INSTANCE_TEST(AMissingModelFails) {
  t.spec_.model_file = t.folder_ / "gone.gguf";
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(event.error->code, ErrorCode::not_found);
}

INSTANCE_TEST(ABadExtraArgumentFails) {
  t.spec_.settings.extra_arguments = {"--api-key", "hunter2"};
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(event.error->code, ErrorCode::invalid_argument);
  EXPECT_EQ(t.sink_->count("hunter2"), 0u);
}

INSTANCE_TEST(AnEngineThatIsNoProgramFails) {
  t.spec_.settings.path = t.spec_.model_file.string();
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(event.error->code, ErrorCode::invalid_argument);
}

// Spawning fails as when the system is out of processes: that may pass.
class RefusingProcesses final : public sys::Processes {
 public:
  explicit RefusingProcesses(sys::Processes& inner, int refusals)
      : inner_(inner), refusals_(refusals) {}
  Result<std::unique_ptr<sys::ChildProcess>> spawn(const sys::SpawnSpec& spec) override {
    if (refusals_-- > 0) return fail(ErrorCode::io, "out of processes");
    return inner_.spawn(spec);
  }

 private:
  sys::Processes& inner_;
  int refusals_;
};

INSTANCE_TEST(ARefusedSpawnIsTriedAgain) {
  t.fake({});
  auto real = std::move(t.processes_);
  t.processes_ = std::make_unique<RefusingProcesses>(*real, 2);
  t.make().start();
  auto event = co_await t.next();
  EXPECT_EQ(event.kind, "ready");
  EXPECT_EQ(t.instance_->info().restarts, 2u);
  co_await t.instance_->close();
}

INSTANCE_TEST(ListenersMayStopAndStart) {
  t.fake({});
  t.instance_ = std::make_unique<Instance>(
      t.spec_,
      InstanceServices{*t.shard_, *t.processes_, *t.files_, t.clock_,
                       telemetry::Logger(t.sink_, "test"), t.folder_ / "cache", 1},
      Instance::Listener{.ready =
                             [&t](const InstanceAddress&) {
                               t.note({"ready", {}, {}});
                               t.instance_->stop();
                             },
                         .stopped = [&t] { t.note({"stopped", {}, {}}); }});
  t.instance_->start();
  auto first = co_await t.next();
  auto second = co_await t.next();
  EXPECT_EQ(first.kind, "ready");
  EXPECT_EQ(second.kind, "stopped");
}

// The real engine on the bundled model, where both are there (after scripts/build-engine).
net::Task<std::string> get(InstanceAddress at, std::string path, std::string key) {
  net::HttpTarget target;
  target.host = at.host;
  target.port = at.port;
  net::Headers headers;
  if (!key.empty()) headers.add("Authorization", "Bearer " + key);
  net::ClientRequest request;
  request.path = path;
  request.headers = &headers;
  auto answer = co_await net::shard_client().send(target, request, {});
  if (!answer) co_return answer.error().message;
  auto body = co_await (*answer)->read_all(1u << 20);
  co_return std::to_string((*answer)->status()) + " " + body.value_or("");
}

class RealInstanceTest : public InstanceTest {
 public:
  void SetUp() override {
    auto folders = sys::user_folders();
    auto engine = folders ? find_llama_server(*files_, {}, folders->cache)
                          : Result<sys::Path>(fail(ErrorCode::not_found, "no folders"));
    sys::Path model = CORRAL_SOURCE_DIR "/models/corral-tiny.gguf";
    ASSERT_TRUE(engine) << engine.error().describe() << "; scripts/build-engine builds it";
    ASSERT_TRUE(std::filesystem::exists(model)) << model;
    spec_.settings.path = engine->string();
    spec_.model_file = model;
  }
};

net::Task<void> serves(InstanceTest& t) {
  Instance& instance = t.make();
  instance.start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  auto health = co_await get(event.address, "/health", "");
  EXPECT_EQ(health, "200 {\"status\":\"ok\"}");
  auto refused = co_await get(event.address, "/v1/models", "");
  EXPECT_TRUE(refused.starts_with("401")) << refused;
  auto models = co_await get(event.address, "/v1/models", event.address.api_key.value);
  EXPECT_TRUE(models.starts_with("200")) << models;
  EXPECT_NE(models.find("\"id\":\"tiny\""), std::string::npos) << models;
  EXPECT_NE(models.find("\"n_ctx\":256"), std::string::npos) << models;
  int pid = instance.info().pid;
  instance.stop();
  co_await instance.stopped();
  EXPECT_FALSE(process_exists(pid));
  EXPECT_EQ(t.sink_->count("killing"), 0u);
}
TEST_F(RealInstanceTest, ServesAndStops) { play(&serves); }

net::Task<void> embeds(InstanceTest& t) {
  t.spec_.purpose = Purpose::embedding;
  t.make().start();
  auto event = co_await t.next();
  EXPECT_EQ(event.kind, "ready") << (event.error ? event.error->cause : "");
}
TEST_F(RealInstanceTest, StartsForEmbeddings) { play(&embeds); }

net::Task<void> dies(InstanceTest& t) {
  Instance& instance = t.make();
  instance.start();
  auto first = co_await t.next();
  REQUIRE(first.kind == "ready");
  ::kill(instance.info().pid, SIGSEGV);
  auto down = co_await t.next();
  EXPECT_EQ(down.kind, "down");
  auto second = co_await t.next();
  EXPECT_EQ(second.kind, "ready");
}
TEST_F(RealInstanceTest, ComesBackAfterACrash) { play(&dies); }

net::Task<void> refuses(InstanceTest& t) {
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(t.instance_->info().restarts, 0u);  // recognised as permanent
  EXPECT_NE(event.error->message.find("file"), std::string::npos) << event.error->message;
}
TEST_F(RealInstanceTest, RefusesAModelCutShort) {
  std::ifstream whole(spec_.model_file, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(whole), {});
  sys::Path cut = folder_ / "cut.gguf";
  std::ofstream(cut, std::ios::binary) << content.substr(0, content.size() * 3 / 4);
  spec_.model_file = cut;
  play(&refuses);
}
TEST_F(RealInstanceTest, RefusesWhatIsNoModel) {
  spec_.model_file = folder_ / "model.gguf";
  play(&refuses);
}

net::Task<void> refuses_argument(InstanceTest& t) {
  t.spec_.settings.extra_arguments = {"--no-such-argument"};
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_NE(event.error->message.find("refused an argument"), std::string::npos)
      << event.error->message << "\n"
      << event.error->cause;
}
TEST_F(RealInstanceTest, SaysThatAnArgumentIsUnknown) { play(&refuses_argument); }

}  // namespace
}  // namespace corral::engines
