#include "engines/engine_devices.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "net/shard.hpp"
#include "net/task.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::engines::engine_devices_test {
namespace {

constexpr std::uint64_t kMiB = 1ull << 20;

TEST(EngineDevices, AreRead) {
  const auto found = parse_engine_devices(
      "load_backend: loaded CUDA backend\n"
      "Available devices:\n"
      "  CUDA0: NVIDIA H200 (PCIe) (143771 MiB, 143200 MiB free)\n"
      "  Vulkan1: AMD Radeon: odd (8192 MiB, 9000 MiB free)\r\n");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].name, "CUDA0");
  EXPECT_EQ(found[0].description, "NVIDIA H200 (PCIe)");
  EXPECT_EQ(found[0].memory_total, 143771 * kMiB);
  EXPECT_EQ(found[0].memory_free, 143200 * kMiB);
  EXPECT_EQ(found[1].description, "AMD Radeon: odd");
  EXPECT_EQ(found[1].memory_free, 8192 * kMiB);
}

TEST(EngineDevices, WhatIsOfAnotherFormIsPassedOver) {
  for (const char* text :
       {"", "Available devices:\n  (none)\n", "  a,b: X (1 MiB, 1 MiB free)",
        "none: X (1 MiB, 1 MiB free)", "A: X (0 MiB, 0 MiB free)", "A: X (1 GiB, 1 MiB free)",
        "A: X (99999999999 MiB, 1 MiB free)", "A: X (-1 MiB, 1 MiB free)", "A: X (1 MiB free)",
        "A X (1 MiB, 1 MiB free)", "A: X 1 MiB, 1 MiB free)", "A: (1 MiB, 1 MiB", ": (",
        "A: X (1 MiB, x MiB free)"}) {
    EXPECT_TRUE(parse_engine_devices(text).empty()) << text;
  }
  const auto odd = parse_engine_devices("A: evil\x1b[31m (1 MiB, 1 MiB free)");
  ASSERT_EQ(odd.size(), 1u);
  EXPECT_EQ(odd[0].description, "evil?[31m");
  std::string many;
  for (int i = 0; i < 200; ++i) many += "A: X (1 MiB, 1 MiB free)\n";
  EXPECT_EQ(parse_engine_devices(many).size(), 64u);
}

// Runs a script in the engine's place.
class AskEngine : public testing::Test {
 protected:
  Result<std::vector<EngineDevice>> ask(const std::string& script,
                                        std::chrono::milliseconds patience) {
    program_ = folder_ / "engine";
    std::ofstream(program_) << "#!/bin/sh\n" << script;
    std::filesystem::permissions(program_, std::filesystem::perms::owner_all);
    net::Shards shards(0);
    net::TaskGroup main(shards.control());
    main.spawn(run(this, patience, &main, &shards));
    shards.run_control();
    return std::move(*answer_);
  }
  static net::Task<void> run(AskEngine* self, std::chrono::milliseconds patience,
                             net::TaskGroup* group, net::Shards* shards) {
    auto answer = co_await ask_engine_devices(*self->processes_, self->program_, patience);
    self->answer_ = std::move(answer);
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
  sys::Path folder_ = own_.path(), program_;
  std::unique_ptr<sys::Processes> processes_ = sys::real_processes();
  std::optional<Result<std::vector<EngineDevice>>> answer_;
};

TEST_F(AskEngine, TellsItsDevices) {
  const auto found =
      ask("[ \"$*\" = --list-devices ] || exit 3\n"
          "echo 'Available devices:'; echo '  CUDA0: X (100 MiB, 50 MiB free)'\n",
          std::chrono::seconds(60));
  ASSERT_TRUE(found) << found.error().describe();
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().memory_free, 50 * kMiB);
}

TEST_F(AskEngine, ThatFailsIsAnError) {
  const auto found = ask("exit 7\n", std::chrono::seconds(60));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::upstream);
  EXPECT_NE(found.error().cause.find('7'), std::string::npos);
}

TEST_F(AskEngine, ThatHangsIsKilled) {
  const auto found = ask("exec sleep 600\n", std::chrono::milliseconds(60));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::timeout);
}

}  // namespace
}  // namespace corral::engines::engine_devices_test
