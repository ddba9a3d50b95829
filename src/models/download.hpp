// Fetches one file into an unfinished blob: by several connections where the server can send
// ranges, else in one stream. Its SHA-256 is taken while it comes, in the order of the file, so
// that a whole file is a checked one.
//
// What was written is synced and noted about once a second; after a crash, only what the note says
// is believed. A file that changed at its source begins anew. Failures that may pass (cuts,
// silence, 5xx, 429) are tried again with growing pauses, `tries` times in a row without progress.
//
// Thread rule: belongs to its shard; blocking work runs on the pool. Lifecycle: construct, `run`
// once to its end, destroy. `stop` makes `run` end soon, keeping what can be resumed.
// Example:
//   Download download(parts, {.url = url, .name = "pull-1-0", .digest = digest});
//   auto done = co_await download.run();  // then blobs.adopt("pull-1-0", done->digest)
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "config/settings.hpp"
#include "models/blob_store.hpp"
#include "models/core/throttle.hpp"
#include "models/web.hpp"
#include "net/shard.hpp"
#include "sys/clock.hpp"

namespace corral::models {

struct DownloadParts {
  Web& web;
  net::BlockingPool& pool;
  BlobStore& blobs;
  Throttle& throttle;  // of all downloads on this shard
  const sys::Clock& clock;
  config::DownloadSettings settings;
};

struct DownloadJob {
  std::string url;
  std::string bearer;                  // for the origin of `url` alone; may be empty
  std::string name;                    // of the partial; its note is name + ".ranges"
  std::string label;                   // for people: "model.gguf"
  std::optional<std::uint64_t> bytes;  // as promised; another size is an error
  std::string digest;                  // "sha256:..."; empty: not known before
  bool gguf = false;                   // anything else is refused at its first bytes
};

struct Downloaded {
  std::string digest;
  std::uint64_t bytes = 0;
};

struct DownloadProgress {
  std::optional<std::uint64_t> total;
  std::uint64_t done = 0;    // written
  std::uint64_t hashed = 0;  // checked, from the front
};

class Download {
 public:
  Download(DownloadParts parts, DownloadJob job);
  ~Download();
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  // upstream: the source lies, or the checksum is wrong (then nothing is kept); io: the disk;
  // cancelled: stopped; else what the source answered.
  net::Task<Result<Downloaded>> run();
  void stop();
  DownloadProgress progress() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace corral::models
