#include "models/blob_files.hpp"

#include <algorithm>

namespace corral::models {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kFilePrefix = "sha256-";

bool is_sha256(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

bool is_digest(std::string_view text) {
  return text.starts_with(kPrefix) && is_sha256(text.substr(kPrefix.size()));
}

sys::Path BlobFolder::path_of(std::string_view digest) const {
  std::string name(kFilePrefix);
  name += digest.substr(std::min(digest.size(), kPrefix.size()));
  return folder_ / name;
}

Result<void> BlobFolder::remove(const std::string& digest) {
  if (!is_digest(digest)) return fail(ErrorCode::invalid_argument, "that is no digest");
  return files_.remove(path_of(digest));
}

Result<std::vector<std::string>> BlobFolder::list() const {
  std::vector<std::string> digests;
  auto listed = files_.list(folder_);
  if (!listed && listed.error().code == ErrorCode::not_found) return digests;
  if (!listed) return std::unexpected(std::move(listed).error());
  for (const sys::FileInfo& file : *listed) {
    std::string name = file.path.filename().string();
    if (!name.starts_with(kFilePrefix) || !is_sha256(std::string_view(name).substr(7))) continue;
    digests.push_back("sha256:" + name.substr(kFilePrefix.size()));
  }
  return digests;
}

}  // namespace corral::models
