// What the tests of downloads and of whole pulls share.
#pragma once

#include <gtest/gtest.h>

#include <random>

#include "models/core/ranges.hpp"
#include "models/download.hpp"
#include "models/pulls.hpp"
#include "models/sha256.hpp"
#include "models/tests/file_server.hpp"
#include "models/tests/gguf_writer.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::models {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;

inline std::string noise(std::size_t bytes, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string text;
  text.reserve(bytes + 8);
  while (text.size() < bytes) {
    auto word = random();
    text.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  text.resize(bytes);
  return text;
}

inline std::string digest_of(const std::string& content) {
  Sha256 hash;
  hash.update(content);
  return hash.digest();
}

class FetchTest : public testing::Test {
 protected:
  FetchTest() : shard_(loops_.shards().serving(0)) {
    EXPECT_TRUE(blobs_.open());
    sources_.folders = {"lab=" + server_.url("/lab")};
    settings_.silence = 500ms;
    settings_.tries = 3;
    settings_.keep_free = 0;
  }
  ~FetchTest() override {
    server_.stop();
    loops_.end();
  }

  struct Run {
    Result<Downloaded> result;
    DownloadProgress progress;
  };

  net::Task<Run> fetch_task(DownloadJob job) {
    Web web(sources_, settings_.silence);
    Throttle throttle(settings_.bandwidth);
    Download download({web, pool_, blobs_, throttle, clock_, settings_}, std::move(job));
    running_ = &download;
    auto result = co_await download.run();
    running_ = nullptr;
    co_return Run{std::move(result), download.progress()};
  }
  Run fetch(DownloadJob job) { return loops_.run(shard_, fetch_task(std::move(job))); }
  DownloadJob job(std::string path = "/file") {
    DownloadJob made;
    made.url = server_.url(path);
    made.name = "pull-1-0";
    made.label = "file";
    return made;
  }
  std::string partial() { return *files_->read(blobs_.partial_path("pull-1-0"), 1 << 30); }
  bool there(std::string_view name) { return files_->stat(blobs_.partial_path(name)).has_value(); }

  Loops loops_;
  net::Shard& shard_;
  sys::TempFolder folder_;
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  std::unique_ptr<sys::LargeFiles> large_ = sys::real_large_files();
  BlobStore blobs_{*files_, *large_, folder_ / "blobs", 0};
  net::BlockingPool pool_{3};
  sys::RealClock clock_;
  config::SourcesSettings sources_;
  config::DownloadSettings settings_;
  FileServer server_{loops_};
  std::atomic<Download*> running_{nullptr};
};

}  // namespace corral::models
