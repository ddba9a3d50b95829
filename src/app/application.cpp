#include "app/application.hpp"

#include <fmt/core.h>
#include <csignal>

#include "app/server.hpp"
#include "base/bug.hpp"
#include "cli/config_source.hpp"
#include "sys/host.hpp"

namespace corral::app {
namespace {

int complain(const Error& error) {
  fmt::print(stderr, "error: {}\n", error.message);
  if (!error.hint_text.empty()) fmt::print(stderr, "hint: {}\n", error.hint_text);
  return 1;
}

Result<std::shared_ptr<const config::Settings>> read_settings(const cli::ServeOptions& options,
                                                              sys::Files& files) {
  CORRAL_TRY(auto sources, cli::config_sources(options, files, sys::environment_without({})));
  CORRAL_TRY(auto loaded, config::load(sources));
  for (const auto& warning : loaded.warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (loaded.settings.data_dir.empty()) {
    CORRAL_TRY(auto folders, sys::user_folders());
    loaded.settings.data_dir = folders.data.string();
  }
  CORRAL_CHECK(files.make_directories(loaded.settings.data_dir, 0700));
  return std::make_shared<const config::Settings>(std::move(loaded.settings));
}

Result<std::shared_ptr<telemetry::SpdlogSink>> open_log(const config::LogSettings& settings) {
  telemetry::LogOptions options;
  CORRAL_TRY(options.level, telemetry::parse_log_level(settings.level));
  options.format =
      settings.format == "json" ? telemetry::LogFormat::json : telemetry::LogFormat::text;
  options.file = settings.file;
  options.rotate_bytes = settings.rotate_bytes;
  options.rotate_files = settings.rotate_files;
  options.colour = settings.file.empty() && sys::is_terminal(2);
  return telemetry::SpdlogSink::open(options);
}

constexpr std::uint64_t kOpenFiles =
    65'536;  // room from the start; half a megabyte of the kernel's

}  // namespace

const char* const kVersion = CORRAL_VERSION;

int serve(const cli::ServeOptions& options) {
  auto begun = std::chrono::steady_clock::now();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file past its limit is an error, not the end
  sys::tune_allocator();
  sys::raise_open_file_limit();
  sys::reserve_open_files(kOpenFiles);
  auto files = sys::real_files();
  auto settings = read_settings(options, *files);
  if (!settings) return complain(settings.error());
  auto sink = open_log((*settings)->log);
  if (!sink) return complain(sink.error());
  sys::RealClock clock;
  auto store = open_store(**settings, *files, clock);
  if (!store) return complain(store.error());
  Server server(options, *settings, *sink, *files, std::move(*store), begun);
  auto listening = server.listen();
  if (!listening) return complain(listening.error());
  return server.run();
}

}  // namespace corral::app
