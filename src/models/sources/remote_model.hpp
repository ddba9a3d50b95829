// A model as its source describes it: names, addresses, sizes and checksums of its files.
//
// Thread rule: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/catalog_types.hpp"

namespace corral::models {

struct RemoteFile {
  FileRole role = FileRole::weights;
  std::string name;  // as the source calls it; a plain file name
  std::string url;
  std::optional<std::uint64_t> bytes;
  std::string digest;  // "sha256:..."; empty: the source does not say
};

// All that a pull needs to know about one model.
struct RemoteModel {
  std::string name;      // as the catalog will call it
  std::string origin;    // a reference that can be pulled again
  std::string revision;  // a commit, a manifest's digest; may be empty
  std::string license;
  std::vector<RemoteFile> files;  // weights in the order of their parts
};

}  // namespace corral::models
