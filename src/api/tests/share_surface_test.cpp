// What this server gives out to others, and what it asks of sources, over HTTP.
#include "api/share/share_surface.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "api/admin/source_admin.hpp"
#include "api/tests/api_fixture.hpp"
#include "base/json.hpp"
#include "models/folder_digests.hpp"
#include "models/served_models.hpp"
#include "models/sha256.hpp"
#include "models/tests/file_server.hpp"

namespace corral::api::share_surface_test {
namespace {

// What the scheduler asks, and so must outlive it.
struct PartsOfTest {
  std::unique_ptr<sys::LargeFiles> large_ = sys::real_large_files();
  std::unique_ptr<models::BlobStore> blobs_;
  std::unique_ptr<models::Catalog> catalog_;
  std::unique_ptr<models::FileIndex> index_;
  std::unique_ptr<models::ServedModels> served_;
  std::unique_ptr<models::Pulls> pulls_;
  std::unique_ptr<share::ShareSurface> share_;
  std::unique_ptr<admin::SourceAdmin> sources_;
};

class ShareSurfaceTest : protected PartsOfTest, public ApiTest {
 protected:
  ShareSurfaceTest() : lab_(std::make_unique<models::FileServer>(world_.loops)) {
    world_.settings.sources.folders = {"lab=" + lab_->url("/lab")};
    world_.settings.sources.hugging_face = lab_->url("/hub");
    world_.settings.sources.ollama = lab_->url("/ollama");
    lab_->put("/lab/index.json",
              R"({"corral_index": 1, "models": [{"name": "small", "parameters": "1M",
                  "files": [{"path": "small.gguf", "size": 1000000}]},
                  {"name": "bad", "files": [{"path": "../x.gguf"}]}]})");
  }
  void before_scheduler() override {
    auto& files = world_.files();
    blobs_ = std::make_unique<models::BlobStore>(files, *large_, world_.folder / "blobs", 0);
    ASSERT_TRUE(blobs_->open());
    catalog_ = std::make_unique<models::Catalog>(
        models::CatalogParts{*database_, world_.clock(), files, *blobs_, "here"});
    index_ = std::make_unique<models::FileIndex>(*database_, world_.clock(), "here");
    served_ = std::make_unique<models::ServedModels>(
        models::ServedParts{*catalog_, *index_, files, *blobs_});
    world_.model_index = index_.get();
    world_.served_models = served_.get();
    put("chat");
    pulls_ = std::make_unique<models::Pulls>(
        models::PullParts{world_.shard(), pool_, *blobs_, files, world_.clock(),
                          telemetry::Logger(world_.log, "pulls"),
                          [](const models::ModelVersion&) -> Result<void> { return {}; }});
    auto started =
        world_.loops.run(world_.loops.shards().control(), pulls_->start(world_.shared_settings()));
    ASSERT_TRUE(started);
  }
  void more_surfaces() override {
    share_ = std::make_unique<share::ShareSurface>(
        share::ShareParts{*catalog_, *index_, *blobs_, *world_.scheduler, pool_, world_.clock()});
    share_->add_routes(api_->router());
    sources_ = std::make_unique<admin::SourceAdmin>(
        admin::SourceAdminParts{*pulls_, *catalog_, pool_, *world_.scheduler});
    sources_->add_routes(api_->router());
  }
  ~ShareSurfaceTest() override {
    auto& control = world_.loops.shards().control();
    if (pulls_) world_.loops.run(control, pulls_->stop());
    lab_->stop();
  }

  void put(const std::string& name) {
    content_ = models::tiny_llama().string("general.description", name).file();
    models::Sha256 hash;
    hash.update(content_);
    digest_ = hash.digest();
    world_.folder.put("blobs/sha256-" + digest_.substr(7), content_);
    auto made = catalog_->put(
        {.name = name,
         .origin = "hf:x/" + name,
         .revision = "r",
         .license = "mit",
         .files = {{models::FileRole::weights, name + ".gguf", digest_, content_.size()}},
         .author = "test",
         .added = {}});
    ASSERT_TRUE(made) << made.error().describe();
  }
  boost::json::value parsed(const std::string& answer) {
    auto value = json::parse(body_of(answer));
    EXPECT_TRUE(value) << answer;
    return value ? *value : boost::json::value(nullptr);
  }
  std::string blob(const std::string& name = "chat.gguf") {
    return "/share/v1/blobs/sha256-" + digest_.substr(7) + "/" + name;
  }

  std::unique_ptr<models::FileServer> lab_;
  std::string content_, digest_;
};

TEST_F(ShareSurfaceTest, IsOffUntilItIsSaid) {
  start();
  for (const auto& path : {std::string("/share/v1/index.json"), blob()}) {
    auto answer = get(path);
    EXPECT_EQ(status_of(answer), 404);
    EXPECT_TRUE(answer.contains("models.share")) << answer;
  }
}

TEST_F(ShareSurfaceTest, TheCatalogIsGivenOut) {
  start();
  share_->set_enabled(true);
  auto index = parsed(get("/share/v1/index.json"));
  ASSERT_EQ(index.at("models").as_array().size(), 1u);
  EXPECT_EQ(index.at("models").at(0).at("name"), "chat");
  EXPECT_EQ(body_of(get(blob())), content_);
  EXPECT_EQ(status_of(get("/share/v1/blobs/sha256-00/x")), 404);
  EXPECT_EQ(status_of(get("/share/v1/blobs/sha256-" + std::string(64, '0') + "/x")), 404);
  ASSERT_TRUE(catalog_->record_check({digest_, {}, "it is damaged"}));
  EXPECT_EQ(status_of(get(blob())), 404);
}

TEST_F(ShareSurfaceTest, TheModelsFolderIsGivenOutOnceItsChecksumsAreKnown) {
  start();
  share_->set_enabled(true);
  auto& control = world_.loops.shards().control();
  models::FolderDigests digests(*index_, world_.files(), pool_,
                                telemetry::Logger(world_.log, "share"));
  auto outlook = world_.loops.run(control, world_.scheduler->outlook());
  world_.loops.run(control, digests.look(outlook.models));
  EXPECT_TRUE(world_.log->has("can be shared now"));
  auto index = parsed(get("/share/v1/index.json"));
  ASSERT_EQ(index.at("models").as_array().size(), 2u);
  const auto& tiny = index.at("models").at(1);
  EXPECT_EQ(tiny.at("name"), "tiny");
  auto path = "/share/v1/" + std::string(tiny.at("files").at(0).at("path").as_string());
  EXPECT_EQ(body_of(get(path)), models::tiny_llama().file());
  // A file that is gone meanwhile is logged once, and left alone.
  std::filesystem::remove(world_.folder / "models/tiny.gguf");
  models::FileIdentity gone{.path = "/nowhere.gguf", .size = 1};
  models::ModelEntry entry;
  entry.name = "gone";
  entry.state = models::ModelState::usable;
  entry.files = {gone};
  auto list = std::make_shared<const models::ModelList>(std::vector{entry}, models::Aliases{},
                                                        std::vector<std::string>{});
  world_.loops.run(control, digests.look(list));
  EXPECT_TRUE(world_.log->has("cannot be shared"));
}

TEST_F(ShareSurfaceTest, SourcesSayWhetherTheyAnswer) {
  start();
  auto document = parsed(get("/admin/v1/sources"));
  ASSERT_EQ(document.at("sources").as_array().size(), 3u);
  EXPECT_EQ(document.at("sources").at(0).at("reachable"), false);
  EXPECT_EQ(document.at("sources").at(1).at("kind"), "registry");
  EXPECT_EQ(document.at("sources").at(2).at("reachable"), true);
}

TEST_F(ShareSurfaceTest, InfoAndRecommendations) {
  start();
  auto info = parsed(get("/admin/v1/sources/info?reference=lab%2Fsmall"));
  EXPECT_EQ(info.at("parameters"), "1M");
  EXPECT_EQ(info.at("fit").at("fits"), true);
  EXPECT_EQ(status_of(get("/admin/v1/sources/info")), 400);
  EXPECT_EQ(status_of(get("/admin/v1/sources/info?reference=lab%2Fnone")), 404);
  auto found = parsed(get("/admin/v1/models/recommendations"));
  EXPECT_EQ(found.at("fitting"), 3) << json::serialize(found);
  auto here = parsed(get("/admin/v1/models/recommendations?from=here"));
  EXPECT_EQ(here.at("fitting"), 2);
  auto words = parsed(get("/admin/v1/models/recommendations?q=small"));
  EXPECT_EQ(words.at("models").at(0).at("name"), "lab/small");
  EXPECT_EQ(words.at("warnings").as_array().size(), 1u) << "the hub does not answer";
  EXPECT_EQ(status_of(get("/admin/v1/models/recommendations?from=nowhere")), 404);
}

TEST_F(ShareSurfaceTest, ASyncSaysWhatItDoes) {
  start();
  auto post = [&](std::string_view body) { return request("POST", "/admin/v1/sync", body); };
  auto dry = post(R"({"source": "lab", "dry_run": true, "patterns": ["s*"], "delete": false})");
  EXPECT_EQ(status_of(dry), 200) << dry;
  EXPECT_EQ(parsed(dry).at("models").at(0).at("state"), "new");
  EXPECT_EQ(parsed(dry).at("refused").at(0).at("name"), "bad");
  auto done = post(R"({"source": "lab"})");
  EXPECT_EQ(status_of(done), 202);
  EXPECT_TRUE(parsed(done).at("models").at(0).at("operation").is_string());
  for (const char* bad : {"", "[]", "{}", R"({"source":1})", R"({"source":"lab","patterns":"x"})",
                          R"({"source":"lab","patterns":[1]})", R"({"source":"lab","dry_run":1})",
                          R"({"source":"lab","what":1})"}) {
    EXPECT_EQ(status_of(post(bad)), 400) << bad;
  }
  EXPECT_EQ(status_of(post(R"({"source": "nowhere"})")), 404);
}

}  // namespace
}  // namespace corral::api::share_surface_test
