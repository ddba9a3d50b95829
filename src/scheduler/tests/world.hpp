// A scheduler with a folder of models, event loops and a fake engine, for tests here and above.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/tests/support/source_dir.hpp"
#include "models/tests/gguf_writer.hpp"
#include "net/tests/test_support.hpp"
#include "scheduler/scheduler.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::scheduler {

// Keeps what is logged, as "component message key=value ...".
class MemoryLog final : public telemetry::LogSink {
 public:
  bool enabled(telemetry::LogLevel) const override { return true; }
  void flush() override {}
  void write(const telemetry::LogRecord& record) override {
    std::string line = fmt::format("{} {}", record.component, record.message);
    for (const auto& field : record.fields) {
      std::visit([&](const auto& value) { line += fmt::format(" {}={}", field.key, value); },
                 field.value);
    }
    std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }
  bool has(std::string_view part) const { return !find(part).empty(); }
  std::string find(std::string_view part) const {
    std::lock_guard lock(mutex_);
    for (const auto& line : lines_) {
      if (line.contains(part)) return line;
    }
    return {};
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

class World {
 public:
  World() {
    settings.models.directory = (folder / "models").string();
    std::filesystem::create_directories(folder / "models");
    settings.data_dir = folder.path().string();
    settings.models.idle_timeout = std::chrono::milliseconds(0);
    settings.llama_server.path = test::source_file("src/engines/tests/fake_llama_server.py");
    settings.llama_server.context = 512;
    settings.llama_server.slots = 2;
    settings.llama_server.restart_backoff = std::chrono::milliseconds(20);
    settings.llama_server.restart_limit = 1;
  }
  ~World() { end(); }

  // Change `settings` and the callbacks, and put files before this.
  void make() {
    scheduler = std::make_unique<Scheduler>(
        SchedulerParts{loops.shards(), pool_, telemetry::Logger(log, "scheduler"), metrics, clock_,
                       *files_, *processes_, bindings_, folder / "cache", place_freed, waiting,
                       local_models, model_index, served_models, demand, queue_wait, nullptr,
                       devices},
        shared_settings());
  }
  void start() {
    if (!scheduler) make();
    auto started = loops.run(loops.shards().control(), scheduler->start());
    ASSERT_TRUE(started) << started.error().describe();
    settle();
  }
  void end() {
    if (loops.ended()) return;
    if (scheduler) loops.run(loops.shards().control(), scheduler->stop());
    loops.end();
  }
  void reload() {
    loops.call(loops.shards().control(), [this] {
      scheduler->reload(shared_settings());
      return true;
    });
    settle();
  }

  sys::Path put_model(const std::string& name) {
    return folder.put("models/" + name + ".gguf", models::tiny_llama().file());
  }
  // A broken file, old enough not to be one that is still being written.
  void put_rubbish(const std::string& name) {
    auto path = folder.put("models/" + name + ".gguf", "this is no model");
    std::filesystem::last_write_time(
        path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  }
  // As routes do that answer these names.
  void set_routed(std::vector<ModelStatus> models) {
    loops.call(loops.shards().control(), [&] {
      scheduler->set_routed(std::move(models));
      return true;
    });
    settle();
  }
  void restart(const std::string& model) {
    loops.call(loops.shards().control(), [&] {
      scheduler->restart(model);
      return true;
    });
    settle();
  }

  net::Shard& shard() { return loops.shards().serving(0); }
  std::shared_ptr<const Catalog> catalog() {
    return loops.call(shard(), [this] { return scheduler->catalog(); });
  }
  gateway::Target ready(const std::string& model,
                        inference::Operation operation = inference::Operation::chat) {
    return loops.call(shard(), [&] { return scheduler->ready(ModelName(model), operation); });
  }
  Result<gateway::Target> ensure(const std::string& model,
                                 inference::Operation operation = inference::Operation::chat) {
    return loops.run(shard(), scheduler->ensure(ModelName(model), operation));
  }
  Result<void> unload(const std::string& model) {
    return loops.run(shard(), scheduler->unload(model));
  }
  Result<ModelDetails> details(const std::string& model) {
    return loops.run(shard(), scheduler->details(model));
  }
  std::vector<InstanceStatus> instances() { return loops.run(shard(), scheduler->instances()); }
  // What was published on the control shard has arrived at the serving one.
  void settle() {
    loops.call(loops.shards().control(), [] { return true; });
    loops.call(shard(), [] { return true; });
  }
  bool in_state(const std::string& model, ModelState state) {
    auto current = catalog();
    const auto* status = current->find(model);
    return status != nullptr && status->state == state;
  }

  sys::TempFolder folder;
  config::Settings settings;
  std::shared_ptr<MemoryLog> log = std::make_shared<MemoryLog>();
  telemetry::Metrics metrics;
  // What the scheduler tells others and asks them.
  std::function<void()> place_freed = [] {};
  std::function<std::size_t(const std::string&)> waiting;
  std::function<void(std::vector<gateway::LocalModel>)> local_models;
  std::function<std::vector<ModelDemand>()> demand;
  std::function<std::optional<std::chrono::milliseconds>(const std::string&)> queue_wait;
  models::ModelIndex* model_index = nullptr;
  sys::DeviceSources devices;
  models::ServedModels* served_models = nullptr;
  net::testing::Loops loops;

  std::shared_ptr<const config::Settings> shared_settings() const {
    return std::make_shared<const config::Settings>(settings);
  }
  net::BlockingPool& pool() { return pool_; }
  const sys::Clock& clock() const { return clock_; }
  sys::Files& files() { return *files_; }
  const bindings::BindingSet& bindings() const { return bindings_; }

 private:
  net::BlockingPool pool_{1};
  sys::RealClock clock_;
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  std::unique_ptr<sys::Processes> processes_ = sys::real_processes();
  bindings::BindingSet bindings_;

 public:
  std::unique_ptr<Scheduler> scheduler;
};

}  // namespace corral::scheduler
