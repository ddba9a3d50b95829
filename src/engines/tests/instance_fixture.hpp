// An instance driven by a test: over a fake engine that misbehaves on demand, or the real one. A
// scenario is a coroutine on the control shard.
#pragma once

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

#include "base/tests/support/source_dir.hpp"
#include "engines/instance.hpp"
#include "net/one_shot.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::engines {

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

inline bool process_exists(int pid) { return ::kill(pid, 0) == 0; }

class InstanceTest : public testing::Test {
 public:
  InstanceTest() {
    std::ofstream(folder_ / "model.gguf") << "not looked at by the fake";
    spec_.name = "tiny";
    spec_.model_file = folder_ / "model.gguf";
    spec_.context = 256;
    spec_.slots = 2;
    spec_.settings.path = test::source_file("src/engines/tests/fake_llama_server.py");
    spec_.settings.start_timeout = 30s;
    spec_.settings.stop_timeout = 10s;
    spec_.settings.restart_backoff = 20ms;
    spec_.settings.restart_backoff_max = 40ms;
  }
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
                         folder_ / "cache", 1, limits_},
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

  sys::TempFolder own_;
  sys::Path folder_ = own_.path();
  InstanceSpec spec_;
  std::unique_ptr<sys::Processes> processes_ = sys::real_processes();
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  sys::RealClock clock_;
  std::shared_ptr<MemorySink> sink_ = std::make_shared<MemorySink>();
  net::Shard* shard_ = nullptr;
  sys::ResourceLimits* limits_ = nullptr;
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
inline net::Task<bool> gone(int pid) {
  for (int i = 0; i < 500 && process_exists(pid); ++i) {
    auto slept = co_await net::sleep_for(10ms);
    if (!slept) co_return false;
  }
  co_return !process_exists(pid);
}

}  // namespace corral::engines
