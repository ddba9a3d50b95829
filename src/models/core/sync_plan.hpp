// What a sync has to fetch: the models of a source that are not here, or are here with other bytes.
//
// Models are compared by the checksums of their files, and where the source names none by revision
// and sizes. Content that is here under another name is here: two servers that sync each other
// would otherwise give each model one more name each time.
//
// Thread rule: a pure function.
// Example:
//   for (const SyncItem& item : plan_sync(listing.models, here, {"lab", {"qwen*"}}).items) {
//     if (item.fetched()) pull(item.reference);
//   }
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/sources/remote_model.hpp"

namespace corral::models {

struct HereFile {
  FileRole role = FileRole::weights;
  std::string digest;
  std::uint64_t bytes = 0;
  bool sound = true;
};

// A model of the catalog.
struct HereModel {
  std::string name;
  std::string origin;
  std::string revision;
  std::vector<HereFile> files;
};

enum class SyncState {
  fresh,    // not here
  newer,    // here with other bytes
  damaged,  // here, but not usable
  same,
  gone,  // here from that source, which has it no more
};
std::string_view to_string(SyncState state);

struct SyncItem {
  std::string name;       // here
  std::string reference;  // what `pull` takes
  SyncState state = SyncState::fresh;
  std::optional<std::uint64_t> bytes;  // of all its files; none: the source does not say
  std::uint64_t to_fetch = 0;          // of those that are not here, as far as sizes are known
  std::string here_as;                 // the other name that it has here

  bool fetched() const {
    return state == SyncState::fresh || state == SyncState::newer || state == SyncState::damaged;
  }
};

struct SyncWish {
  std::string source;                 // as sources.folders calls it
  std::vector<std::string> patterns;  // of names there, '*' for any text; empty: all
};

struct SyncPlan {
  std::vector<SyncItem> items;  // by name
  std::uint64_t to_fetch = 0;   // each file once
};

// `refused`: names there whose entries could not be read; they are not gone.
SyncPlan plan_sync(const std::vector<RemoteModel>& there, const std::vector<HereModel>& here,
                   const SyncWish& wish, const std::vector<std::string>& refused = {});

}  // namespace corral::models
