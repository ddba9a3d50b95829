// One entry of sources.folders: "NAME=URL", or "NAME=URL token_file=PATH" where the folder wants a
// token. The token itself stands in that file, so that no setting, argument or export holds it.
//
// Thread rule: pure, but `read_token`, which blocks for a small file.
// Example:
//   CORRAL_TRY(auto entry, parse_folder_entry("lab=https://lab.example:8585 token_file=/run/lab"));
//   CORRAL_TRY(auto token, read_token(files, entry));
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::models {

struct FolderEntry {
  std::string name;
  std::string url;         // without a slash at its end
  std::string token_file;  // empty: no token is needed
};

// invalid_argument: not of that form.
Result<FolderEntry> parse_folder_entry(std::string_view text);

// Empty where the entry names no file. The error never shows what is in the file.
Result<std::string> read_token(sys::Files& files, const FolderEntry& entry);

}  // namespace corral::models
