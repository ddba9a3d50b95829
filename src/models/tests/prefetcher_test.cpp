// Fetching newer versions of what is used most: from the history of use to a pull.
#include "models/prefetcher.hpp"

#include "models/sync.hpp"
#include "models/tests/fetch_fixture.hpp"
#include "models/usage_history.hpp"
#include "store/migrations.hpp"

namespace corral::models::prefetcher_test {
namespace {

class PrefetcherTest : public FetchTest {
 protected:
  PrefetcherTest() {
    auto opened = store::Database::open({.url = "sqlite:" + (folder_ / "test.db").string()});
    EXPECT_TRUE(opened);
    database_ = std::move(*opened);
    EXPECT_TRUE(store::migrate(*database_, store::schema_migrations(), hand_));
    catalog_ = std::make_unique<Catalog>(CatalogParts{*database_, hand_, *files_, blobs_, "here"});
    history_ = std::make_unique<UsageHistory>(*database_, hand_);
    pulls_ = std::make_unique<Pulls>(PullParts{shard_, pool_, blobs_, *files_, clock_,
                                               telemetry::Logger(telemetry::null_sink(), "pulls"),
                                               [this](const ModelVersion& version) -> Result<void> {
                                                 CORRAL_TRY(auto model, catalog_->put(version));
                                                 (void)model;
                                                 return {};
                                               }});
    auto settings = std::make_shared<config::Settings>();
    settings->sources = sources_;
    settings->downloads = settings_;
    EXPECT_TRUE(loops_.run(control(), pulls_->start(settings)));
    fresh();
  }
  ~PrefetcherTest() override {
    server_.release();
    loops_.run(control(), pulls_->stop());
  }

  net::Shard& control() { return loops_.shards().control(); }
  void fresh() {
    prefetcher_ = std::make_unique<Prefetcher>(
        PrefetcherParts{*pulls_, *catalog_, *history_, blobs_, pool_, hand_,
                        telemetry::Logger(telemetry::null_sink(), "prefetch")});
  }
  void offer(unsigned seed) {
    content_ = tiny_llama().string("general.description", std::to_string(seed)).file();
    server_.put("/lab/tiny.gguf", content_);
    server_.put("/lab/index.json",
                fmt::format(R"({{"corral_index": 1, "models": [{{"name": "tiny", "files": [
                                {{"path": "tiny.gguf", "size": {}, "sha256": "{}"}}]}}]}})",
                            content_.size(), digest_of(content_).substr(7)));
  }
  void pull() {
    auto view = loops_.run(control(), pulls_->pull({"lab/tiny", "", "me"}));
    ASSERT_TRUE(view);
    settle();
  }
  void once(bool busy = false) {
    loops_.run(control(), prefetcher_->look({busy, kQuiet}));
    hand_.advance(kQuiet);
  }
  // A pull that was begun ahead and stays in the middle of its bytes, until the server's `release`.
  std::string begun() {
    offer(1);
    pull();
    use_on_two_days();
    offer(2);
    server_.set({.hold_after = content_.size() / 2});
    once();
    once();
    EXPECT_TRUE(eventually([&] { return newest().state == PullState::running; }, 20s));
    return newest().id;
  }
  PullView newest() { return pulls_->list().front(); }
  void settle() {
    ASSERT_TRUE(eventually(
        [&] {
          auto all = pulls_->list();
          return std::ranges::all_of(all, [](auto& each) {
            return each.state != PullState::queued && each.state != PullState::running;
          });
        },
        20s));
  }
  void use_on_two_days() {
    for (int day = 0; day < 2; ++day) {
      ASSERT_TRUE(history_->note({{.model = "lab/tiny", .requests = 4}}));
      hand_.advance(24h);
    }
  }
  // A quiet time, and then a look that may ask.
  void look(bool busy = false) {
    once(busy);
    loops_.run(control(), prefetcher_->look({busy, kQuiet}));
    settle();
  }
  static constexpr std::chrono::minutes kQuiet{1};
  std::string digest() { return catalog_->show("lab/tiny")->files[0].file.digest; }

  sys::ManualClock hand_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<UsageHistory> history_;
  std::unique_ptr<Pulls> pulls_;
  std::unique_ptr<Prefetcher> prefetcher_;
  std::string content_;
};

TEST_F(PrefetcherTest, WhatChangedAtItsSourceIsFetched) {
  offer(1);
  pull();
  use_on_two_days();
  look();
  EXPECT_EQ(pulls_->list().size(), 1u) << "the source has the same";
  auto old = digest();
  offer(2);
  look();
  EXPECT_EQ(pulls_->list().size(), 1u) << "not twice a day";
  hand_.advance(25h);
  look(true);
  EXPECT_EQ(pulls_->list().size(), 1u) << "not while there is work";
  look();
  ASSERT_EQ(pulls_->list().size(), 2u);
  EXPECT_NE(digest(), old);
  EXPECT_EQ(catalog_->show("lab/tiny")->author, kPrefetchAuthor);
  EXPECT_EQ(catalog_->show("lab/tiny")->version, 2);
}

TEST_F(PrefetcherTest, ARestartDoesNotAskAgain) {
  offer(1);
  pull();
  use_on_two_days();
  look();
  int before = server_.answers();
  fresh();
  look();
  EXPECT_EQ(server_.answers(), before);
  hand_.advance(25h);
  look();
  EXPECT_GT(server_.answers(), before);
}

TEST_F(PrefetcherTest, ItGivesWayAndGoesOnAlsoAfterARestart) {
  auto id = begun();
  EXPECT_EQ(newest().author, kPrefetchAuthor);
  once(true);
  EXPECT_EQ(newest().state, PullState::paused);
  fresh();
  once();
  EXPECT_EQ(newest().state, PullState::paused) << "the quiet time has only begun";
  server_.set({});
  once();
  settle();
  EXPECT_EQ(newest().id, id);
  EXPECT_EQ(newest().state, PullState::succeeded);
  EXPECT_EQ(catalog_->show("lab/tiny")->version, 2);
}

TEST_F(PrefetcherTest, WhoAsksForItTakesItOver) {
  auto id = begun();
  auto name = newest().name;
  auto view = loops_.run(control(), pulls_->pull({"lab/tiny", name, "me"}));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->id, id);
  EXPECT_EQ(newest().author, "me");
  once(true);
  EXPECT_EQ(newest().state, PullState::running);
  server_.release();
  settle();
  EXPECT_EQ(catalog_->show("lab/tiny")->author, "me");
}

TEST_F(PrefetcherTest, WhatSomebodyPausedStaysPaused) {
  auto id = begun();
  ASSERT_TRUE(loops_.run(control(), pulls_->act(id, PullAction::pause)));
  once();
  once();
  hand_.advance(25h);
  once();
  once();
  EXPECT_EQ(newest().id, id);
  EXPECT_EQ(newest().state, PullState::paused);
  ASSERT_TRUE(loops_.run(control(), pulls_->act(id, PullAction::cancel)));
}

TEST_F(PrefetcherTest, ADamagedRecordIsAsNone) {
  offer(1);
  pull();
  use_on_two_days();
  for (const char* text : {"[]", "{", R"({"asked": {"lab/tiny": "x"}, "gave_way": [1]})"}) {
    ASSERT_TRUE(blobs_.write_record("prefetch.json", text));
    fresh();
    int before = server_.answers();
    look();
    EXPECT_GT(server_.answers(), before) << text;
  }
}

TEST_F(PrefetcherTest, ASourceThatFailsIsNoHarm) {
  offer(1);
  pull();
  use_on_two_days();
  server_.set({.status = 500});
  look();
  EXPECT_EQ(pulls_->list().size(), 1u);
}

TEST_F(PrefetcherTest, ASyncRunsItsPulls) {
  offer(1);
  Sync sync(*pulls_, *catalog_, pool_);
  auto run = [&](SyncRequest request) {
    return loops_.run(control(), sync.run(std::move(request)));
  };
  auto dry = run({.wish = {"lab", {}}, .dry_run = true, .author = "me"});
  ASSERT_TRUE(dry) << dry.error().message;
  EXPECT_EQ(dry->to_fetch, content_.size());
  EXPECT_TRUE(pulls_->list().empty());
  auto done = run({.wish = {"lab", {}}, .author = "me"});
  ASSERT_TRUE(done);
  EXPECT_FALSE(done->steps[0].operation.empty());
  settle();
  EXPECT_EQ(run({.wish = {"lab", {}}, .author = "me"})->steps[0].item.state, SyncState::same);
  auto none = run({.wish = {"lab", {"x*"}}, .author = "me"});
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  EXPECT_EQ(run({.wish = {"nowhere", {}}, .author = "me"}).error().code, ErrorCode::not_found);
  server_.put("/lab/index.json", R"({"corral_index": 1, "models": []})");
  EXPECT_EQ(run({.wish = {"lab", {}}, .author = "me"})->steps[0].item.state, SyncState::gone);
  auto removed = run({.wish = {"lab", {}}, .remove_gone = true, .author = "me"});
  ASSERT_TRUE(removed);
  EXPECT_TRUE(removed->steps[0].removed);
  EXPECT_FALSE(catalog_->show("lab/tiny"));
}

TEST_F(PrefetcherTest, SourcesAreSeenAndSearched) {
  offer(1);
  auto views = loops_.run(control(), pulls_->search_in("tin", {"lab"}, 5));
  ASSERT_TRUE(views);
  EXPECT_EQ(views->models[0].reference, "lab/tiny");
  EXPECT_EQ(pulls_->folder_names(), (std::vector<std::string>{"lab"}));
  EXPECT_EQ(loops_.run(control(), pulls_->info("lab/tiny"))->reference, "lab/tiny");
  EXPECT_EQ(loops_.run(control(), pulls_->info("lab/none")).error().code, ErrorCode::not_found);
  server_.set({.status = 500});
  auto failed = loops_.run(control(), pulls_->search_in("tin", {"lab"}, 5));
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->problems[0].param, "lab");
  EXPECT_FALSE(loops_.run(control(), pulls_->search_in("x", {"nowhere"}, 5)));
}

}  // namespace
}  // namespace corral::models::prefetcher_test
