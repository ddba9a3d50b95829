// What an instance does with the output of its engine, and what keeps one from starting at all.
#include "engines/core/engine_log.hpp"
#include "engines/tests/instance_fixture.hpp"

namespace corral::engines::instance_start_test {
namespace {

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

INSTANCE_TEST(AModelWhoseFileWasChangedFails) {
  auto info = sys::real_files()->stat(t.spec_.model_file);
  REQUIRE(info.has_value());
  t.spec_.files = {{info->path, info->size, info->modified, info->inode, info->device}};
  std::ofstream(t.spec_.model_file) << "something else";
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(event.error->code, ErrorCode::conflict);
  EXPECT_TRUE(event.error->message.contains("model.gguf was changed")) << event.error->message;
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

}  // namespace
}  // namespace corral::engines::instance_start_test
