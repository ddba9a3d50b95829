#include "cli/config_source.hpp"

#include <fmt/core.h>

#include "base/text.hpp"

namespace corral::cli {

namespace {

constexpr std::uint64_t kMostBytes = 1u << 20;

Result<void> read_file(const ServeOptions& options, sys::Files& files, config::Sources& sources) {
  if (!options.config_file.empty()) {
    sources.file_name = options.config_file;
    auto text = files.read(options.config_file, kMostBytes);
    if (!text) {
      return fail(text.error().code, text.error().message)
          .hint("--config names the file; corral config example prints one to begin with");
    }
    sources.text = std::move(*text);
    return {};
  }
  auto folders = sys::user_folders();
  if (!folders) return {};  // without a home there is no file to look for
  sys::Path path = folders->config / "corral.yaml";
  sources.file_name = path.string();
  if (!files.stat(path)) return {};
  CORRAL_TRY(sources.text, files.read(path, kMostBytes));
  return {};
}

}  // namespace

Result<config::Sources> config_sources(const ServeOptions& options, sys::Files& files,
                                       std::map<std::string, std::string> environment) {
  config::Sources sources;
  sources.files = &files;
  sources.environment = std::move(environment);
  // These two are the client's, and near enough to properties to be taken for slips.
  sources.environment.erase("CORRAL_SERVER");
  sources.environment.erase("CORRAL_API_KEY");
  CORRAL_CHECK(read_file(options, files, sources));
  if (!options.listen.empty()) {
    sources.overrides.emplace_back("server.listen", join(options.listen, ","));
  }
  if (!options.data_dir.empty()) sources.overrides.emplace_back("data_dir", options.data_dir);
  if (!options.models.empty()) sources.overrides.emplace_back("models.directory", options.models);
  for (const std::string& each : options.overrides) {
    std::size_t equals = each.find('=');
    if (equals == std::string::npos || equals == 0) {
      // The words are not repeated: they may hold a secret.
      return fail(ErrorCode::invalid_argument, "--set needs path=value")
          .hint("for example --set log.level=debug; corral config docs lists the paths");
    }
    sources.overrides.emplace_back(each.substr(0, equals), each.substr(equals + 1));
  }
  return sources;
}

}  // namespace corral::cli
