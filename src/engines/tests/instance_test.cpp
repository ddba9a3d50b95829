// The driver, with a fake engine that misbehaves on demand, and with the real one where there is one.
#include "engines/instance.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <deque>
#include <fstream>
#include <mutex>

#include "net/http_client.hpp"
#include "net/one_shot.hpp"
#include "sys/host.hpp"
#include "sys/ports.hpp"

namespace corral::engines {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 60s;  // only a failing test takes so long

// Keeps what is logged.
class MemorySink final : public telemetry::LogSink {
 public:
  bool enabled(telemetry::LogLevel level) const override { return level != telemetry::LogLevel::off; }
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
 protected:
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

  using Scenario = net::Task<void> (*)(InstanceTest*);

  // Runs a scenario on the control shard with `instance_` made from `spec_`, then closes it.
  void run(Scenario scenario) {
    net::Shards shards(0);
    net::TaskGroup group(shards.control());
    net::TaskGroup guard(shards.control());
    instance_ = std::make_unique<Instance>(
        spec_,
        InstanceServices{shards.control(), *processes_, *files_, clock_,
                         telemetry::Logger(sink_, "test"), folder_ / "cache", 1},
        Instance::Listener{
            .ready = [this](const InstanceAddress& at) { note({"ready", {}, at}); },
            .down = [this](const Error& error) { note({"down", error, {}}); },
            .failed = [this](const Error& error) { note({"failed", error, {}}); },
            .stopped = [this] { note({"stopped", {}, {}}); }});
    group.spawn(play(this, scenario, &shards, &group, &guard));
    guard.spawn(time_out(&group));
    shards.run_control();
    instance_.reset();
  }

  static net::Task<void> play(InstanceTest* test, Scenario scenario, net::Shards* shards,
                              net::TaskGroup* group, net::TaskGroup* guard) {
    co_await scenario(test);
    co_await test->instance_->close();
    co_await guard->close();
    (void)group;
    shards->control().post([shards] { shards->stop(); });
  }
  static net::Task<void> time_out(net::TaskGroup* group) {
    auto slept = co_await net::sleep_for(kPatience);
    if (!slept) co_return;
    ADD_FAILURE() << "the scenario took too long";
    group->cancel();
  }

  Instance& instance() { return *instance_; }

  sys::Path folder_;
  InstanceSpec spec_;
  std::unique_ptr<sys::Processes> processes_ = sys::real_processes();
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  sys::RealClock clock_;
  std::shared_ptr<MemorySink> sink_ = std::make_shared<MemorySink>();
  std::unique_ptr<Instance> instance_;
  std::deque<Event> events_;
  std::vector<std::string> seen_;
  std::shared_ptr<net::Wakeup> arrived_;
};

#define SCENARIO(name, body)                                 \
  net::Task<void> name##_scenario(InstanceTest* t_);         \
  TEST_F(InstanceTest, name)

// Scenarios are coroutines, so they use EXPECT and return instead of ASSERT.
#define REQUIRE(condition)                       \
  do {                                           \
    bool corral_holds = (condition);             \
    EXPECT_TRUE(corral_holds) << #condition;     \
    if (!corral_holds) co_return;                \
  } while (false)

}  // namespace
}  // namespace corral::engines
