// The pure and the disk half of finding models in a folder: which files there are, which of them
// belong together, and what they are called. Not for use outside this module.
//
// Thread rule: as the files'.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "models/model_list.hpp"
#include "sys/files.hpp"

namespace corral::models {

// A file whose name ends in .gguf.
struct FoundFile {
  FileIdentity identity;
  std::string folder;  // below the root: "" or "chat/" or "a/b/"
  std::string name;    // "Llama-3.2-1B-Q4_K_M.gguf"
};

// Everything below `root`, sorted by folder and name. What cannot be read is told in `warnings`.
Result<std::vector<FoundFile>> walk_models(sys::Files& files, const sys::Path& root,
                                           std::vector<std::string>& warnings);

// "mmproj-model-f16.gguf" and the like.
bool is_projector_name(std::string_view file_name);

// "Qwen2-VL-2B-Q4_K_M" -> "qwen2-vl-2b": what a model and its projector have in common.
std::string family_of(std::string_view stem);

// Models without metadata, with their files; incomplete sets carry their problem. Names are as the
// files say and may collide.
std::vector<ModelEntry> group_models(const std::vector<FoundFile>& found);

// Gives every projector among `found` to the models it fits; tells of those that fit none.
void attach_projectors(const std::vector<FoundFile>& found, std::vector<ModelEntry>& entries,
                       std::vector<std::string>& warnings);

// Where two entries have one name, the later becomes "name-2", and a warning says so.
void make_names_unique(std::vector<ModelEntry>& entries, std::vector<std::string>& warnings);

}  // namespace corral::models
