#include "cli/dispatch.hpp"

#include <fmt/core.h>

#include "base/json.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"

namespace corral::cli {

namespace {

constexpr std::uint64_t kMostKeyBytes = 64 * 1024;

// From --api-key-file, else CORRAL_API_KEY. A key must fit into one header field.
Outcome<std::string> api_key(const Options& options, Surroundings& around) {
  std::string key;
  if (!options.api_key_file.empty()) {
    auto text = around.files.read(options.api_key_file, kMostKeyBytes);
    if (!text) return failure(std::move(text.error()));
    key = trim(*text);
    if (key.empty()) {
      return failure(ExitCode::failed, fmt::format("{} holds no key", options.api_key_file));
    }
  } else {
    key = trim(around.environment("CORRAL_API_KEY").value_or(""));
  }
  for (char c : key) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7F) {
      return failure(ExitCode::failed, "the API key holds spaces or control characters",
                     "the key alone belongs into --api-key-file or CORRAL_API_KEY");
    }
  }
  return key;
}

bool is_local(std::string_view url) {
  for (std::string_view start : {"https://", "unix:", "http://127.", "http://localhost",
                                 "http://[::1]", "127.", "localhost", "[::1]"}) {
    if (url.starts_with(start)) return true;
  }
  return false;
}

Outcome<void> run_with_server(const Options& options, Context& context, Surroundings& around) {
  if (options.command == "list") return list_models(context, options);
  if (options.command == "ps") return list_instances(context, options);
  if (options.command == "scaling") return show_scaling(context, options);
  if (options.command == "show") return show_model(context, options);
  if (options.command == "load") return load_model(context, options);
  if (options.command == "stop") return stop_model(context, options);
  if (is_catalog_command(options.command)) return catalog_command(context, options);
  if (options.command == "bench") return bench_model(context, options);
  if (options.command == "pull") return pull_model(context, options);
  if (options.command == "search") return search_models(context, options);
  if (is_source_command(options.command)) return source_command(context, options);
  if (options.command.starts_with("operations")) return operations_command(context, options);
  if (options.command.starts_with("containers")) return containers_command(context, options);
  if (options.command.starts_with("endpoints") || options.command.starts_with("routes")) {
    return gateway_command(context, options);
  }
  return run_model(context, options, [&around]() -> std::unique_ptr<LineReader> {
    auto folders = sys::user_folders();
    // Without a home there is no history, and talking still works.
    sys::Path history = folders ? folders->data / "history" : sys::Path();
    return around.reader(around.files, history);
  });
}

Outcome<void> talk_to_server(const Options& options, Surroundings& around) {
  CORRAL_TRY(std::string key, api_key(options, around));
  if (!key.empty() && !is_local(options.server)) {
    around.console.err("warning: the API key goes to " + safe_line(options.server) +
                       " unencrypted; use https://\n");
  }
  CORRAL_TRY(auto wire, around.connect({options.server, std::move(key)}));
  ServerApi api(*wire);
  bool out_colors = !options.no_color && around.console.out_is_terminal();
  bool err_colors = !options.no_color && around.console.err_is_terminal();
  Context context{around.console,    api,         around.clock, Paint(out_colors),
                  Paint(err_colors), around.files};
  if (options.command == "__complete") {
    complete_names(context, options.word);
    return {};
  }
  return run_with_server(options, context, around);
}

void print_version(const Options& options, const Hooks& hooks, Console& console) {
  if (options.json) {
    console.out(fmt::format("{{\"version\":{}}}\n", corral::json::quoted(hooks.version)));
  } else {
    console.out(fmt::format("corral {}\n", hooks.version));
  }
}

Outcome<void> run_command(const Options& options, const Hooks& hooks, Surroundings& around) {
  if (options.command == "version") {
    print_version(options, hooks, around.console);
    return {};
  }
  if (options.command == "completion") {
    around.console.out(completion_script(options.word, command_tree()));
    return {};
  }
  if (options.command.starts_with("config ")) {
    ConfigContext context{around.console, around.files, around.all_environment()};
    return config_command(context, options);
  }
  return talk_to_server(options, around);
}

}  // namespace

int dispatch(const std::vector<std::string>& words, const Hooks& hooks, Surroundings& around) {
  auto parsed = parse_options(words, around.environment);
  if (auto* help = std::get_if<HelpText>(&parsed)) {
    around.console.out(help->text);
    return around.console.broken() ? static_cast<int>(ExitCode::failed) : 0;
  }
  bool colors = around.console.err_is_terminal() &&
                around.environment("NO_COLOR").value_or("").empty() &&
                around.environment("TERM").value_or("") != "dumb";
  if (auto* wrong = std::get_if<Failure>(&parsed)) {
    print_failure(around.console, Paint(colors), *wrong);
    return static_cast<int>(wrong->exit);
  }
  const Options& options = std::get<Options>(parsed);
  if (options.command == "serve") return hooks.serve(options.serve);
  auto done = run_command(options, hooks, around);
  if (done && around.console.broken()) {
    done = failure(ExitCode::failed, "standard output could not be written");
  }
  if (done) return 0;
  print_failure(around.console, Paint(colors && !options.no_color), done.error());
  return static_cast<int>(done.error().exit);
}

}  // namespace corral::cli
