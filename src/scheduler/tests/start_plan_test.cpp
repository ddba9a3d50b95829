#include "scheduler/start_plan.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <memory>

namespace corral::scheduler::start_plan_test {
namespace {

constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kGiB = 1ull << 30;

models::ModelEntry entry(std::string name = "m") {
  auto metadata = std::make_shared<models::GgufMetadata>();
  metadata->blocks = 4;
  metadata->kv_heads.assign(4, 4);
  metadata->key_length = metadata->value_length = 64;
  metadata->context_length = 32'768;
  metadata->tensor_bytes = 400 * kMiB;
  metadata->places.blocks.assign(4, 90 * kMiB);
  models::ModelEntry out;
  out.name = std::move(name);
  out.state = models::ModelState::usable;
  out.metadata = metadata;
  return out;
}

sys::HostFacts host(std::uint64_t memory = 8 * kGiB) {
  sys::HostFacts out;
  out.physical_cores = 6;
  out.memory_total = memory;
  return out;
}

models::StartPlan planned(const config::Settings& settings, const models::Machine& machine,
                          engines::Purpose purpose = engines::Purpose::chat) {
  auto plan = start_plan(settings, entry(), purpose, machine);
  EXPECT_TRUE(plan) << plan.error().describe();
  return plan ? *plan : models::StartPlan{};
}

TEST(MachineOf, TheHostsMemoryLessTheReserve) {
  config::Settings settings;
  EXPECT_EQ(machine_of(settings, host(), {}).memory, 7 * kGiB);
  EXPECT_EQ(machine_of(settings, host(), {}).cores, 6u);
  settings.scheduler.reserve = 16 * kGiB;
  EXPECT_EQ(machine_of(settings, host(), {}).memory, 0u);
  settings.scheduler.memory = 3 * kGiB;
  EXPECT_EQ(machine_of(settings, host(), {}).memory, 3 * kGiB);
}

TEST(MachineOf, AHostThatDoesNotSayHasNoLimit) {
  EXPECT_EQ(machine_of({}, host(0), {}).memory, std::numeric_limits<std::uint64_t>::max());
}

TEST(MachineOf, AcceleratorsAreBoundToo) {
  config::Settings settings;
  EXPECT_EQ(machine_of(settings, host(), {{"CUDA0", "", 8 * kGiB}}).accelerators[0].memory,
            8 * kGiB);
  settings.scheduler.device_memory = 2 * kGiB;
  const auto machine = machine_of(settings, host(), {{"CUDA0", "", 8 * kGiB}, {"CUDA1", "", kGiB}});
  EXPECT_EQ(machine.accelerators[0].memory, 2 * kGiB);
  EXPECT_EQ(machine.accelerators[1].memory, kGiB);
}

TEST(StartPlan, DefaultsThenTheModelsOwnSettings) {
  config::Settings settings;
  const auto machine = machine_of(settings, host(), {});
  auto plan = planned(settings, machine);
  EXPECT_EQ(plan.context, 4096u);
  EXPECT_EQ(plan.slots, 4u);
  EXPECT_EQ(plan.checkpoints, kCheckpoints);
  EXPECT_EQ(plan.cache, models::CacheType::f16);
  auto& own = settings.models.settings["m"];
  own.context = 8192;
  own.slots = 2;
  own.cache_type = "q8_0";
  own.memory = 700 * kMiB;
  plan = planned(settings, machine);
  EXPECT_EQ(plan.context, 8192u);
  EXPECT_EQ(plan.slots, 2u);
  EXPECT_EQ(plan.cache, models::CacheType::q8_0);
  EXPECT_EQ(plan.host_bytes, 700 * kMiB);
}

TEST(StartPlan, DeviceAndLayersOfTheSettings) {
  config::Settings settings;
  const auto machine = machine_of(settings, host(), {{"CUDA0", "", 4 * kGiB}});
  EXPECT_EQ(planned(settings, machine).device, "CUDA0");
  auto& own = settings.models.settings["m"];
  own.gpu_layers = 2;
  EXPECT_EQ(planned(settings, machine).gpu_layers, 2u);
  own.device = "cpu";
  EXPECT_EQ(planned(settings, machine).device, "cpu");
  own.device = "CUDA5";
  EXPECT_FALSE(start_plan(settings, entry(), engines::Purpose::chat, machine));
}

TEST(StartPlan, APoolsMemoryIsForItsModelsAlone) {
  config::Settings settings;
  settings.scheduler.pools["fast"] = {"CUDA0", kGiB};
  settings.scheduler.pools["slow"] = {"cpu", 700 * kMiB};
  const auto machine = machine_of(settings, host(2 * kGiB), {{"CUDA0", "", kGiB + 200 * kMiB}});
  // 200 MiB of the accelerator and 324 MiB of the host are left to the others: too little.
  EXPECT_FALSE(start_plan(settings, entry(), engines::Purpose::chat, machine));
  settings.models.settings["m"].pool = "fast";
  EXPECT_EQ(planned(settings, machine).device, "CUDA0");
  settings.models.settings["m"].pool = "slow";
  EXPECT_EQ(planned(settings, machine).device, "cpu");
  EXPECT_LE(planned(settings, machine).host_bytes, 700 * kMiB);
}

TEST(StartPlan, APoolMayBeForAKindOfWork) {
  config::Settings settings;
  settings.scheduler.pools["vectors"] = {"CUDA0", 2 * kGiB, {"embedding"}};
  settings.scheduler.pools["named"] = {"cpu", kGiB, {}};
  EXPECT_EQ(pool_of(settings, "m", engines::Purpose::embedding), "vectors");
  EXPECT_EQ(pool_of(settings, "m", engines::Purpose::chat), "");
  const auto machine = machine_of(settings, host(8 * kGiB), {{"CUDA0", "", 2 * kGiB}});
  EXPECT_EQ(planned(settings, machine, engines::Purpose::embedding).device, "CUDA0");
  EXPECT_EQ(planned(settings, machine).device, "cpu");  // the accelerator is kept for the others
  settings.models.settings["m"].pool = "named";         // what a model says itself goes before
  EXPECT_EQ(pool_of(settings, "m", engines::Purpose::embedding), "named");
}

TEST(StartPlan, EmbeddingsAreOneStep) {
  EXPECT_EQ(planned({}, machine_of({}, host(), {}), engines::Purpose::embedding).batch, 4096u);
}

TEST(StartPlan, AModelWithoutMetadataIsTakenAsItIs) {
  models::ModelEntry bare;
  bare.name = "bare";
  EXPECT_TRUE(start_plan({}, bare, engines::Purpose::chat, machine_of({}, host(), {})));
}

TEST(StartPlan, WhatTheEngineIsTold) {
  models::StartPlan plan;
  plan.device = "CUDA0";
  plan.gpu_layers = 7;
  plan.context = 2048;
  plan.slots = 3;
  plan.cache = models::CacheType::q4_0;
  plan.repack = false;
  plan.checkpoints = 9;
  engines::InstanceSpec spec;
  apply(plan, spec);
  EXPECT_EQ(spec.device, "CUDA0");
  EXPECT_EQ(spec.gpu_layers, 7u);
  EXPECT_EQ(spec.context, 2048u);
  EXPECT_EQ(spec.slots, 3u);
  EXPECT_EQ(spec.cache_type, "q4_0");
  EXPECT_FALSE(spec.repack);
  EXPECT_EQ(spec.checkpoints, 9u);
  plan.device = "cpu";
  plan.context = 1ull << 40;
  apply(plan, spec);
  EXPECT_EQ(spec.device, "");
  EXPECT_EQ(spec.context, std::numeric_limits<unsigned>::max());
}

}  // namespace
}  // namespace corral::scheduler::start_plan_test
