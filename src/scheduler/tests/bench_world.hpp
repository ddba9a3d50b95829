// A scheduler whose engine can be measured, with benchmarks and a database.
#pragma once

#include "base/tests/support/source_dir.hpp"
#include "models/model_folder.hpp"
#include "models/tuned_settings.hpp"
#include "models/usage_history.hpp"
#include "scheduler/benches.hpp"
#include "scheduler/tests/world.hpp"
#include "store/database.hpp"
#include "store/migrations.hpp"
#include "sys/host.hpp"

namespace corral::scheduler {

class BenchWorld : public World {
 public:
  BenchWorld() {
    settings.llama_server.path = test::source_file("src/scheduler/tests/fake_bench_engine.py");
    settings.llama_server.slots = config::LlamaServerSettings().slots;
    record = (folder / "starts").string();
    arguments({});
    put_model("tiny");
    auto opened = store::Database::open({.url = "sqlite:" + (folder / "bench.db").string()});
    EXPECT_TRUE(opened);
    database = std::move(*opened);
    EXPECT_TRUE(store::migrate(*database, store::schema_migrations(), clock()));
    history = std::make_unique<models::UsageHistory>(*database, clock());
    tuned = std::make_unique<models::TunedStore>(*database, clock());
  }
  ~BenchWorld() { end_benches(); }

  void arguments(std::vector<std::string> more) {
    settings.llama_server.extra_arguments = {"--fake-record", record};
    auto& all = settings.llama_server.extra_arguments;
    all.insert(all.end(), more.begin(), more.end());
  }
  void begin_world() {
    make();
    benches = std::make_unique<Benches>(BenchesParts{*scheduler, loops.shards().control(), pool(),
                                                     clock(), telemetry::Logger(log, "benchmarks"),
                                                     *history, *tuned});
    auto started = loops.run(loops.shards().control(), benches->start());
    ASSERT_TRUE(started) << started.error().describe();
    start();
  }
  void end_benches() {
    if (!benches || loops.ended()) return;
    loops.run(loops.shards().control(), benches->stop());
    end();
    benches.reset();
  }

  Result<BenchView> begin(const std::string& model, BenchOptions options = {}) {
    return loops.run(shard(), benches->begin(model, std::move(options)));
  }
  Result<BenchView> cancel(const std::string& id) {
    return loops.run(shard(), benches->cancel(id));
  }
  BenchPast past(const std::string& model = "tiny") {
    auto found = loops.run(shard(), benches->past(model, 10));
    EXPECT_TRUE(found) << found.error().describe();
    return found.value_or(BenchPast());
  }
  // Begins it, and waits for its end.
  BenchView measure(BenchOptions options = {}, const std::string& model = "tiny") {
    auto begun = begin(model, std::move(options));
    EXPECT_TRUE(begun) << begun.error().describe();
    if (!begun) return {};
    EXPECT_TRUE(net::testing::eventually(
        [&] { return benches->find(begun->id)->finished.has_value(); }, std::chrono::seconds(60)));
    return *benches->find(begun->id);
  }

  std::string record;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<models::UsageHistory> history;
  std::unique_ptr<models::TunedStore> tuned;
  std::unique_ptr<Benches> benches;
};

// Small enough for a test.
inline BenchOptions quick() {
  BenchOptions options;
  options.prompts = {16};
  options.concurrency = {1, 2};
  options.tokens = 8;
  options.repeats = 1;
  return options;
}

}  // namespace corral::scheduler
