// The scheduler end to end: a folder on disk, names that routes answer, an engine that is a script.
#include "scheduler/scheduler.hpp"

#include <gtest/gtest.h>

#include "scheduler/tests/world.hpp"

namespace corral::scheduler::scheduler_test {
namespace {

using namespace std::chrono_literals;
using inference::Operation;
using net::testing::eventually;

constexpr auto kPatience = 60s;

TEST(SchedulerModels, TheUnknownOneIsNotFound) {
  World world;
  world.put_model("tiny");
  world.start();
  auto target = world.ensure("tini");
  ASSERT_FALSE(target);
  EXPECT_EQ(target.error().code, ErrorCode::not_found);
  EXPECT_EQ(target.error().param, "model");
  EXPECT_EQ(target.error().hint_text, "did you mean tiny?");
  EXPECT_EQ(world.ready("tiny").endpoint, nullptr);
  EXPECT_EQ(world.details("nope").error().code, ErrorCode::not_found);
  EXPECT_EQ(world.unload("nope").error().code, ErrorCode::not_found);
  EXPECT_TRUE(world.unload("tiny"));  // not loaded: nothing to do
  EXPECT_TRUE(world.instances().empty());
}

TEST(SchedulerModels, ABrokenFileIsListedAndRefused) {
  World world;
  world.put_rubbish("broken");
  world.start();
  ASSERT_TRUE(world.in_state("broken", ModelState::unusable));
  EXPECT_FALSE(world.catalog()->find("broken")->error.empty());
  auto target = world.ensure("broken");
  ASSERT_FALSE(target);
  EXPECT_EQ(target.error().code, ErrorCode::unavailable);
  EXPECT_EQ(target.error().param, "model");
  EXPECT_TRUE(world.log->has("a model cannot be used model=broken"));
}

TEST(SchedulerModels, DetailsOfAFile) {
  World world;
  auto path = world.put_model("chat/tiny");
  world.settings.models.settings["chat/tiny"].context = 128;
  world.settings.models.settings["chat/tiny"].slots = 1;
  world.settings.models.settings["chat/tiny"].idle_timeout = 9s;
  world.start();
  auto details = world.details("CHAT/Tiny");
  ASSERT_TRUE(details);
  EXPECT_EQ(details->status.name, "chat/tiny");
  EXPECT_EQ(details->status.architecture, "llama");
  ASSERT_EQ(details->files.size(), 1u);
  EXPECT_EQ(details->files[0].path, path.string());
  EXPECT_EQ(details->chat_template, "{{ messages }}");
  EXPECT_EQ(details->context, 128u);
  EXPECT_EQ(details->slots, 1u);
  EXPECT_EQ(details->idle_timeout, 9s);
  EXPECT_GT(details->memory_estimate_bytes, 0u);
}

ModelStatus routed(std::string name, std::string endpoint, std::vector<std::string> aliases = {}) {
  ModelStatus status;
  status.name = std::move(name);
  status.source = ModelSource::endpoint;
  status.state = ModelState::ready;
  status.endpoint = std::move(endpoint);
  status.aliases = std::move(aliases);
  return status;
}

TEST(SchedulerRouted, NamesAreListedButNotServedHere) {
  World world;
  world.put_model("local");
  world.start();
  world.set_routed({routed("public", "far, near", {"nick"})});

  auto catalog = world.catalog();
  ASSERT_EQ(catalog->models.size(), 2u);
  EXPECT_EQ(catalog->find("local")->source, ModelSource::file);
  ASSERT_NE(catalog->find("NICK:latest"), nullptr);
  EXPECT_EQ(catalog->find("nick")->name, "public");
  EXPECT_EQ(catalog->find("public")->source, ModelSource::endpoint);
  EXPECT_EQ(catalog->find("public")->state, ModelState::ready);
  EXPECT_EQ(catalog->find("public")->endpoint, "far, near");

  EXPECT_EQ(world.ready("public").endpoint, nullptr);
  auto target = world.ensure("public");
  ASSERT_FALSE(target);
  EXPECT_EQ(target.error().code, ErrorCode::unavailable);
  EXPECT_EQ(target.error().param, "model");
  auto refused = world.unload("public");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_TRUE(refused.error().message.contains("far, near")) << refused.error().message;
  ASSERT_TRUE(world.details("public"));
  EXPECT_TRUE(world.details("public")->files.empty());

  world.set_routed({});
  EXPECT_EQ(world.catalog()->find("public"), nullptr);
  EXPECT_EQ(world.ensure("public").error().code, ErrorCode::not_found);
}

TEST(SchedulerRouted, ARouteMayStandBeforeAModelOfTheSameName) {
  World world;
  world.put_model("tiny");
  world.start();
  world.set_routed({routed("tiny", "local, far")});
  ASSERT_EQ(world.catalog()->models.size(), 1u);
  EXPECT_EQ(world.catalog()->find("tiny")->source, ModelSource::endpoint);
  EXPECT_EQ(world.unload("tiny").error().code, ErrorCode::conflict);  // nothing of it runs here
  auto target = world.ensure("tiny");
  ASSERT_TRUE(target) << target.error().describe();
  EXPECT_EQ(target->backend_model, "tiny");
  world.settle();
  EXPECT_EQ(world.ready("tiny").endpoint, target->endpoint);
  EXPECT_TRUE(world.unload("tiny"));
  EXPECT_TRUE(target->endpoint->closed());
  // Without the route it is seen again.
  world.set_routed({});
  EXPECT_EQ(world.catalog()->find("tiny")->source, ModelSource::file);
}

// The names and aliases that were told last, as "name(alias ...) ...".
class Told {
 public:
  explicit Told(World& world) {
    world.local_models = [this](std::vector<gateway::LocalModel> models) {
      std::string text;
      for (const auto& model : models) {
        text += text.empty() ? "" : " ";
        text += model.name;
        for (const auto& alias : model.aliases) text += "(" + alias + ")";
      }
      std::lock_guard lock(mutex_);
      last_ = std::move(text);
    };
  }
  std::string last() const {
    std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  mutable std::mutex mutex_;
  std::string last_ = "nothing yet";
};

TEST(SchedulerModels, AreToldToThoseWhoMakeRoutes) {
  World world;
  Told told(world);
  auto path = world.put_model("tiny");
  world.put_rubbish("broken");
  world.settings.models.settings["tiny"].aliases = {"nick"};
  world.start();
  EXPECT_EQ(told.last(), "tiny(nick)");
  world.settings.models.settings["tiny"].aliases = {"other"};
  world.reload();
  EXPECT_EQ(told.last(), "tiny(other)");
  world.put_model("late");
  EXPECT_TRUE(eventually([&] { return told.last() == "late tiny(other)"; }, kPatience));
  std::filesystem::remove(path);
  EXPECT_TRUE(eventually([&] { return told.last() == "late"; }, kPatience)) << told.last();
  world.end();
}

TEST(SchedulerModels, LateAliasesHoldAfterAReload) {
  World world;
  world.put_model("tiny");
  world.start();
  EXPECT_EQ(world.catalog()->find("nick"), nullptr);
  world.settings.models.settings["tiny"].aliases = {"nick"};
  world.reload();
  ASSERT_NE(world.catalog()->find("nick"), nullptr);
  EXPECT_EQ(world.catalog()->find("nick")->name, "tiny");
}

TEST(SchedulerModels, AChangeOfOneSharesAllThatIsKnownOfTheOthers) {
  World world;
  world.put_model("tiny");
  world.put_model("other");
  world.start();
  auto before = world.catalog();
  ASSERT_TRUE(world.ensure("tiny"));
  ASSERT_TRUE(eventually([&] { return world.in_state("tiny", ModelState::ready); }, kPatience));
  auto loaded = world.catalog();
  EXPECT_NE(loaded, before);
  EXPECT_EQ(&loaded->models.table(), &before->models.table());
  EXPECT_EQ(loaded->find("other"), before->find("other"));
  EXPECT_EQ(before->find("tiny")->state, ModelState::unloaded);
  ASSERT_TRUE(world.unload("tiny"));
  ASSERT_TRUE(eventually([&] { return world.in_state("tiny", ModelState::unloaded); }, kPatience));
  EXPECT_EQ(&world.catalog()->models.table(), &before->models.table());
  world.set_routed({routed("public", "far")});
  EXPECT_NE(&world.catalog()->models.table(), &before->models.table());
  EXPECT_NE(world.catalog()->find("public"), nullptr);
}

TEST(SchedulerFolder, FilesComeAndGo) {
  World world;
  world.start();
  EXPECT_TRUE(world.catalog()->models.empty());
  auto path = world.put_model("late");
  EXPECT_TRUE(eventually([&] { return world.in_state("late", ModelState::unloaded); }, kPatience));
  EXPECT_TRUE(world.log->has("model found model=late"));
  std::filesystem::remove(path);
  EXPECT_TRUE(eventually([&] { return world.catalog()->find("late") == nullptr; }, kPatience));
  EXPECT_TRUE(world.log->has("model gone model=late"));
}

TEST(SchedulerFolder, IsMadeWhereItIsNotThere) {
  World world;
  world.settings.models.directory.clear();
  std::filesystem::remove_all(world.folder / "models");
  world.start();
  EXPECT_TRUE(std::filesystem::is_directory(world.folder / "models"));
}

TEST(SchedulerEngine, IsStartedForTheFirstRequestAndUnloaded) {
  World world;
  world.put_model("tiny");
  world.settings.models.settings["tiny"].aliases = {"nick"};
  world.start();
  auto target = world.ensure("nick");
  ASSERT_TRUE(target) << target.error().describe();
  EXPECT_TRUE(target->endpoint->managed());
  EXPECT_EQ(target->backend_model, "tiny");
  EXPECT_FALSE(target->endpoint->address().api_key.empty());
  world.settle();
  EXPECT_TRUE(world.in_state("tiny", ModelState::ready));
  EXPECT_EQ(world.ready("tiny").endpoint, target->endpoint);
  EXPECT_EQ(world.ready("nick").endpoint, target->endpoint);
  EXPECT_EQ(world.ready("tiny", Operation::embedding).endpoint, nullptr);

  auto instances = world.instances();
  ASSERT_EQ(instances.size(), 1u);
  EXPECT_EQ(instances[0].model, "tiny");
  EXPECT_EQ(instances[0].purpose, "chat");
  EXPECT_EQ(instances[0].state, "ready");
  EXPECT_GT(instances[0].pid, 0);
  EXPECT_FALSE(instances[0].idle_unload_at);  // never unloaded by itself here

  EXPECT_TRUE(world.unload("tiny"));
  EXPECT_TRUE(target->endpoint->closed());
  EXPECT_TRUE(eventually([&] { return world.in_state("tiny", ModelState::unloaded); }, kPatience));
  EXPECT_EQ(world.ready("tiny").endpoint, nullptr);
  EXPECT_TRUE(world.instances().empty());
}

TEST(SchedulerEngine, EmbeddingsHaveOneOfTheirOwn) {
  World world;
  world.put_model("tiny");
  world.start();
  auto target = world.ensure("tiny", Operation::embedding);
  ASSERT_TRUE(target);
  world.settle();
  EXPECT_EQ(world.ready("tiny", Operation::embedding).endpoint, target->endpoint);
  EXPECT_EQ(world.ready("tiny").endpoint, nullptr);
  EXPECT_EQ(world.instances().at(0).purpose, "embedding");
  EXPECT_TRUE(world.in_state("tiny", ModelState::ready));
}

TEST(SchedulerEngine, IsUnloadedWhenNobodyUsesIt) {
  World world;
  world.put_model("tiny");
  world.settings.models.idle_timeout = 300ms;
  world.start();
  auto target = world.ensure("tiny");
  ASSERT_TRUE(target);
  EXPECT_TRUE(eventually([&] { return world.in_state("tiny", ModelState::unloaded); }, kPatience));
  EXPECT_TRUE(target->endpoint->closed());
}

TEST(SchedulerEngine, FreedPlacesAreToldAndWaitersAsked) {
  World world;
  std::atomic<int> freed = 0;
  world.place_freed = [&] { ++freed; };
  world.waiting = [](const std::string& model) { return model == "tiny" ? std::size_t{7} : 0; };
  world.put_model("tiny");
  world.start();
  auto target = world.ensure("tiny");
  ASSERT_TRUE(target);
  auto one = target->endpoint->try_acquire();
  auto two = target->endpoint->try_acquire();
  ASSERT_TRUE(one && two);
  EXPECT_FALSE(target->endpoint->try_acquire());  // two slots
  auto instances = world.instances();
  ASSERT_EQ(instances.size(), 1u);
  EXPECT_EQ(instances[0].waiting, 7u);
  EXPECT_EQ(instances[0].in_flight, 2u);
  EXPECT_EQ(freed, 0);
  one.give_back();
  EXPECT_EQ(freed, 1);
  two.give_back_unused();
  EXPECT_EQ(freed, 2);
  EXPECT_EQ(world.instances().at(0).requests_total, 1u);
}

TEST(SchedulerEngine, IsStartedAnewWhenItsAnswersAreNoGood) {
  World world;
  world.put_model("tiny");
  world.start();
  world.restart("tiny");  // not loaded: nothing to do
  EXPECT_TRUE(world.in_state("tiny", ModelState::unloaded));
  auto target = world.ensure("tiny");
  ASSERT_TRUE(target);
  int pid = world.instances().at(0).pid;
  world.restart("another");
  EXPECT_FALSE(target->endpoint->closed());
  world.restart("tiny");
  EXPECT_TRUE(target->endpoint->closed());
  EXPECT_TRUE(eventually([&] { return world.in_state("tiny", ModelState::ready); }, kPatience));
  auto fresh = world.ready("tiny").endpoint;
  ASSERT_NE(fresh, nullptr);
  EXPECT_NE(fresh, target->endpoint);
  EXPECT_NE(world.instances().at(0).pid, pid);
  EXPECT_TRUE(world.log->has("started anew"));
}

TEST(SchedulerEngine, ThatCannotStartIsReportedAndNotTriedAtOnce) {
  World world;
  world.put_model("tiny");
  world.settings.llama_server.path = "/no/such/llama-server";
  world.start();
  auto target = world.ensure("tiny");
  ASSERT_FALSE(target);
  EXPECT_EQ(target.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(target.error().message.contains("'tiny' could not be started"))
      << target.error().message;
  world.settle();
  EXPECT_TRUE(world.in_state("tiny", ModelState::failed));
  EXPECT_FALSE(world.catalog()->find("tiny")->error.empty());
  auto again = world.ensure("tiny");
  ASSERT_FALSE(again);
  ASSERT_TRUE(again.error().retry_after);
  EXPECT_GT(again.error().retry_after->count(), 0);
}

TEST(SchedulerEngine, IsStoppedWhenItsFileGoes) {
  World world;
  auto path = world.put_model("tiny");
  world.start();
  auto target = world.ensure("tiny");
  ASSERT_TRUE(target);
  std::filesystem::remove(path);
  EXPECT_TRUE(eventually([&] { return target->endpoint->closed(); }, kPatience));
  EXPECT_TRUE(eventually([&] { return world.catalog()->find("tiny") == nullptr; }, kPatience));
  EXPECT_EQ(world.ensure("tiny").error().code, ErrorCode::not_found);
}

TEST(SchedulerEngine, APlaceClosedByACallerIsOpenedAgain) {
  World world;
  world.put_model("tiny");
  world.start();
  auto target = world.ensure("tiny");
  ASSERT_TRUE(target);
  target->endpoint->close();  // as the dispatcher does when the connection is refused
  auto again = world.ensure("tiny");
  ASSERT_TRUE(again);
  EXPECT_NE(again->endpoint, target->endpoint);
  EXPECT_FALSE(again->endpoint->closed());
}

TEST(SchedulerEngine, PreloadStartsAndAStoppingServerStartsNothing) {
  World world;
  world.put_model("tiny");
  world.settings.models.settings["tiny"].preload = true;
  world.settings.models.settings["ghost"].preload = true;
  world.start();
  EXPECT_TRUE(world.log->has("model=ghost"));
  EXPECT_TRUE(eventually([&] { return world.in_state("tiny", ModelState::ready); }, kPatience));
  world.loops.run(world.loops.shards().control(), world.scheduler->stop());
  auto late = world.ensure("tiny");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(late.error().retry_after);
}

TEST(SchedulerEngine, PreloadStartsAModelForWhatItIs) {
  World world;
  world.folder.put("models/vectors.gguf",
                   models::tiny_llama().number("llama.pooling_type", 1).file());
  world.settings.models.settings["vectors"].preload = true;
  world.start();
  ASSERT_TRUE(eventually([&] { return world.in_state("vectors", ModelState::ready); }, kPatience));
  auto all = world.instances();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].purpose, "embedding");
}

net::Task<void> want(Scheduler* scheduler, std::atomic<int>* code) {
  auto target = co_await scheduler->ensure(ModelName("tiny"), Operation::chat);
  *code = target ? 1 : 100 + static_cast<int>(target.error().code);
}

TEST(SchedulerEngine, ACallerWhoLeavesWhileItLoadsIsCancelled) {
  World world;
  world.put_model("tiny");
  world.settings.llama_server.extra_arguments = {"--fake-never-ready"};
  world.start();
  std::atomic<int> left = 0, told = 0;
  net::TaskGroup leaver(world.shard());
  net::TaskGroup stayer(world.shard());
  leaver.spawn(want(world.scheduler.get(), &left));
  stayer.spawn(want(world.scheduler.get(), &told));
  EXPECT_TRUE(eventually([&] { return world.in_state("tiny", ModelState::loading); }, kPatience));
  world.loops.run(world.shard(), leaver.close());
  EXPECT_EQ(left, 100 + static_cast<int>(ErrorCode::cancelled));
  EXPECT_EQ(told, 0);
  EXPECT_TRUE(world.unload("tiny"));
  EXPECT_TRUE(eventually([&] { return told != 0; }, kPatience));
  EXPECT_EQ(told, 100 + static_cast<int>(ErrorCode::unavailable));
  world.loops.run(world.shard(), stayer.close());
  world.end();
}

}  // namespace
}  // namespace corral::scheduler::scheduler_test
