// Whole pulls: from a folder on a server to the catalog, over restarts.
#include "models/pulls.hpp"

#include "models/tests/fetch_fixture.hpp"

namespace corral::models::pulls_test {
namespace {

class PullsTest : public FetchTest {
 protected:
  ~PullsTest() override { end(); }

  void begin() {
    auto settings = std::make_shared<config::Settings>();
    settings->sources = sources_;
    settings->downloads = settings_;
    pulls_ = std::make_unique<Pulls>(PullParts{
        shard_, pool_, blobs_, *files_, clock_, telemetry::Logger(telemetry::null_sink(), "pulls"),
        [this](const ModelVersion& version) -> Result<void> {
          std::lock_guard lock(mutex_);
          if (refuse_) return fail(ErrorCode::conflict, "the name is taken");
          stored_.push_back(version);
          return {};
        }});
    auto started = loops_.run(loops_.shards().control(), pulls_->start(settings));
    ASSERT_TRUE(started) << started.error().message;
  }
  void end() {
    if (!pulls_) return;
    server_.release();
    loops_.run(loops_.shards().control(), pulls_->stop());
    pulls_.reset();
  }

  static std::string model(std::size_t bytes = 4096) {
    return tiny_llama().tensor("blk.1.attn_q.weight", {bytes / 4}, 0, bytes).file();
  }
  void offer(const std::string& content, std::string_view more = "") {
    server_.put("/lab/tiny.gguf", content);
    server_.put("/lab/index.json",
                fmt::format(R"({{"corral_index": 1, "models": [{{"name": "tiny", "license": "mit",
                                "files": [{{"path": "tiny.gguf", "size": {}, "sha256": "{}"}}{}]}}]}})",
                            content.size(), digest_of(content).substr(7), more));
  }
  Result<PullView> pull(std::string reference, std::string name = "") {
    return loops_.run(loops_.shards().control(),
                      pulls_->pull({std::move(reference), std::move(name), "me"}));
  }
  Result<PullView> act(const std::string& id, PullAction action) {
    return loops_.run(loops_.shards().control(), pulls_->act(id, action));
  }
  PullState wait_for_end(const std::string& id) {
    eventually(
        [&] {
          auto state = pulls_->find(id)->state;
          return state != PullState::queued && state != PullState::running;
        },
        20s);
    return pulls_->find(id)->state;
  }

  std::mutex mutex_;
  bool refuse_ = false;
  std::vector<ModelVersion> stored_;
  std::unique_ptr<Pulls> pulls_;
};

TEST_F(PullsTest, AModelComesWhole) {
  begin();
  offer(model());
  auto view = pull("lab/tiny", "mine");
  ASSERT_TRUE(view);
  EXPECT_EQ(wait_for_end(view->id), PullState::succeeded) << pulls_->find(view->id)->error->message;
  ASSERT_EQ(stored_.size(), 1u);
  EXPECT_EQ(stored_[0].name, "mine");
  EXPECT_EQ(stored_[0].license, "mit");
  EXPECT_EQ(stored_[0].author, "me");
  EXPECT_EQ(stored_[0].files[0].digest, digest_of(model()));
  EXPECT_TRUE(blobs_.partials()->empty());
  EXPECT_FALSE(blobs_.in_use(digest_of(model())));
  int before = server_.answers();
  auto again = pull("lab/tiny");
  EXPECT_EQ(wait_for_end(again->id), PullState::succeeded);
  EXPECT_EQ(server_.answers(), before + 1) << "only the index is asked for";
  EXPECT_EQ(act(again->id, PullAction::cancel).error().code, ErrorCode::conflict);
  EXPECT_EQ(act("pull-00000000", PullAction::cancel).error().code, ErrorCode::not_found);
}

TEST_F(PullsTest, WhatTheCatalogRefusesFails) {
  refuse_ = true;
  begin();
  offer(model());
  auto view = pull("lab/tiny");
  EXPECT_EQ(wait_for_end(view->id), PullState::failed);
  EXPECT_EQ(pulls_->find(view->id)->error->message, "the name is taken");
  EXPECT_TRUE(blobs_.in_use(digest_of(model()))) << "it is kept for another try";
  refuse_ = false;
  ASSERT_TRUE(act(view->id, PullAction::resume));
  EXPECT_EQ(wait_for_end(view->id), PullState::succeeded);
}

TEST_F(PullsTest, AReloadSaysHowMuchOfTheDiskStaysFree) {
  begin();
  offer(model());
  auto settings = std::make_shared<config::Settings>();
  settings->sources = sources_;
  settings->downloads = settings_;
  settings->downloads.keep_free = std::uint64_t{1} << 60;
  ASSERT_TRUE(loops_.run(loops_.shards().control(), pulls_->reload(settings)));
  auto view = pull("lab/tiny");
  EXPECT_EQ(wait_for_end(view->id), PullState::failed);
  EXPECT_TRUE(pulls_->find(view->id)->error->message.contains("downloads.keep_free"));
  auto less = std::make_shared<config::Settings>(*settings);
  less->downloads.keep_free = 0;
  ASSERT_TRUE(loops_.run(loops_.shards().control(), pulls_->reload(less)));
  ASSERT_TRUE(act(view->id, PullAction::resume));
  EXPECT_EQ(wait_for_end(view->id), PullState::succeeded);
}

TEST_F(PullsTest, TwoModelsThatShareAFileFetchItOnce) {
  settings_.silence = 60s;
  begin();
  std::string content = model(4 << 20);
  std::string file = fmt::format(R"([{{"path": "tiny.gguf", "size": {}, "sha256": "{}"}}])",
                                 content.size(), digest_of(content).substr(7));
  server_.put("/lab/tiny.gguf", content);
  server_.put("/lab/index.json",
              fmt::format(R"({{"corral_index": 1, "models": [{{"name": "one", "files": {0}}},
                              {{"name": "two", "files": {0}}}]}})",
                          file));
  server_.set({.hold_after = 1 << 20});
  auto one = pull("lab/one");
  ASSERT_TRUE(eventually([&] { return pulls_->find(one->id)->done > 0; }));
  auto two = pull("lab/two");
  ASSERT_TRUE(eventually([&] { return pulls_->find(two->id)->stage.starts_with("waiting"); }));
  // Whoever waits can be stopped, and goes on with waiting.
  EXPECT_EQ(act(two->id, PullAction::pause)->state, PullState::paused);
  ASSERT_TRUE(act(two->id, PullAction::resume));
  ASSERT_TRUE(eventually([&] { return pulls_->find(two->id)->stage.starts_with("waiting"); }));
  EXPECT_FALSE(there(two->id + "-0"));
  server_.set({});
  server_.release();
  EXPECT_EQ(wait_for_end(one->id), PullState::succeeded);
  EXPECT_EQ(wait_for_end(two->id), PullState::succeeded);
  EXPECT_EQ(stored_.size(), 2u);
  EXPECT_TRUE(blobs_.partials()->empty());
}

TEST_F(PullsTest, WhoWaitsForAFileFetchesItWhenTheOtherGivesUp) {
  settings_.silence = 60s;
  begin();
  std::string content = model(4 << 20);
  std::string file = fmt::format(R"([{{"path": "tiny.gguf", "size": {}, "sha256": "{}"}}])",
                                 content.size(), digest_of(content).substr(7));
  server_.put("/lab/tiny.gguf", content);
  server_.put("/lab/index.json",
              fmt::format(R"({{"corral_index": 1, "models": [{{"name": "one", "files": {0}}},
                              {{"name": "two", "files": {0}}}]}})",
                          file));
  server_.set({.hold_after = 1 << 20});
  auto one = pull("lab/one");
  ASSERT_TRUE(eventually([&] { return pulls_->find(one->id)->done > 0; }));
  auto two = pull("lab/two");
  ASSERT_TRUE(eventually([&] { return pulls_->find(two->id)->stage.starts_with("waiting"); }));
  server_.set({});
  EXPECT_EQ(act(one->id, PullAction::cancel)->state, PullState::cancelled);
  EXPECT_EQ(wait_for_end(two->id), PullState::succeeded);
  ASSERT_EQ(stored_.size(), 1u);
  EXPECT_EQ(stored_[0].name, "lab/two");
}

TEST_F(PullsTest, GoesOnAfterARestart) {
  begin();
  std::string content = model(6 << 20);
  offer(content);
  server_.set({.hold_after = 1 << 20});
  settings_.silence = 10s;
  auto view = pull("lab/tiny");
  ASSERT_TRUE(eventually([&] { return pulls_->find(view->id)->done > 0; }));
  end();
  EXPECT_TRUE(there(view->id + ".json"));
  server_.set({});
  ASSERT_TRUE(blobs_.write_record("pull-99999999-0", "of nobody"));
  ASSERT_TRUE(blobs_.write_record("pull-88888888.json", "{}"));
  begin();
  EXPECT_EQ(wait_for_end(view->id), PullState::succeeded);
  EXPECT_EQ(stored_.size(), 1u);
  EXPECT_TRUE(blobs_.partials()->empty());
}

TEST_F(PullsTest, PausedAndCancelled) {
  begin();
  offer(model(6 << 20));
  server_.set({.hold_after = 1 << 20});
  auto view = pull("lab/tiny");
  EXPECT_EQ(pull("lab/tiny")->id, view->id) << "it is the same";
  ASSERT_TRUE(eventually([&] { return pulls_->find(view->id)->done > 0; }));
  EXPECT_EQ(act(view->id, PullAction::pause)->state, PullState::paused);
  EXPECT_EQ(act(view->id, PullAction::pause).error().code, ErrorCode::conflict);
  end();
  begin();
  EXPECT_EQ(pulls_->find(view->id)->state, PullState::paused);
  EXPECT_GT(pulls_->find(view->id)->done, 0u);
  EXPECT_EQ(act(view->id, PullAction::cancel)->state, PullState::cancelled);
  EXPECT_TRUE(blobs_.partials()->empty());
  auto next = pull("lab/tiny");
  EXPECT_NE(next->id, view->id);
  EXPECT_EQ(act(next->id, PullAction::cancel)->state, PullState::cancelled);
}

TEST_F(PullsTest, OneAtATimeWhenToldSo) {
  settings_.at_once = 1;
  begin();
  offer(model(4 << 20));
  server_.set({.hold_after = 1 << 20});
  auto one = pull("lab/tiny");
  auto two = pull("lab/tiny", "second");
  EXPECT_EQ(two->state, PullState::queued);
  EXPECT_EQ(act(two->id, PullAction::pause)->state, PullState::paused);
  EXPECT_EQ(act(two->id, PullAction::resume)->state, PullState::queued);
  EXPECT_EQ(act(two->id, PullAction::resume).error().code, ErrorCode::conflict);
  server_.release();
  EXPECT_EQ(wait_for_end(one->id), PullState::succeeded);
  EXPECT_EQ(wait_for_end(two->id), PullState::succeeded);
}

TEST_F(PullsTest, WhatIsNoModelIsRefused) {
  begin();
  offer("GGUF and then rubbish, far too short to be one");
  auto view = pull("lab/tiny");
  EXPECT_EQ(wait_for_end(view->id), PullState::failed);
  EXPECT_NE(pulls_->find(view->id)->error->message.find("no model file"), std::string::npos);
  EXPECT_TRUE(blobs_.list()->empty());
  EXPECT_FALSE(pull("a b"));
  EXPECT_FALSE(pull("lab/tiny", "../x"));
}

TEST_F(PullsTest, AFileByItsAddressIsLookedAtBeforeItIsFetched) {
  begin();
  auto info = [&](std::string_view path) {
    return loops_.run(loops_.shards().control(), pulls_->info(server_.url(path)));
  };
  auto plan = [&](std::string_view path) {
    return loops_.run(loops_.shards().control(), pulls_->plan(server_.url(path)));
  };
  server_.put("/tiny-Q8_0.gguf", model());
  server_.put("/text.gguf", "what is this?");
  auto found = info("/tiny-Q8_0.gguf");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->bytes, model().size());
  EXPECT_EQ(found->quantization, "Q8_0");
  EXPECT_EQ(plan("/tiny-Q8_0.gguf")->files.front().bytes, model().size());
  for (const auto& [path, code, text] :
       {std::tuple("/none.gguf", ErrorCode::not_found, "does not have 'none.gguf'"),
        std::tuple("/text.gguf", ErrorCode::invalid_argument, "is not a GGUF file"),
        std::tuple("/page", ErrorCode::invalid_argument, "does not lead to a .gguf file")}) {
    EXPECT_EQ(info(path).error().code, code) << path;
    EXPECT_TRUE(plan(path).error().message.contains(text)) << plan(path).error().message;
  }
}

TEST_F(PullsTest, ASourceThatIsSilentIsNamedWithAWayOut) {
  sources_.hugging_face = sources_.ollama = "http://127.0.0.1:1";
  sources_.folders.clear();
  begin();
  auto& control = loops_.shards().control();
  for (const char* reference : {"llama3.2:3b", "hf:o/r"}) {
    auto info = loops_.run(control, pulls_->info(reference));
    ASSERT_FALSE(info);
    EXPECT_TRUE(info.error().hint_text.contains("corral sources")) << info.error().message;
    auto plan = loops_.run(control, pulls_->plan(reference));
    ASSERT_FALSE(plan);
    EXPECT_TRUE(plan.error().hint_text.contains("corral sources")) << plan.error().message;
  }
  auto search = loops_.run(control, pulls_->search("llama", 5));
  ASSERT_FALSE(search);
  EXPECT_TRUE(search.error().hint_text.contains("corral sources"));
}

TEST_F(PullsTest, SearchAndPlan) {
  begin();
  offer(model(), R"(, {"path": "LICENSE", "role": "license"})");
  server_.put("/lab/LICENSE", "MIT");
  sources_.hugging_face = server_.url("/hub");
  auto settings = std::make_shared<config::Settings>();
  settings->sources = sources_;
  settings->downloads = settings_;
  ASSERT_TRUE(loops_.run(loops_.shards().control(), pulls_->reload(settings)));
  auto found = loops_.run(loops_.shards().control(), pulls_->search("tin", 5));
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ((*found)[0].reference, "lab/tiny");
  auto plan = loops_.run(loops_.shards().control(), pulls_->plan("lab/tiny"));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->files.size(), 2u);
  auto view = pull("lab/tiny");
  EXPECT_EQ(wait_for_end(view->id), PullState::succeeded);
  EXPECT_EQ(stored_[0].files[1].role, FileRole::license);
}

}  // namespace
}  // namespace corral::models::pulls_test
