// Takes the digests of the models folder's files, so that they can be given out: one file at a
// time, piece by piece, in the background. What was found is kept in the index of the folder.
//
// Thread rule: `look` on one shard, one at a time. Lifecycle: its parts outlive it.
#pragma once

#include "models/file_index.hpp"
#include "models/model_list.hpp"
#include "net/shard.hpp"
#include "telemetry/log.hpp"

namespace corral::models {

class FolderDigests {
 public:
  FolderDigests(FileIndex& index, sys::Files& files, net::BlockingPool& pool, telemetry::Logger log)
      : index_(index), files_(files), pool_(pool), log_(std::move(log)) {}

  // Until all files have one, or the coroutine is cancelled.
  net::Task<void> look(Snapshot models);

 private:
  net::Task<Result<void>> take(FileIdentity file);

  FileIndex& index_;
  sys::Files& files_;
  net::BlockingPool& pool_;
  telemetry::Logger log_;
  std::vector<FileIdentity> failed_;  // not tried again before they change
};

}  // namespace corral::models
