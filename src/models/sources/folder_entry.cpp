#include "models/sources/folder_entry.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "models/web.hpp"

namespace corral::models {
namespace {

constexpr std::uint64_t kLongestToken = 8 * 1024;
constexpr std::string_view kTokenFile = "token_file=";

bool is_folder_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

}  // namespace

Result<FolderEntry> parse_folder_entry(std::string_view text) {
  FolderEntry entry;
  auto equals = std::min(text.find('='), text.size());
  entry.name = trim(text.substr(0, equals));
  if (equals == text.size() || !is_folder_name(entry.name)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("'{}' in sources.folders is not NAME=URL", text))
        .hint("as in lab=https://models.example.org/gguf; the name is of letters and digits");
  }
  std::string_view rest = trim(text.substr(equals + 1));
  auto space = rest.find(' ');
  CORRAL_TRY(auto url, split_url(rest.substr(0, space)));
  entry.url = url.origin + url.path;
  while (entry.url.ends_with('/')) entry.url.pop_back();
  if (space == std::string_view::npos) return entry;
  std::string_view more = trim(rest.substr(space));
  entry.token_file = more.starts_with(kTokenFile) ? more.substr(kTokenFile.size()) : "";
  if (!entry.token_file.starts_with('/')) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("what follows the address of '{}' in sources.folders is not token_file="
                            "/PATH",
                            entry.name))
        .hint(
            "it names the file that holds the token, from the root on; the token itself does not "
            "belong there");
  }
  return entry;
}

Result<std::string> read_token(sys::Files& files, const FolderEntry& entry) {
  if (entry.token_file.empty()) return std::string();
  auto text = files.read(entry.token_file, kLongestToken);
  if (!text) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the token of '{}' in sources.folders cannot be read", entry.name))
        .because(text.error().message)
        .hint(fmt::format("put it into {}, readable by Corral", entry.token_file));
  }
  std::string token(trim(*text));
  bool plain = !token.empty() && std::ranges::all_of(token, [](char c) {
    return static_cast<unsigned char>(c) > ' ' && static_cast<unsigned char>(c) < 0x7f;
  });
  if (plain) return token;
  return fail(ErrorCode::invalid_argument, fmt::format("{} holds no token", entry.token_file))
      .hint("one line with the token alone: for another Corral, its server.api_key");
}

}  // namespace corral::models
