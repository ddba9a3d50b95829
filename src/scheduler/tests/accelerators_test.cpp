#include "scheduler/accelerators.hpp"
#include "sys/tests/temp_folder.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

namespace corral::scheduler::accelerators_test {
namespace {

// Counts what is logged.
class CountingLog final : public telemetry::LogSink {
 public:
  bool enabled(telemetry::LogLevel) const override { return true; }
  void write(const telemetry::LogRecord& record) override {
    if (record.level == telemetry::LogLevel::warn) ++warnings;
    if (record.level == telemetry::LogLevel::info) ++notes;
  }
  void flush() override {}
  int warnings = 0, notes = 0;
};

class Accelerators : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << text;
  }
  void add_gpu() {
    put("sys/class/drm/card0/device/vendor", "0x1002\n");
    put("sys/class/drm/card0/device/mem_info_vram_total", "8589934592\n");
  }
  // An engine that does this when asked for its devices, and notes that it was.
  void engine(const std::string& script) {
    put("engine", "#!/bin/sh\ntouch '" + (folder_ / "asked").string() + "'\n" + script);
    std::filesystem::permissions(folder_ / "engine", std::filesystem::perms::owner_all);
  }
  bool asked() const { return std::filesystem::exists(folder_ / "asked"); }

  std::vector<models::Accelerator> find() {
    net::Shards shards(0);
    net::TaskGroup main(shards.control());
    main.spawn(run(this, &main, &shards));
    shards.run_control();
    return found_;
  }
  static net::Task<void> run(Accelerators* self, net::TaskGroup* group, net::Shards* shards) {
    config::LlamaServerSettings settings;
    settings.path = (self->folder_ / "engine").string();
    AcceleratorSearch search{self->pool_,
                             *self->files_,
                             *self->processes_,
                             telemetry::Logger(self->log_, "scheduler"),
                             settings,
                             self->folder_,
                             {self->folder_, "libcorral-no-such.so.1"}};
    auto found = co_await find_devices(std::move(search));
    self->found_ = std::move(found.accelerators);
    self->nodes_ = found.numa_nodes;
    stop_when_done(shards, group);
  }
  // Not from within: the coroutine must have ended before its group does.
  static void stop_when_done(net::Shards* shards, net::TaskGroup* group) {
    shards->control().post([shards, group] {
      if (group->running() == 0) {
        shards->stop();
      } else {
        stop_when_done(shards, group);
      }
    });
  }

  sys::TempFolder own_;
  sys::Path folder_ = own_.path();
  std::shared_ptr<CountingLog> log_ = std::make_shared<CountingLog>();
  net::BlockingPool pool_{1};
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  std::unique_ptr<sys::Processes> processes_ = sys::real_processes();
  std::vector<models::Accelerator> found_;
  unsigned nodes_ = 0;
};

TEST_F(Accelerators, WithoutAnyNoEngineIsStartedToAsk) {
  engine("echo '  CUDA0: X (100 MiB, 50 MiB free)'\n");
  EXPECT_TRUE(find().empty());
  EXPECT_FALSE(asked());
  EXPECT_EQ(nodes_, 1u);
}

TEST_F(Accelerators, MemoryNodesAreCounted) {
  put("sys/devices/system/node/node0/cpulist", "0\n");
  put("sys/devices/system/node/node1/cpulist", "1\n");
  find();
  EXPECT_EQ(nodes_, 2u);
}

TEST_F(Accelerators, TheEngineSaysWhatItCanUse) {
  add_gpu();
  engine("echo '  ROCm0: Radeon (8192 MiB, 8000 MiB free)'\n");
  const auto found = find();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, "ROCm0");
  EXPECT_EQ(found[0].description, "Radeon");
  EXPECT_EQ(found[0].memory, 8000ull << 20);
}

TEST_F(Accelerators, AnEngineForTheCpuUsesNone) {
  add_gpu();
  engine("echo '  (none)'\n");
  EXPECT_TRUE(find().empty());
  EXPECT_TRUE(asked());
  EXPECT_EQ(log_->notes, 1);
}

TEST_F(Accelerators, AnEngineThatFailsOrIsNotThereUsesNone) {
  add_gpu();
  EXPECT_TRUE(find().empty());
  engine("exit 1\n");
  EXPECT_TRUE(find().empty());
  EXPECT_EQ(log_->warnings, 1);
}

}  // namespace
}  // namespace corral::scheduler::accelerators_test
