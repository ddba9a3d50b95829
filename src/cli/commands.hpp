// The commands, over what they need and nothing more. Each prints its result and returns the exit
// code; failures are printed by the caller.
// Thread rule: one thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cli/console.hpp"
#include "cli/display.hpp"
#include "cli/options.hpp"
#include "cli/outcome.hpp"
#include "cli/server_api.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace corral::cli {

struct Context {
  Console& console;
  ServerApi& api;
  const sys::Clock& clock;
  Paint out_paint;  // colours of standard output
  Paint err_paint;
  sys::Files& files;
};

Outcome<void> list_models(Context& context, const Options& options);
Outcome<void> list_instances(Context& context, const Options& options);
Outcome<void> show_scaling(Context& context, const Options& options);
std::string render_scaling(std::string_view body, sys::Wall now, const Paint& paint);
Outcome<void> show_model(Context& context, const Options& options);
// The plan in a model's description: how the model would be started, and why.
Outcome<void> show_plan(Context& context, const Options& options, std::string_view model);
Outcome<void> load_model(Context& context, const Options& options);
Outcome<void> stop_model(Context& context, const Options& options);

// `cp`, `tag`, `rm`, `rollback` and `verify`.
bool is_catalog_command(std::string_view command);
Outcome<void> catalog_command(Context& context, const Options& options);

// A model's description, with its versions put in when it is in the catalog.
std::string with_versions(ServerApi& api, std::string body);

// `bench`; a model's description with what was found last put in, and the lines about that.
Outcome<void> bench_model(Context& context, const Options& options);
std::string with_benchmark(ServerApi& api, std::string body);
void add_benchmark(std::vector<std::pair<std::string, std::string>>& fields,
                   const boost::json::value& model, sys::Wall now);

// `endpoints`, `routes` and the commands below them.
Outcome<void> gateway_command(Context& context, const Options& options);

// Fetching models, work under way, and looking for models at the sources.
Outcome<void> pull_model(Context& context, const Options& options);
Outcome<void> operations_command(Context& context, const Options& options);
// Shows how an operation comes along until it ends or pauses: a bar on a terminal, else lines.
// `what` it is: "pull".
Outcome<boost::json::value> follow_operation(Context& context, const std::string& id,
                                             std::string_view what);
Outcome<void> search_models(Context& context, const Options& options);

// `sources`, `info`, `recommend` and `sync`.
bool is_source_command(std::string_view command);
Outcome<void> source_command(Context& context, const Options& options);

// `containers` and the commands below it.
Outcome<void> containers_command(Context& context, const Options& options);

// Names for the shell, one a line: "models", "endpoints", "containers", "routes", or "names" that
// clients can ask for. Only those that do no harm on a command line. Never fails.
void complete_names(Context& context, std::string_view kind);

// `reader` makes the line reader of a talk, when there is one.
using ReaderFactory = std::function<std::unique_ptr<LineReader>()>;
Outcome<void> run_model(Context& context, const Options& options, const ReaderFactory& reader);

// The `config` commands need no server.
struct ConfigContext {
  Console& console;
  sys::Files& files;
  std::map<std::string, std::string> environment;
};
Outcome<void> config_command(ConfigContext& context, const Options& options);

// The script for one shell, written from the table of commands.
std::string completion_script(std::string_view shell, const CommandInfo& root);

// JSON for programs: as the server sent it, with one line break at its end.
void print_json(Console& console, std::string_view body);

// "error: ..." and its hint on standard error, made safe.
void print_failure(Console& console, const Paint& paint, const Failure& failure);

// The renderings, for golden files.
std::string render_models(std::string_view body, sys::Wall now, const Paint& paint);
std::string render_instances(std::string_view body, sys::Wall now, const Paint& paint);
std::string render_model(std::string_view body, sys::Wall now, const Paint& paint);
std::string render_plan(std::string_view model, const Paint& paint);
std::string render_benchmark(std::string_view body, sys::Wall now, const Paint& paint);
std::string render_endpoints(std::string_view body, const Paint& paint);
std::string render_endpoint(std::string_view body, const Paint& paint);
std::string render_routes(std::string_view body, const Paint& paint);
std::string render_route(std::string_view body, const Paint& paint);
std::string render_explanation(std::string_view body, const Paint& paint);
std::string render_containers(std::string_view body, const Paint& paint);
std::string render_operations(std::string_view body, sys::Wall now, const Paint& paint);
std::string render_search(std::string_view body, const Paint& paint);
std::string render_sources(std::string_view body, const Paint& paint);
std::string render_info(std::string_view body, const Paint& paint);
std::string render_recommendations(std::string_view body, const Paint& paint);
std::string render_sync(std::string_view body, const Paint& paint);
std::string render_fetch_plan(std::string_view body, const Paint& paint);
inline constexpr std::string_view kToLineStart = "\r\x1b[K";            // and nothing on the line
std::string render_progress(const boost::json::value& operation);       // with a bar
std::string render_progress_line(const boost::json::value& operation);  // for a log

}  // namespace corral::cli
