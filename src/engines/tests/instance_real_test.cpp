// An instance over the real engine on the bundled model, where both are there.
#include "base/tests/support/source_dir.hpp"
#include "engines/tests/instance_fixture.hpp"
#include "net/http_client.hpp"

namespace corral::engines::instance_real_test {
namespace {

// The real engine on the bundled model, where both are there (after scripts/build-engine).
net::Task<std::string> get(InstanceAddress at, std::string path, std::string key) {
  net::HttpTarget target;
  target.host = at.host;
  target.port = at.port;
  net::Headers headers;
  if (!key.empty()) headers.add("Authorization", "Bearer " + key);
  net::ClientRequest request;
  request.path = path;
  request.headers = &headers;
  auto answer = co_await net::shard_client().send(target, request, {});
  if (!answer) co_return answer.error().message;
  auto body = co_await (*answer)->read_all(1u << 20);
  co_return std::to_string((*answer)->status()) + " " + body.value_or("");
}

class RealInstanceTest : public InstanceTest {
 public:
  void SetUp() override {
    auto folders = sys::user_folders();
    auto engine = folders ? find_llama_server(*files_, {}, folders->cache)
                          : Result<sys::Path>(fail(ErrorCode::not_found, "no folders"));
    sys::Path model = test::source_file("models/corral-tiny.gguf");
    ASSERT_TRUE(engine) << engine.error().describe() << "; scripts/build-engine builds it";
    ASSERT_TRUE(std::filesystem::exists(model)) << model;
    spec_.settings.path = engine->string();
    spec_.model_file = model;
  }
};

net::Task<void> serves(InstanceTest& t) {
  Instance& instance = t.make();
  instance.start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  auto health = co_await get(event.address, "/health", "");
  EXPECT_EQ(health, "200 {\"status\":\"ok\"}");
  auto refused = co_await get(event.address, "/v1/models", "");
  EXPECT_TRUE(refused.starts_with("401")) << refused;
  auto models = co_await get(event.address, "/v1/models", event.address.api_key.value);
  EXPECT_TRUE(models.starts_with("200")) << models;
  EXPECT_NE(models.find("\"id\":\"tiny\""), std::string::npos) << models;
  EXPECT_NE(models.find("\"n_ctx\":256"), std::string::npos) << models;
  int pid = instance.info().pid;
  instance.stop();
  co_await instance.stopped();
  EXPECT_FALSE(process_exists(pid));
  EXPECT_EQ(t.sink_->count("killing"), 0u);
}
TEST_F(RealInstanceTest, ServesAndStops) { play(&serves); }

net::Task<void> embeds(InstanceTest& t) {
  t.spec_.purpose = Purpose::embedding;
  t.make().start();
  auto event = co_await t.next();
  EXPECT_EQ(event.kind, "ready") << (event.error ? event.error->cause : "");
}
TEST_F(RealInstanceTest, StartsForEmbeddings) { play(&embeds); }

net::Task<void> dies(InstanceTest& t) {
  Instance& instance = t.make();
  instance.start();
  auto first = co_await t.next();
  REQUIRE(first.kind == "ready");
  ::kill(instance.info().pid, SIGSEGV);
  auto down = co_await t.next();
  EXPECT_EQ(down.kind, "down");
  auto second = co_await t.next();
  EXPECT_EQ(second.kind, "ready");
}
TEST_F(RealInstanceTest, ComesBackAfterACrash) { play(&dies); }

net::Task<void> refuses(InstanceTest& t) {
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(t.instance_->info().restarts, 0u);  // recognised as permanent
  EXPECT_NE(event.error->message.find("file"), std::string::npos) << event.error->message;
}
TEST_F(RealInstanceTest, RefusesAModelCutShort) {
  std::ifstream whole(spec_.model_file, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(whole), {});
  sys::Path cut = folder_ / "cut.gguf";
  std::ofstream(cut, std::ios::binary) << content.substr(0, content.size() * 3 / 4);
  spec_.model_file = cut;
  play(&refuses);
}
TEST_F(RealInstanceTest, RefusesWhatIsNoModel) {
  spec_.model_file = folder_ / "model.gguf";
  play(&refuses);
}

net::Task<void> refuses_argument(InstanceTest& t) {
  t.spec_.settings.extra_arguments = {"--no-such-argument"};
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_NE(event.error->message.find("refused an argument"), std::string::npos)
      << event.error->message << "\n"
      << event.error->cause;
}
TEST_F(RealInstanceTest, SaysThatAnArgumentIsUnknown) { play(&refuses_argument); }

}  // namespace
}  // namespace corral::engines::instance_real_test
