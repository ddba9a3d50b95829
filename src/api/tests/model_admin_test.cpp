#include "api/admin/model_admin.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "api/tests/api_fixture.hpp"
#include "models/served_models.hpp"
#include "models/sha256.hpp"

namespace corral::api::model_admin_test {
namespace {

using ::testing::HasSubstr;

// What the scheduler asks, and so must outlive it.
struct CatalogOfTest {
  std::unique_ptr<models::BlobFolder> blobs_;
  std::unique_ptr<models::Catalog> catalog_;
  std::unique_ptr<models::FileIndex> index_;
  std::unique_ptr<models::ServedModels> served_;
  std::unique_ptr<models::UsageHistory> history_;
  std::unique_ptr<admin::ModelAdmin> models_;
};

class ModelAdminTest : protected CatalogOfTest, public ApiTest {
 protected:
  void before_scheduler() override {
    auto& files = world_.files();
    blobs_ = std::make_unique<models::BlobFolder>(files, world_.folder / "blobs");
    catalog_ = std::make_unique<models::Catalog>(
        models::CatalogParts{*database_, world_.clock(), files, *blobs_, "here"});
    index_ = std::make_unique<models::FileIndex>(*database_, world_.clock(), "here");
    served_ = std::make_unique<models::ServedModels>(
        models::ServedParts{*catalog_, *index_, files, *blobs_});
    history_ = std::make_unique<models::UsageHistory>(*database_, world_.clock());
    world_.model_index = index_.get();
    world_.served_models = served_.get();
    catalog_->on_change([this] {
      if (world_.scheduler) world_.scheduler->refresh_models();
    });
    put("chat", "one");
    put("chat", "two");
  }
  void more_surfaces() override {
    models_ = std::make_unique<admin::ModelAdmin>(admin::ModelAdminParts{
        *catalog_, *index_, *history_, *blobs_, world_.files(), world_.pool(), *world_.scheduler,
        admin_->running(), telemetry::Logger(world_.log, "models")});
    models_->add_routes(api_->router());
  }
  ~ModelAdminTest() override {
    if (admin_) world_.loops.run(world_.loops.shards().control(), admin_->stop());
  }

  void put(const std::string& name, const std::string& mark) {
    std::string bytes = models::tiny_llama().string("general.description", mark).file();
    models::Sha256 hash;
    hash.update(bytes);
    std::string digest = hash.digest();
    blob_ = world_.folder.put("blobs/sha256-" + digest.substr(7), bytes);
    auto made =
        catalog_->put({.name = name,
                       .origin = "hf.co/" + name,
                       .revision = "r",
                       .license = "mit",
                       .files = {{models::FileRole::weights, mark + ".gguf", digest, bytes.size()}},
                       .author = "test",
                       .added = {}});
    ASSERT_TRUE(made) << made.error().describe();
  }
  bool listed(const std::string& name) {
    return eventually([&] { return world_.catalog()->find(name) != nullptr; });
  }
  bool in_state(const std::string& name, scheduler::ModelState state) {
    return eventually([&] { return world_.in_state(name, state); });
  }
  std::string post(const std::string& path, const std::string& body) {
    return request("POST", "/admin/v1/models/" + path, body);
  }

  sys::Path blob_;  // the last one
};

TEST_F(ModelAdminTest, ListsPageByPageAndByName) {
  start();
  auto all = parsed(get("/admin/v1/models"));
  EXPECT_TRUE(all.at("next").is_null());
  EXPECT_EQ(all.at("models").at(0).at("name"), "chat");
  EXPECT_EQ(all.at("models").at(0).at("version"), 2);
  EXPECT_EQ(all.at("models").at(0).at("origin"), "hf.co/chat");
  auto first = parsed(get("/admin/v1/models?limit=1"));
  EXPECT_EQ(first.at("models").as_array().size(), 1u);
  EXPECT_EQ(first.at("next"), "chat");
  auto next = parsed(get("/admin/v1/models?limit=1&after=chat"));
  EXPECT_EQ(next.at("models").at(0).at("name"), "dead");
  auto found = parsed(get("/admin/v1/models?search=GPT-4"));  // an alias
  ASSERT_EQ(found.at("models").as_array().size(), 1u);
  EXPECT_EQ(found.at("models").at(0).at("name"), "remote");
  for (const char* wrong : {"limit=0", "limit=1001", "limit=x"})
    EXPECT_EQ(status_of(get(std::string("/admin/v1/models?") + wrong)), 400) << wrong;
}

TEST_F(ModelAdminTest, CopiesTagsAndRollsBack) {
  start();
  auto copied = parsed(post("chat/copy", R"({"name":"mine"})"));
  EXPECT_EQ(copied.at("name"), "mine");
  EXPECT_EQ(copied.at("files").at(0).at("name"), "two.gguf");
  EXPECT_TRUE(listed("mine"));
  EXPECT_EQ(status_of(post("chat/copy", R"({"name":"mine"})")), 409);
  auto tagged = parsed(post("chat/tag", R"({"name":"mine","version":1})"));
  EXPECT_EQ(tagged.at("version"), 2);
  EXPECT_EQ(tagged.at("files").at(0).at("name"), "one.gguf");
  EXPECT_EQ(parsed(post("mine/rollback", "")).at("version"), 1);
  EXPECT_EQ(parsed(post("mine/rollback", R"({"version":2})")).at("version"), 2);
  auto versions = parsed(get("/admin/v1/models/mine/versions"));
  EXPECT_EQ(versions.at("versions").as_array().size(), 2u);
  EXPECT_EQ(versions.at("versions").at(0).at("present"), true);
  EXPECT_EQ(versions.at("license"), "mit");
  EXPECT_TRUE(world_.log->has("model copied model=chat now=mine version=1 by="));
  EXPECT_EQ(status_of(get("/admin/v1/models/nobody/versions")), 404);
}

TEST_F(ModelAdminTest, WrongBodiesAre422) {
  start();
  for (const char* body : {"", "[]", "{", R"({"name":5})", R"({"name":"a//b"})"})
    EXPECT_GE(status_of(post("chat/copy", body)), 400) << body;
  EXPECT_EQ(status_of(post("chat/tag", R"({"name":"x","version":0})")), 422);
  EXPECT_EQ(status_of(post("chat/rollback", R"({"version":"x"})")), 422);
  EXPECT_EQ(status_of(post("chat/rollback", "[]")), 422);
  EXPECT_EQ(status_of(request("DELETE", "/admin/v1/models/chat?version=x")), 422);
  EXPECT_EQ(status_of(post("chat/copy", std::string(70'000, ' '))), 413);
}

TEST_F(ModelAdminTest, RemovesModelsAndVersions) {
  start();
  EXPECT_EQ(status_of(request("DELETE", "/admin/v1/models/chat?version=2")), 409);
  EXPECT_EQ(status_of(request("DELETE", "/admin/v1/models/chat?version=1")), 204);
  EXPECT_EQ(status_of(request("DELETE", "/admin/v1/models/chat")), 204);
  EXPECT_TRUE(eventually([&] { return world_.catalog()->find("chat") == nullptr; }));
  EXPECT_EQ(status_of(request("DELETE", "/admin/v1/models/chat")), 404);
}

TEST_F(ModelAdminTest, WhatIsNotInTheCatalogSaysWhereItIs) {
  start();
  auto folder = request("DELETE", "/admin/v1/models/tiny");
  EXPECT_EQ(status_of(folder), 409);
  EXPECT_THAT(folder, HasSubstr("models folder, which is only read"));
  auto remote = post("remote/copy", R"({"name":"x"})");
  EXPECT_EQ(status_of(remote), 409);
  EXPECT_THAT(remote, HasSubstr("served by the endpoint"));
  EXPECT_EQ(status_of(get("/admin/v1/models/tiny/versions")), 409);
  EXPECT_EQ(status_of(post("remote/verify", "")), 409);
  EXPECT_EQ(status_of(post("nobody/verify", "")), 404);
}

TEST_F(ModelAdminTest, VerifyFindsOtherBytesAndTakesThemBack) {
  start();
  auto checked = parsed(post("chat/verify", ""));
  EXPECT_EQ(checked.at("state"), "succeeded");
  EXPECT_EQ(checked.at("stage"), "checking");
  EXPECT_GT(checked.at("bytes_total").to_number<int>(), 0);
  EXPECT_EQ(checked.at("bytes_done"), checked.at("bytes_total"));
  EXPECT_EQ(status_of(request("POST", "/admin/v1/verify")), 200);
  std::string good = *world_.files().read(blob_, 1 << 20);
  std::string bad = good;
  bad.back() = 'x';
  ASSERT_TRUE(world_.files().write_atomic(blob_, bad, 0600));
  auto failed = post("chat/verify", "");
  EXPECT_EQ(status_of(failed), 409);
  EXPECT_THAT(failed, HasSubstr("two.gguf holds other bytes"));
  EXPECT_TRUE(in_state("chat", scheduler::ModelState::unusable));
  ASSERT_TRUE(world_.files().write_atomic(blob_, good, 0600));
  EXPECT_EQ(status_of(post("chat/verify", "")), 200);
  EXPECT_TRUE(in_state("chat", scheduler::ModelState::unloaded));
  std::filesystem::remove(blob_);
  EXPECT_THAT(request("POST", "/admin/v1/verify"), HasSubstr("two.gguf is missing"));
  EXPECT_TRUE(in_state("chat", scheduler::ModelState::unusable));
}

TEST_F(ModelAdminTest, FilesOfTheFolderAreHeldAgainstTheirFirstCheck) {
  start();
  auto path = world_.folder / "models/tiny.gguf";
  auto time = std::filesystem::last_write_time(path);
  EXPECT_EQ(status_of(post("tiny/verify", "")), 200);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('x');
  }
  std::filesystem::last_write_time(path, time);
  auto failed = request("POST", "/admin/v1/verify");
  EXPECT_EQ(status_of(failed), 409);
  EXPECT_THAT(failed, HasSubstr("1 of 2 files are damaged: tiny: tiny.gguf holds other bytes"));
  EXPECT_TRUE(in_state("tiny", scheduler::ModelState::unusable));
}

TEST_F(ModelAdminTest, UsageIsCountedOnShardsAndShownFromTheDatabase) {
  start();
  backend_->play({.pieces = {"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
                             "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                             "\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"}});
  EXPECT_EQ(status_of(stream("remote")), 200);
  EXPECT_EQ(status_of(chat("nobody")), 404);
  access_line("completion_tokens=2");
  auto take = [&] {
    return world_.loops.call(world_.shard(), [this] { return api_->take_usage(); });
  };
  std::vector<models::ModelUse> uses = take();
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].model, "remote");
  EXPECT_EQ(uses[0].requests, 1u);
  EXPECT_EQ(uses[0].prompt_tokens, 3u);
  EXPECT_EQ(uses[0].completion_tokens, 2u);
  EXPECT_TRUE(take().empty());
  auto demand = api_->take_demand();
  ASSERT_EQ(demand.size(), 1u);
  EXPECT_EQ(demand[0].model, "remote");
  EXPECT_FALSE(demand[0].embedding);
  EXPECT_EQ(demand[0].requests, 1u);
  EXPECT_EQ(demand[0].queued.count(), 0);
  EXPECT_EQ(demand[0].first_tokens, 1u);
  EXPECT_GT(demand[0].to_first.count(), 0);
  EXPECT_TRUE(api_->take_demand().empty());
  ASSERT_TRUE(history_->note(uses));
  ASSERT_TRUE(history_->add_benchmark("remote", R"({"tokens_per_second":5})"));
  auto usage = parsed(get("/admin/v1/models/remote/usage"));
  EXPECT_EQ(usage.at("recent").at("completion_tokens"), 2);
  EXPECT_EQ(usage.at("days").at(0).at("requests"), 1);
  EXPECT_EQ(usage.at("benchmarks").at(0).at("result").at("tokens_per_second"), 5);
  EXPECT_TRUE(usage.at("last_used").is_string());
  EXPECT_TRUE(parsed(get("/admin/v1/models/tiny/usage")).at("last_used").is_null());
}

TEST_F(ModelAdminTest, ABrokenDatabaseIsAnError) {
  start();
  ASSERT_TRUE(database_->run("drop table model_usage"));
  EXPECT_EQ(status_of(get("/admin/v1/models/chat/usage")), 500);
}

}  // namespace
}  // namespace corral::api::model_admin_test
