// The life of an instance over a fake engine that misbehaves on demand: started, crashed, stopped.
// What keeps it from starting: instance_start_test.cpp; the real engine: instance_real_test.cpp.
#include "engines/instance.hpp"
#include "base/tests/support/source_dir.hpp"

#include "engines/tests/instance_fixture.hpp"

namespace corral::engines::instance_test {
namespace {

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
                 ->spawn({.program = test::source_file("src/engines/tests/fake_llama_server.py"),
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

// llama-server waits a while for those who hold an idle connection to it.
INSTANCE_TEST(LetsGoOfItsConnectionsBeforeItStops) {
  t.fake({"--fake-keep-alive"});
  Instance& instance = t.make();
  instance.start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  EXPECT_EQ(net::shard_client().pooled(), 1u);  // of the health checks
  instance.stop();
  EXPECT_EQ(net::shard_client().pooled(), 0u);
  co_await instance.stopped();
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

}  // namespace
}  // namespace corral::engines::instance_test
