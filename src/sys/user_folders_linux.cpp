#include <cstdlib>

#include "sys/files.hpp"

namespace corral::sys {
namespace {

// The XDG Base Directory Specification says that relative values must be ignored.
Path absolute_from_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || value[0] != '/') return {};
  return value;
}

}  // namespace

Result<UserFolders> user_folders() {
  Path home = absolute_from_environment("HOME");
  auto folder = [&](const char* variable, const char* below_home) {
    Path base = absolute_from_environment(variable);
    if (base.empty() && !home.empty()) base = home / below_home;
    return base.empty() ? base : base / "corral";
  };
  UserFolders folders{.cache = folder("XDG_CACHE_HOME", ".cache"),
                      .data = folder("XDG_DATA_HOME", ".local/share"),
                      .config = folder("XDG_CONFIG_HOME", ".config")};
  if (folders.cache.empty() || folders.data.empty() || folders.config.empty())
    return fail(ErrorCode::not_found, "HOME is not set to an absolute path")
        .hint("set HOME, or XDG_CACHE_HOME, XDG_DATA_HOME and XDG_CONFIG_HOME");
  return folders;
}

}  // namespace corral::sys
