// Benchmarks and searches, over an engine that takes its time by rules.
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <fstream>

#include "base/json.hpp"
#include "scheduler/bench_client.hpp"
#include "scheduler/tests/bench_world.hpp"

namespace corral::scheduler::bench_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;
using ::testing::HasSubstr;

constexpr std::uint64_t kMiB = 1u << 20;

boost::json::value result_of(const BenchPast& past) {
  if (past.results.empty()) return nullptr;
  return json::parse(past.results.front().body).value_or(nullptr);
}

double number(const boost::json::value& from) { return from.to_number<double>(); }

bool starts_with_batch(const BenchWorld& world, const std::string& batch) {
  std::ifstream file(world.record);
  std::string line, last;
  while (std::getline(file, line)) last = line;
  return last.contains("\"-b\", \"" + batch + "\"");
}

TEST(BenchPrompts, HaveTheirLengthAndAreAllOthers) {
  auto one = bench_prompt(1000, 50, 1);
  EXPECT_EQ(one.size(), 50u);
  EXPECT_EQ(one, bench_prompt(1000, 50, 1));
  EXPECT_NE(one, bench_prompt(1000, 50, 2));
  for (auto token : one) {
    EXPECT_GE(token, 250u);
    EXPECT_LE(token, 750u);
  }
  for (auto token : bench_prompt(0, 100, 3)) EXPECT_LT(token, 256u);
}

TEST(BenchOptionsOf, OutOfRangeNamesTheField) {
  auto field_of = [](const std::function<void(BenchOptions&)>& spoil) {
    BenchOptions options;
    spoil(options);
    auto checked = check(options);
    EXPECT_FALSE(checked);
    return checked ? std::string() : checked.error().param;
  };
  EXPECT_TRUE(check({}));
  EXPECT_EQ(field_of([](auto& it) { it.prompts = {0}; }), "prompts");
  EXPECT_EQ(field_of([](auto& it) { it.prompts.assign(17, 1); }), "prompts");
  EXPECT_EQ(field_of([](auto& it) { it.concurrency = {257}; }), "concurrency");
  EXPECT_EQ(field_of([](auto& it) { it.tokens = 1'000'000; }), "tokens");
  EXPECT_EQ(field_of([](auto& it) { it.repeats = 0; }), "repeats");
  EXPECT_EQ(field_of([](auto& it) { it.budget = 10ms; }), "budget");
  EXPECT_EQ(field_of([](auto& it) { it.budget = 25h; }), "budget");
  EXPECT_EQ(field_of([](auto& it) { it.smaller_cache = true; }), "smaller_cache");
}

TEST(BenchOptionsOf, WhatIsLeftOpenFollowsThePlan) {
  BenchPlan plan;
  plan.plan.context = 4096;
  plan.plan.slots = 4;
  auto all = resolve({}, plan).value();
  EXPECT_EQ(all.prompts, (std::vector<unsigned>{128, 512, 2048}));
  EXPECT_EQ(all.concurrency, (std::vector<unsigned>{1, 4}));
  EXPECT_EQ(all.tokens, 64u);
  EXPECT_EQ(all.budget, 2min);
  BenchOptions tune;
  tune.tune = true;
  all = resolve(tune, plan).value();
  EXPECT_EQ(all.prompts, (std::vector<unsigned>{256}));
  EXPECT_EQ(all.budget, 5min);
  plan.plan.slots = 1;
  plan.purpose = engines::Purpose::embedding;
  all = resolve({}, plan).value();
  EXPECT_EQ(all.concurrency, (std::vector<unsigned>{1}));
  EXPECT_EQ(all.tokens, 0u);
  BenchOptions longer;
  longer.prompts = {5000};
  auto refused = resolve(longer, plan);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "prompts");
  EXPECT_THAT(refused.error().message, HasSubstr("4096"));
}

TEST(Bench, MeasuresAndKeepsWhatItFound) {
  BenchWorld world;
  world.arguments({"--fake-huge"});
  world.begin_world();
  auto view = world.measure(quick());
  ASSERT_EQ(view.state, "succeeded") << (view.error ? view.error->describe() : "");
  auto past = world.past();
  ASSERT_EQ(past.results.size(), 1u);
  auto result = result_of(past);
  EXPECT_EQ(result.at("operation"), "bench-1");
  EXPECT_EQ(result.at("kind"), "bench");
  EXPECT_EQ(result.at("purpose"), "chat");
  EXPECT_EQ(result.at("engine"), "b1-fake");
  EXPECT_EQ(result.at("settings").at("batch"), 256);
  EXPECT_GE(number(result.at("resident_peak_bytes")), 64.0 * kMiB);
  EXPECT_GT(number(result.at("load_seconds")), 0);
  EXPECT_GT(number(result.at("machine").at("cores")), 0);
  const auto& measures = result.at("measures").as_array();
  ASSERT_EQ(measures.size(), 2u);
  EXPECT_EQ(measures[0].at("prompt_tokens"), 16);
  EXPECT_EQ(measures[0].at("requests"), 1);
  EXPECT_EQ(measures[1].at("concurrency"), 2);
  EXPECT_EQ(measures[1].at("requests"), 2);
  for (const auto& each : measures) {
    EXPECT_GT(number(each.at("prompt_tokens_per_second")), 0);
    // Never faster than the engine's rule, however late its first token was seen.
    EXPECT_GT(number(each.at("generation_tokens_per_second_each")), 0);
    EXPECT_LE(number(each.at("generation_tokens_per_second_each")), 1 / 800e-6 + 1);
    EXPECT_GE(number(each.at("first_token_worst_ms")), number(each.at("first_token_p50_ms")));
    EXPECT_GE(number(each.at("first_token_p50_ms")), 16 * 50e-3);
  }
  // Its memory is given back.
  EXPECT_TRUE(world.instances().empty());
}

TEST(Bench, IsAnInstanceOfItsOwnWhileItRuns) {
  BenchWorld world;
  world.arguments({"--fake-stuck"});
  world.begin_world();
  auto begun = world.begin("tiny", quick());
  ASSERT_TRUE(begun);
  EXPECT_EQ(begun->state, "running");
  std::vector<InstanceStatus> all;
  ASSERT_TRUE(eventually(
      [&] {
        all = world.instances();
        return all.size() == 1 && all[0].in_flight == 1;
      },
      60s));
  EXPECT_EQ(all[0].purpose, "benchmark");
  EXPECT_EQ(all[0].model, "tiny (benchmark)");
  EXPECT_GT(all[0].reserved_bytes, 0u);
  // The model itself is not loaded by that.
  EXPECT_TRUE(world.in_state("tiny", ModelState::unloaded));
  // Two would measure each other.
  auto second = world.begin("tiny", quick());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
  EXPECT_THAT(second.error().message, HasSubstr("bench-1"));

  auto cancelled = world.cancel(begun->id);
  ASSERT_TRUE(cancelled) << cancelled.error().describe();
  EXPECT_EQ(cancelled->state, "cancelled");
  EXPECT_FALSE(cancelled->error);
  EXPECT_TRUE(world.instances().empty());
  EXPECT_TRUE(world.past().results.empty());
  EXPECT_EQ(world.cancel(begun->id).error().code, ErrorCode::conflict);
  EXPECT_EQ(world.cancel("bench-99").error().code, ErrorCode::not_found);
  EXPECT_EQ(world.benches->list().size(), 1u);
  EXPECT_FALSE(world.benches->find("bench-99"));
}

TEST(Bench, AShutdownEndsIt) {
  BenchWorld world;
  world.arguments({"--fake-stuck"});
  world.begin_world();
  ASSERT_TRUE(world.begin("tiny", quick()));
  ASSERT_TRUE(eventually([&] { return world.instances().size() == 1; }, 60s));
  world.end_benches();
  EXPECT_TRUE(world.log->has("benchmark ended"));
}

TEST(Bench, ACacheIsNotMeasured) {
  BenchWorld world;
  world.arguments({"--fake-cached"});
  world.begin_world();
  auto view = world.measure(quick());
  EXPECT_EQ(view.state, "failed");
  ASSERT_TRUE(view.error);
  EXPECT_THAT(view.error->message, HasSubstr("computed 4 of 8 tokens"));
  EXPECT_TRUE(world.instances().empty());
}

TEST(Bench, WhatTheEngineRefusesIsSaid) {
  BenchWorld world;
  world.arguments({"--fake-refuse"});
  world.begin_world();
  EXPECT_THAT(world.measure(quick()).error.value_or(Error{}).message,
              HasSubstr("answered 500: it is tired"));
}

TEST(Bench, AnAnswerThatIsCutFailsIt) {
  BenchWorld world;
  world.arguments({"--fake-cut"});
  world.begin_world();
  EXPECT_EQ(world.measure(quick()).state, "failed");
}

TEST(Bench, AnEngineThatDoesNotStartFailsIt) {
  BenchWorld world;
  world.settings.llama_server.path = "/bin/false";
  world.begin_world();
  auto view = world.measure(quick());
  EXPECT_EQ(view.state, "failed");
  EXPECT_THAT(view.error.value_or(Error{}).message, HasSubstr("could not be started"));
  EXPECT_TRUE(world.instances().empty());
}

TEST(Bench, EmbeddingsAreMeasuredByInputs) {
  BenchWorld world;
  world.begin_world();
  auto options = quick();
  options.purpose = engines::Purpose::embedding;
  ASSERT_EQ(world.measure(options).state, "succeeded");
  auto result = result_of(world.past());
  EXPECT_EQ(result.at("purpose"), "embedding");
  EXPECT_GT(number(result.at("measures").at(0).at("requests_per_second")), 0);
  EXPECT_EQ(number(result.at("measures").at(0).at("generation_tokens_per_second")), 0);
}

TEST(Bench, RefusesWhatItCannotMeasure) {
  BenchWorld world;
  world.put_rubbish("broken");
  world.settings.models.settings["big"].memory = 900 * kMiB;
  world.settings.scheduler.memory = 800 * kMiB;
  world.put_model("big");
  world.begin_world();
  ModelStatus far;
  far.name = "far";
  far.source = ModelSource::endpoint;
  far.endpoint = "gpu1";
  world.set_routed({far});
  EXPECT_EQ(world.begin("nobody").error().code, ErrorCode::not_found);
  EXPECT_EQ(world.begin("far").error().code, ErrorCode::conflict);
  EXPECT_EQ(world.begin("broken").error().code, ErrorCode::unavailable);
  EXPECT_EQ(world.begin("big").error().code, ErrorCode::unavailable);
  BenchOptions wrong;
  wrong.repeats = 0;
  EXPECT_EQ(world.begin("tiny", wrong).error().param, "repeats");
  wrong = quick();
  wrong.tune = true;
  wrong.purpose = engines::Purpose::embedding;
  EXPECT_EQ(world.begin("tiny", wrong).error().param, "purpose");
}

TEST(Bench, GivesItsPlaceToOthersBetweenRounds) {
  BenchWorld world;
  world.settings.scheduler.memory = 1000 * kMiB;
  world.settings.scheduler.turn_limit = 0ms;
  world.put_model("other");
  for (const char* name : {"tiny", "other"}) {
    world.settings.models.settings[name].memory = 600 * kMiB;
  }
  world.begin_world();
  auto options = quick();
  options.repeats = 40;
  options.tokens = 16;
  auto begun = world.begin("tiny", options);
  ASSERT_TRUE(begun);
  ASSERT_TRUE(
      eventually([&] { return world.benches->find(begun->id)->stage.contains("round"); }, 60s));
  // Somebody else's model, which fits only without the benchmark.
  auto other = world.ensure("other");
  ASSERT_TRUE(other) << other.error().describe();
  EXPECT_TRUE(
      eventually([&] { return world.benches->find(begun->id)->finished.has_value(); }, 60s));
  EXPECT_EQ(world.benches->find(begun->id)->state, "succeeded");
  EXPECT_GE(number(result_of(world.past()).at("interruptions")), 1);
}

// --- searches ------------------------------------------------------------------------------------

BenchOptions search() {
  auto options = quick();
  options.tune = true;
  options.tokens = 64;
  options.repeats = 2;
  options.prompts = {400};
  options.budget = 60s;
  return options;
}

TEST(BenchTune, KeepsWhatIsBetterForTheNextStarts) {
  BenchWorld world;
  world.settings.llama_server.threads = 1;  // said, and so not tuned
  world.begin_world();
  auto view = world.measure(search());
  ASSERT_EQ(view.state, "succeeded") << (view.error ? view.error->describe() : "");
  EXPECT_TRUE(view.tune);
  auto past = world.past();
  const auto result = result_of(past);
  ASSERT_TRUE(past.tuned) << json::serialize(result);
  EXPECT_EQ(past.tuned->choice.batch, 512u);
  EXPECT_FALSE(past.tuned->choice.threads.has_value());
  EXPECT_EQ(result.at("kind"), "tune");
  EXPECT_EQ(result.at("search").at("kept"), true);
  EXPECT_GT(number(result.at("search").at("gain")), 0.03);

  // The next start uses it, and the plan says so.
  ASSERT_TRUE(world.ensure("tiny"));
  EXPECT_TRUE(starts_with_batch(world, "512"));
  auto details = world.details("tiny");
  ASSERT_TRUE(details && details->plan && *details->plan);
  std::string why;
  for (const auto& each : (*details->plan)->choices) {
    if (each.what == "batch") why = each.value + ": " + each.why;
  }
  EXPECT_THAT(why, HasSubstr("512 tokens a step: tuned on 20"));
  EXPECT_THAT(why, HasSubstr("faster than the default"));

  EXPECT_TRUE(world.loops.run(world.shard(), world.benches->forget("tiny")).value());
  EXPECT_FALSE(world.loops.run(world.shard(), world.benches->forget("tiny")).value());
  ASSERT_TRUE(world.unload("tiny"));
  ASSERT_TRUE(world.ensure("tiny"));
  EXPECT_TRUE(starts_with_batch(world, "256"));
  EXPECT_FALSE(world.past().tuned);
}

TEST(BenchTune, AFailingDefaultIsAFailure) {
  BenchWorld world;
  world.arguments({"--fake-refuse"});
  world.begin_world();
  auto view = world.measure(search());
  EXPECT_EQ(view.state, "failed");
  EXPECT_THAT(view.error.value_or(Error{}).message, HasSubstr("the default could not be measured"));
  EXPECT_TRUE(world.past().results.empty());
}

TEST(BenchTune, ATrialThatHangsEndsWithTheBudget) {
  BenchWorld world;
  world.arguments({"--fake-stuck"});
  world.begin_world();
  auto options = search();
  options.budget = 2s;
  auto view = world.measure(options);
  EXPECT_EQ(view.state, "failed");
  EXPECT_THAT(view.error.value_or(Error{}).message, HasSubstr("longer than there was time"));
}

class Kept : public testing::Test {
 protected:
  // As if a search had been made earlier.
  void keep(const std::string& machine = "") {
    models::TunedSettings found;
    found.model = "tiny";
    found.host = sys::host_facts().hostname;
    found.machine = machine;
    found.choice.batch = 512;
    found.choice.slots = 8;
    found.note = "batch 512, slots 8: 20 % faster than the default";
    models::ModelFolder reader(world_.files(), world_.clock(), {world_.folder / "models"}, {});
    auto list = reader.scan();
    ASSERT_TRUE(list);
    found.file = models::file_mark(*(*list)->find("tiny"));
    if (machine.empty()) {
      models::BenchMachine here;
      auto host = sys::host_facts();
      here.cores = host.physical_cores;
      here.logical_cpus = host.logical_cpus;
      here.memory = host.memory_total;
      found.machine = here.mark();
    }
    ASSERT_TRUE(world_.tuned->put(found));
  }
  bool used() {
    EXPECT_TRUE(world_.ensure("tiny"));
    return starts_with_batch(world_, "512");
  }
  BenchWorld world_;
};

TEST_F(Kept, IsUsedAfterARestart) {
  keep();
  world_.begin_world();
  EXPECT_TRUE(used());
  EXPECT_TRUE(world_.past().tuned);
}

TEST_F(Kept, IsVoidOnAnotherMachine) {
  keep("a bigger one");
  world_.begin_world();
  EXPECT_FALSE(used());
  EXPECT_FALSE(world_.past().tuned);
}

TEST_F(Kept, IsVoidForAnotherFile) {
  keep();
  world_.folder.put("models/tiny.gguf", models::tiny_llama().string("a", "b").file());
  world_.begin_world();
  EXPECT_FALSE(used());
  EXPECT_FALSE(world_.past().tuned);
}

TEST_F(Kept, TheConfigurationGoesFirst) {
  keep();
  world_.settings.llama_server.batch = 300;
  world_.settings.models.settings["tiny"].slots = 3;
  world_.begin_world();
  ASSERT_TRUE(world_.ensure("tiny"));
  EXPECT_TRUE(starts_with_batch(world_, "300"));
  EXPECT_EQ(world_.details("tiny")->slots, 3u);
}

TEST(TunedStart, TheConfigurationSaysWhatItSays) {
  config::Settings settings;
  models::EngineChoice all;
  all.threads = 3;
  all.batch = 512;
  all.slots = 8;
  all.cache = models::CacheType::q8_0;
  all.gpu_layers = 5;
  all.repack = false;
  EXPECT_EQ(left_open(config_says(settings, "m"), all), all);
  auto& own = settings.models.settings["m"];
  own.cache_type = "f16";
  own.gpu_layers = 2;
  own.slots = 2;
  settings.llama_server.threads = 2;
  settings.llama_server.batch = 100;
  models::EngineChoice left;
  left.repack = false;
  EXPECT_EQ(left_open(config_says(settings, "m"), all), left);
  models::StartWishes wishes;
  take_over(all, wishes);
  EXPECT_EQ(wishes.threads, 3u);
  EXPECT_EQ(wishes.batch, 512u);
  EXPECT_EQ(wishes.slots, 8u);
  EXPECT_EQ(wishes.cache, models::CacheType::q8_0);
  EXPECT_EQ(wishes.gpu_layers, 5u);
  EXPECT_FALSE(wishes.repack);
  models::ModelEntry embedder;
  auto metadata = std::make_shared<models::GgufMetadata>();
  metadata->pooling = "mean";
  embedder.metadata = metadata;
  EXPECT_EQ(main_purpose(embedder), engines::Purpose::embedding);
  EXPECT_EQ(main_purpose({}), engines::Purpose::chat);
}

}  // namespace
}  // namespace corral::scheduler::bench_test
