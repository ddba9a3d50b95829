#include "models/sources/source.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/stable_sort.hpp"
#include "base/text.hpp"
#include "models/blob_files.hpp"

namespace corral::models {
namespace {

constexpr std::size_t kLongestName = 255;

}  // namespace

net::Task<Result<RemoteListing>> Source::all() {
  co_return fail(ErrorCode::unsupported,
                 fmt::format("{} has too many models to fetch all", label()))
      .hint("only a folder of sources.folders, or another Corral there, can be synced");
}

void sort_by_role(std::vector<RemoteFile>& files) { sort_stably(files, {}, &RemoteFile::role); }

Result<void> check_file_name(std::string_view name) {
  bool plain = !name.empty() && name.size() <= kLongestName && name.front() != '.' &&
               is_utf8(name) && std::ranges::none_of(name, [](char c) {
                 return static_cast<unsigned char>(c) < ' ' || c == 0x7f || c == '/' || c == '\\';
               });
  if (plain) return {};
  return fail(ErrorCode::upstream, "the source names a file in a way that is no file's name")
      .hint("nothing was fetched; the source is damaged or hostile");
}

Result<void> check_file_path(std::string_view path) {
  for (auto segment : split(path, '/')) CORRAL_CHECK(check_file_name(segment));
  return {};
}

std::string_view file_part(std::string_view path) {
  auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string digest_of_hex(std::string_view hex) {
  if (hex.starts_with("sha256:")) hex.remove_prefix(7);
  std::string digest = "sha256:" + to_lower(hex);
  return is_digest(digest) ? digest : std::string();
}

}  // namespace corral::models
