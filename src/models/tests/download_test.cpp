// Downloads over a real server that misbehaves; blobs.
#include "models/download.hpp"

#include "models/tests/fetch_fixture.hpp"
#include "net/tests/http_client_fixture.hpp"

namespace corral::models::download_test {
namespace {

class DownloadTest : public FetchTest {};

TEST_F(DownloadTest, ComesByRangesAndIsHashedMeanwhile) {
  std::string content = noise(30 << 20);
  server_.put("/file", content);
  auto wanted = job();
  wanted.bytes = content.size();
  wanted.digest = digest_of(content);
  auto run = fetch(wanted);
  ASSERT_TRUE(run.result) << run.result.error().message;
  EXPECT_EQ(run.result->digest, wanted.digest);
  EXPECT_EQ(run.progress.hashed, content.size());
  EXPECT_EQ(partial(), content);
  EXPECT_GT(server_.answers(), 3);
  ASSERT_TRUE(blobs_.adopt("pull-1-0", wanted.digest));
  EXPECT_TRUE(blobs_.has(wanted.digest, content.size()));
}

TEST_F(DownloadTest, FindsOutSizeAndDigestByItself) {
  std::string content = noise(100'000);
  server_.put("/file", content);
  auto run = fetch(job());
  ASSERT_TRUE(run.result);
  EXPECT_EQ(run.result->bytes, content.size());
  EXPECT_EQ(run.result->digest, digest_of(content));
}

TEST_F(DownloadTest, AnEmptyFileIsAFile) {
  server_.put("/file", "");
  for (bool ranges : {true, false}) {
    server_.set({.ranges = ranges});
    auto run = fetch(job());
    ASSERT_TRUE(run.result) << run.result.error().message;
    EXPECT_EQ(run.result->digest, digest_of(""));
  }
}

TEST_F(DownloadTest, WithoutRangesItIsOneStream) {
  std::string content = noise(3 << 20);
  server_.put("/file", content);
  for (bool chunked : {false, true}) {
    server_.set({.ranges = false, .chunked = chunked});
    auto run = fetch(job());
    ASSERT_TRUE(run.result) << run.result.error().message;
    EXPECT_EQ(partial(), content);
  }
}

TEST_F(DownloadTest, OneStreamThatIsCutBeginsAnew) {
  std::string content = noise(3 << 20);
  server_.put("/file", content);
  server_.set({.ranges = false, .cut_after = 2 << 20, .cuts = 1});
  auto run = fetch(job());
  ASSERT_TRUE(run.result) << run.result.error().message;
  EXPECT_EQ(partial(), content);
  server_.set({.ranges = false, .cut_after = 1 << 20});
  EXPECT_EQ(fetch(job()).result.error().code, ErrorCode::upstream);
}

// Hours of silence are allowed: were the end not noticed, this would take as long.
TEST_F(DownloadTest, AnAnswerShorterThanItsLengthFailsWithItsConnection) {
  std::atomic<bool> reset{false};
  net::testing::ScriptedServer liar([&](int, int socket) {
    net::testing::read_request(socket);
    net::testing::write_text(socket, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    linger now{1, 0};
    if (reset) ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  });
  sources_.private_hosts = {fmt::format("127.0.0.1:{}", liar.port)};
  settings_.silence = std::chrono::hours(2);
  settings_.tries = 1;
  auto wanted = job();
  wanted.url = fmt::format("http://127.0.0.1:{}/file", liar.port);
  for (bool each : {false, true}) {
    reset = each;
    auto run = fetch(wanted);
    ASSERT_FALSE(run.result);
    EXPECT_NE(run.result.error().code, ErrorCode::timeout) << run.result.error().describe();
    if (!each) {
      EXPECT_TRUE(run.result.error().message.contains("cut")) << run.result.error().describe();
    }
  }
}

TEST_F(DownloadTest, GoesOnAfterACut) {
  std::string content = noise(3 << 20);
  server_.put("/file", content);
  server_.set({.cut_after = 700'000});
  auto run = fetch(job());
  ASSERT_TRUE(run.result) << run.result.error().message;
  EXPECT_EQ(partial(), content);
}

TEST_F(DownloadTest, FailuresThatPassAreTriedAgain) {
  server_.put("/file", noise(1000));
  server_.set({.status = 503, .failures = 2});
  EXPECT_TRUE(fetch(job()).result);
  server_.set({.status = 503});
  EXPECT_EQ(fetch(job()).result.error().code, ErrorCode::unavailable);
  server_.set({.status = 403});
  int before = server_.answers();
  EXPECT_EQ(fetch(job()).result.error().code, ErrorCode::forbidden);
  EXPECT_EQ(server_.answers(), before + 1) << "that does not pass";
}

TEST_F(DownloadTest, AWrongChecksumKeepsNothing) {
  server_.put("/file", noise(1 << 20));
  auto wanted = job();
  wanted.digest = "sha256:" + std::string(64, '0');
  auto run = fetch(wanted);
  ASSERT_FALSE(run.result);
  EXPECT_NE(run.result.error().message.find("checksum"), std::string::npos);
  EXPECT_FALSE(there("pull-1-0"));
  EXPECT_FALSE(there("pull-1-0.ranges"));
}

TEST_F(DownloadTest, AnotherSizeThanPromisedIsALie) {
  server_.put("/file", noise(1000));
  auto wanted = job();
  wanted.bytes = 999;
  EXPECT_EQ(fetch(wanted).result.error().code, ErrorCode::upstream);
  server_.set({.ranges = false, .chunked = true});
  EXPECT_EQ(fetch(wanted).result.error().code, ErrorCode::upstream);
  wanted.bytes = 1001;
  EXPECT_EQ(fetch(wanted).result.error().code, ErrorCode::upstream);
}

TEST_F(DownloadTest, WhatIsNoGgufIsRefusedAtItsFirstBytes) {
  server_.put("/file", "<html>" + noise(20 << 20));
  auto wanted = job();
  wanted.gguf = true;
  EXPECT_EQ(fetch(wanted).result.error().code, ErrorCode::invalid_argument);
}

TEST_F(DownloadTest, StopsAndGoesOn) {
  std::string content = noise(12 << 20);
  server_.put("/file", content);
  server_.set({.hold_after = 1 << 20});
  auto wanted = job();
  wanted.digest = digest_of(content);
  settings_.silence = 10s;
  settings_.connections = 1;
  std::thread stopper([&] {
    eventually([&] {
      return loops_.call(shard_, [&] {
        bool some = running_ != nullptr && running_.load()->progress().done > 0;
        if (some) running_.load()->stop();
        return some;
      });
    });
  });
  auto run = fetch(wanted);
  stopper.join();
  ASSERT_FALSE(run.result);
  EXPECT_EQ(run.result.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(there("pull-1-0.ranges"));
  auto seen = server_.ranges().size();
  server_.set({});
  auto again = fetch(wanted);
  ASSERT_TRUE(again.result) << again.result.error().message;
  EXPECT_EQ(partial(), content);
  EXPECT_FALSE(server_.ranges()[seen].starts_with("bytes=0-")) << server_.ranges()[seen];
}

TEST_F(DownloadTest, BytesThatTheNoteDoesNotNameAreNotBelieved) {
  std::string content = noise(2 << 20);
  server_.put("/file", content);
  std::string wrong(content.size(), 'x');
  wrong.replace(0, 1 << 20, content.substr(0, 1 << 20));
  ASSERT_TRUE(blobs_.write_record("pull-1-0", wrong));
  ASSERT_TRUE(blobs_.write_record("pull-1-0.ranges",
                                  to_text(RangeJournal{content.size(), "", {{0, 1 << 20}}})));
  auto wanted = job();
  wanted.digest = digest_of(content);
  auto run = fetch(wanted);
  ASSERT_TRUE(run.result);
  EXPECT_EQ(partial(), content);
  EXPECT_TRUE(server_.ranges()[0].starts_with("bytes=1048576-")) << server_.ranges()[0];
}

TEST_F(DownloadTest, ANoteOfAnotherFileBeginsAnew) {
  std::string content = noise(2 << 20);
  server_.put("/file", content);
  for (const char* tag : {"\"other\"", ""}) {
    ASSERT_TRUE(blobs_.write_record("pull-1-0", std::string(content.size(), 'x')));
    ASSERT_TRUE(blobs_.write_record("pull-1-0.ranges",
                                    to_text(RangeJournal{content.size(), tag, {{0, 1 << 20}}})));
    auto run = fetch(job());
    ASSERT_TRUE(run.result) << run.result.error().message;
    EXPECT_EQ(partial(), content);
  }
}

TEST_F(DownloadTest, ResumesToAServerWithoutRanges) {
  std::string content = noise(2 << 20);
  server_.put("/file", content);
  server_.set({.ranges = false, .tag = false});
  ASSERT_TRUE(blobs_.write_record("pull-1-0", std::string(content.size(), 'x')));
  ASSERT_TRUE(blobs_.write_record("pull-1-0.ranges",
                                  to_text(RangeJournal{content.size(), "", {{0, 1 << 20}}})));
  auto wanted = job();
  wanted.digest = digest_of(content);
  auto run = fetch(wanted);
  ASSERT_TRUE(run.result) << run.result.error().message;
  EXPECT_EQ(partial(), content);
}

TEST_F(DownloadTest, TheDiskIsLookedAtFirst) {
  server_.put("/file", noise(1000));
  BlobStore full(*files_, *large_, folder_ / "blobs", std::uint64_t{1} << 62);
  auto refused = full.check_space(1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("keep_free"), std::string::npos);
  EXPECT_NE(refused.error().hint_text, "");
}

TEST_F(DownloadTest, TheTokenStaysWithItsOrigin) {
  FileServer other(loops_);
  other.put("/file", noise(1000));
  sources_.private_hosts = {"127.0.0.1"};
  server_.set({.redirect = other.url()});
  auto wanted = job("/redirect");
  wanted.bearer = "secret";
  ASSERT_TRUE(fetch(wanted).result);
  EXPECT_EQ(server_.tokens()[0], "Bearer secret");
  EXPECT_EQ(other.tokens()[0], "");
  other.stop();
}

TEST_F(DownloadTest, APrivateAddressIsRefused) {
  FileServer other(loops_);
  other.put("/file", noise(1000));
  server_.set({.redirect = other.url()});
  auto run = fetch(job("/redirect"));
  ASSERT_FALSE(run.result);
  EXPECT_EQ(run.result.error().code, ErrorCode::forbidden);
  EXPECT_EQ(other.answers(), 0);
  server_.set({.redirect = "/redirect"});
  EXPECT_EQ(fetch(job("/redirect")).result.error().code, ErrorCode::upstream);
  other.stop();
}

TEST_F(DownloadTest, AnAddressBehindARedirectMayRunOut) {
  FileServer other(loops_);
  other.put("/file", noise(20 << 20));
  other.set({.status = 403, .failures = 1});
  sources_.private_hosts = {"127.0.0.1"};
  server_.set({.redirect = other.url()});
  auto run = fetch(job("/redirect"));
  EXPECT_FALSE(run.result) << "a refusal at the first time is one";
  EXPECT_TRUE(fetch(job("/redirect")).result);
  other.stop();
}

TEST_F(DownloadTest, HoldsTheBandwidth) {
  server_.put("/file", noise(600'000));
  settings_.bandwidth = 1'000'000;
  auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(fetch(job()).result);
  EXPECT_GT(std::chrono::steady_clock::now() - began, 250ms);
}

// --- blobs

TEST_F(DownloadTest, BlobsThatAreHeldStay) {
  std::string digest = digest_of("x");
  ASSERT_TRUE(blobs_.write_record("pull-1-0", "x"));
  ASSERT_TRUE(blobs_.adopt("pull-1-0", digest));
  {
    auto one = blobs_.hold(digest);
    auto two = blobs_.hold(digest);
    EXPECT_TRUE(blobs_.in_use(digest));
    EXPECT_EQ(blobs_.remove(digest).error().code, ErrorCode::conflict);
  }
  EXPECT_FALSE(blobs_.in_use(digest));
  EXPECT_EQ(*blobs_.list(), std::vector<std::string>{digest});
  EXPECT_TRUE(blobs_.remove(digest));
  EXPECT_FALSE(blobs_.has(digest, 1));
}

TEST_F(DownloadTest, RecordsThatACrashCutShortAreRemoved) {
  auto left = blobs_.partial_path(".pull-1.json.abc.tmp");
  ASSERT_TRUE(files_->write_atomic(left, "{", 0600));
  ASSERT_TRUE(blobs_.write_record("pull-1.json", "{}"));
  ASSERT_TRUE(blobs_.open());
  EXPECT_EQ(*blobs_.partials(), std::vector<std::string>{"pull-1.json"});
}

TEST_F(DownloadTest, NoNameLeadsOutOfTheFolder) {
  for (const char* name : {"", "..", "../x", "a/b", ".hidden", "A", "a\n"}) {
    EXPECT_FALSE(blobs_.open_partial(name)) << name;
    EXPECT_FALSE(blobs_.drop_partial(name)) << name;
    EXPECT_FALSE(blobs_.write_record(name, "")) << name;
    EXPECT_FALSE(blobs_.read_record(name)) << name;
    EXPECT_FALSE(blobs_.adopt(name, digest_of(""))) << name;
  }
  for (const char* digest : {"", "sha256:", "sha256:../../x", "md5:abc"}) {
    EXPECT_FALSE(blobs_.adopt("pull-1-0", digest)) << digest;
    EXPECT_FALSE(blobs_.remove(digest)) << digest;
    EXPECT_FALSE(blobs_.has(digest, 0)) << digest;
  }
  EXPECT_FALSE(blobs_.adopt("none", digest_of(""))) << "there is none";
  EXPECT_FALSE(files_->stat(blobs_.path_of(digest_of(""))));
}

}  // namespace
}  // namespace corral::models::download_test
