#include "cli/options.hpp"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "base/text.hpp"
#include "cli/bench_options.hpp"
#include "cli/container_options.hpp"
#include "cli/help_texts.hpp"
#include "cli/source_options.hpp"

namespace corral::cli {

namespace {

// CLI11's own checks print their limits as types into the help.
CLI::Validator number_between(double least, double most) {
  auto check = [least, most](std::string& text) -> std::string {
    double value = 0;
    if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most) return {};
    return fmt::format("\"{}\" is not a number from {} to {}", text, least, most);
  };
  return CLI::Validator(check, "");
}

std::string check_shell(std::string& text) {
  if (text == "bash" || text == "zsh" || text == "fish") return {};
  return fmt::format("\"{}\" is none of bash, zsh, fish", text);
}

void add_config_options(CLI::App& command, Options& out) {
  command.add_option("--config", out.serve.config_file, "Configuration file (YAML or JSON)")
      ->type_name("FILE");
  command.add_option("--set", out.serve.overrides, "Set one property, over the file (repeatable)")
      ->type_name("PATH=VALUE")
      ->expected(1)
      ->take_all();
}

void add_serve(CLI::App& app, Options& out) {
  CLI::App* serve = app.add_subcommand("serve", "Start the server");
  serve
      ->add_option("--listen", out.serve.listen,
                   "Address to listen on; port 0 is any free one (repeatable)")
      ->type_name("HOST:PORT")
      ->expected(1)
      ->take_all();
  serve->add_option("--data-dir", out.serve.data_dir, "Folder for what the server keeps")
      ->type_name("DIR");
  serve->add_option("--models", out.serve.models, "Folder of model files (GGUF)")->type_name("DIR");
  add_config_options(*serve, out);
  serve->footer(kServeFooter);
}

void add_model(CLI::App& command, Options& out) {
  command.add_option("model", out.model, "Name of the model, as `corral list` shows it")
      ->type_name("MODEL")
      ->required();
}

void add_run(CLI::App& app, Options& out) {
  CLI::App* run = app.add_subcommand("run", "Ask a model once, or talk with it");
  add_model(*run, out);
  run->add_option("prompt", out.prompt, "What to ask; without it a talk begins")
      ->type_name("PROMPT");
  run->add_option("--system", out.system, "System message")->type_name("TEXT");
  run->add_option("--temperature", out.temperature, "0 is the most likely answer")
      ->type_name("X")
      ->check(number_between(0, 100));
  run->add_option("--max-tokens", out.max_tokens, "Longest answer")
      ->type_name("N")
      ->check(number_between(1, 1 << 30));
  run->add_option("--seed", out.seed, "Same seed, same answer")->type_name("N");
  run->footer(kRunFooter);
}

void add_config(CLI::App& app, Options& out) {
  CLI::App* config = app.add_subcommand("config", "Check, explain and print the configuration");
  config->require_subcommand(1);
  config->fallthrough();
  config->footer(kConfigFooter);
  CLI::App* check = config->add_subcommand("check", "Say every problem with its file and line");
  config->add_subcommand("schema", "Print the JSON Schema of the configuration file");
  config->add_subcommand("docs", "Print the reference of all properties (Markdown)");
  config->add_subcommand("example", "Print a commented example file (YAML)");
  CLI::App* print = config->add_subcommand("export", "Print the effective configuration (YAML)");
  CLI::App* get = config->add_subcommand("get", "Print one effective value, or a whole section");
  get->add_option("path", out.setting, "As server.listen; without it everything")
      ->type_name("PATH");
  for (CLI::App* command : {check, print, get}) add_config_options(*command, out);
}

CLI::App* add_group(CLI::App& app, const char* name, const char* description, const char* footer) {
  CLI::App* group = app.add_subcommand(name, description);
  group->require_subcommand(0, 1);
  group->fallthrough();
  group->footer(footer);
  return group;
}

// `kind` is what completion offers: see `takes_of`.
void add_name(CLI::App& command, Options& out, const char* kind, const char* description) {
  command.add_option("name", out.name, description)->type_name(kind)->required();
}

void add_add(CLI::App& group, Options& out, const char* description) {
  CLI::App* add = group.add_subcommand("add", description);
  add->add_option("file", out.file, "YAML or JSON; - is standard input")
      ->type_name("FILE")
      ->required();
  add->add_flag("--replace", out.replace, "Take the place of the one of that name");
}

void add_endpoints(CLI::App& app, Options& out) {
  CLI::App* group =
      add_group(app, "endpoints", "Show, add and remove the places that answer", kEndpointsFooter);
  add_name(*group->add_subcommand("show", "Show one endpoint in full"), out, "ENDPOINT",
           "Its name");
  add_add(*group, out, "Add an endpoint");
  add_name(*group->add_subcommand("remove", "Remove an endpoint that was added"), out, "ENDPOINT",
           "Its name");
  CLI::App* open = group->add_subcommand("open", "Open circuit breakers by hand: no requests");
  CLI::App* close = group->add_subcommand("close", "Close them: let requests through again");
  for (CLI::App* command : {open, close}) {
    add_name(*command, out, "ENDPOINT", "Its name");
    command->add_option("--model", out.model, "Only this model of the endpoint, by its name there")
        ->type_name("MODEL");
  }
}

void add_routes(CLI::App& app, Options& out) {
  CLI::App* group =
      add_group(app, "routes", "Show, explain, add and remove public names", kRoutesFooter);
  add_name(*group->add_subcommand("show", "Show one route in full"), out, "ROUTE", "Its name");
  add_name(*group->add_subcommand("explain", "Say who answers to a name now, and why"), out, "NAME",
           "What a client would ask for");
  add_add(*group, out, "Add a route");
  add_name(*group->add_subcommand("remove", "Remove a route that was added"), out, "ROUTE",
           "Its name");
}

void add_version(CLI::App& command, Options& out, const char* description) {
  command.add_option("--version", out.version, description)
      ->type_name("N")
      ->check(number_between(1, 1e15));
}

// The commands for models in the catalog.
void add_catalog(CLI::App& app, Options& out) {
  CLI::App* copy = app.add_subcommand("cp", "Give a model a second name");
  CLI::App* tag = app.add_subcommand("tag", "Lead a name, new or not, to the version of a model");
  for (CLI::App* command : {copy, tag}) {
    add_model(*command, out);
    command->add_option("name", out.name, "The other name")->type_name("NEW")->required();
  }
  add_version(*tag, out, "That version, not the present one");
  CLI::App* remove = app.add_subcommand("rm", "Remove a model from the catalog");
  add_model(*remove, out);
  add_version(*remove, out, "Only this former version");
  CLI::App* rollback = app.add_subcommand("rollback", "Go back to a former version of a model");
  add_model(*rollback, out);
  add_version(*rollback, out, "That version, not the one before");
  CLI::App* verify = app.add_subcommand("verify", "Read models whole and compare their checksums");
  verify->add_option("model", out.model, "Name of the model; without it all are checked")
      ->type_name("MODEL");
  for (CLI::App* command : {copy, tag, remove, rollback, verify}) command->footer(kCatalogFooter);
}

void add_pull(CLI::App& app, Options& out) {
  CLI::App* pull = app.add_subcommand("pull", "Fetch a model from its source");
  pull->add_option("reference", out.model, "Where it is; see the examples")
      ->type_name("REFERENCE")
      ->required();
  pull->add_option("--name", out.name, "Its name here, if not as its source calls it")
      ->type_name("NAME");
  pull->add_flag("--dry-run", out.dry_run, "Say what would be fetched, and fetch nothing");
  pull->add_flag("--detach", out.detach, "Begin, and do not wait for the end");
  pull->footer(kPullFooter);
  CLI::App* search = app.add_subcommand("search", "Look for models at the sources");
  search->add_option("words", out.prompt, "Words of the name")->type_name("WORDS")->required();
}

void add_operations(CLI::App& app, Options& out) {
  CLI::App* group = add_group(app, "operations", "Show, pause, resume and cancel work under way",
                              kOperationsFooter);
  add_name(*group->add_subcommand("watch", "Follow one to its end"), out, "ID", "Its id");
  add_name(*group->add_subcommand("pause", "Stop a pull for now"), out, "ID", "Its id");
  add_name(*group->add_subcommand("resume", "Go on with a paused or failed pull"), out, "ID",
           "Its id");
  add_name(*group->add_subcommand("cancel", "End a benchmark, or a pull and what it fetched"), out,
           "ID", "Its id");
}

void add_others(CLI::App& app, Options& out) {
  CLI::App* list = app.add_subcommand("list", "Show the models (also: ls)")->alias("ls");
  list->add_option("--search", out.search, "Only those whose name holds this text")
      ->type_name("TEXT");
  app.add_subcommand("ps", "Show the engines that run now");
  app.add_subcommand("scaling", "Show which models have several engines, and what changed that");
  CLI::App* show = app.add_subcommand("show", "Show one model in full");
  add_model(*show, out);
  show->add_flag("--plan", out.plan, "How it would be started on this machine, and why");
  CLI::App* load = app.add_subcommand("load", "Load a model, and wait until it is ready");
  add_model(*load, out);
  load->add_flag("--detach", out.detach, "Begin, and do not wait for the end");
  load->footer(kLoadFooter);
  add_model(*app.add_subcommand("stop", "Unload a model"), out);
  app.add_subcommand("version", "Print the version");
  CLI::App* completion = app.add_subcommand("completion", "Print a shell completion script");
  completion->add_option("shell", out.word, "bash, zsh or fish")
      ->type_name("SHELL")
      ->required()
      ->check(CLI::Validator(&check_shell, ""));
  completion->footer(kCompletionFooter);
  CLI::App* complete = app.add_subcommand("__complete", "");
  complete->group("");  // hidden: the completion scripts call it
  complete->add_option("kind", out.word)->required();
}

std::unique_ptr<CLI::App> build(Options& out) {
  auto app = std::make_unique<CLI::App>("Corral serves AI models over the APIs that clients speak.",
                                        "corral");
  app->require_subcommand(1);
  app->get_formatter()->column_width(28);
  app->add_option("--server", out.server, "Address of the server")->type_name("URL");
  app->add_option("--api-key-file", out.api_key_file, "File that holds the API key")
      ->type_name("FILE");
  app->add_flag("--json", out.json, "Print JSON for programs");
  app->add_flag("--no-color", out.no_color, "No colours");
  app->set_version_flag("--version", std::string());
  app->footer(kFooter);
  add_serve(*app, out);
  add_run(*app, out);
  add_others(*app, out);
  add_catalog(*app, out);
  add_pull(*app, out);
  add_bench(*app, out);
  add_operations(*app, out);
  add_endpoints(*app, out);
  add_sources(*app, out);
  add_routes(*app, out);
  add_container_options(*app, out);
  add_config(*app, out);
  for (CLI::App* command : app->get_subcommands(nullptr)) command->fallthrough();
  return app;
}

CLI::App* find_command(CLI::App& app, const std::string& name) {
  for (CLI::App* child : app.get_subcommands(nullptr)) {
    if (child->check_name(name)) return child;
  }
  return nullptr;
}

std::vector<std::string> names_of(CLI::App& app) {
  std::vector<std::string> names;
  for (CLI::App* child : app.get_subcommands(nullptr)) {
    if (!child->get_group().empty()) names.push_back(child->get_name());
  }
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* at = &app; at != nullptr; at = at->get_parent()) {
    for (const CLI::Option* option : at->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::string path_of(const CLI::App& app) {
  if (app.get_parent() == nullptr) return app.get_name();
  return path_of(*app.get_parent()) + " " + app.get_name();
}

// The innermost command that was given.
CLI::App& chosen(CLI::App& app) {
  auto given = app.get_subcommands();
  return given.empty() ? app : chosen(*given.front());
}

std::string suggestion(std::string_view wrong, const std::vector<std::string>& names,
                       const CLI::App& where) {
  auto close = nearest(wrong, names, 1);
  std::string help = fmt::format("see: {} --help", path_of(where));
  return close.empty() ? help : fmt::format("did you mean \"{}\"? Or {}", close[0], help);
}

Failure usage_failure(CLI::App& app, const CLI::ParseError& error) {
  CLI::App& where = chosen(app);
  auto left = app.remaining(true);
  if (!left.empty()) {
    const std::string& wrong = left.front();
    if (wrong.starts_with('-')) {
      std::string name = wrong.substr(0, wrong.find('='));
      return {ExitCode::usage, fmt::format("\"{}\" has no option {}", path_of(where), name),
              suggestion(name, option_names(where), where)};
    }
    auto commands = names_of(where);
    if (!commands.empty()) {
      return {ExitCode::usage, fmt::format("\"{}\" has no command \"{}\"", path_of(where), wrong),
              suggestion(wrong, commands, where)};
    }
    return {ExitCode::usage,
            fmt::format("\"{}\" takes no further word \"{}\"", path_of(where), wrong),
            suggestion({}, {}, where)};
  }
  std::string message = error.what();
  for (char& c : message) {
    if (c == '\n') c = ' ';
  }
  return {ExitCode::usage, fmt::format("{}: {}", path_of(where), message),
          suggestion({}, {}, where)};
}

// CLI11 says only "a subcommand is required" when the first word is not one; look at it ourselves.
std::optional<Failure> wrong_command(CLI::App& app, const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--server" || words[i] == "--api-key-file") {
      ++i;
    } else if (!words[i].starts_with('-')) {
      if (find_command(app, words[i]) != nullptr) return std::nullopt;
      return Failure{ExitCode::usage, fmt::format("there is no command \"{}\"", words[i]),
                     suggestion(words[i], names_of(app), app)};
    }
  }
  return std::nullopt;
}

void apply_environment(Options& out, const Environment& environment) {
  if (out.server.empty()) out.server = environment("CORRAL_SERVER").value_or("");
  if (out.server.empty()) out.server = kDefaultServer;
  if (!environment("NO_COLOR").value_or("").empty()) out.no_color = true;
  if (environment("TERM").value_or("") == "dumb") out.no_color = true;
}

std::string command_of(CLI::App& app) {
  std::string name;
  for (CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    name += (name.empty() ? "" : " ") + at->get_name();
  }
  return name;
}

// What a command's first word is a name of.
std::string takes_of(const CLI::Option& positional) {
  const std::string& type = positional.get_type_name();
  if (type == "MODEL") return "models";
  if (type == "ENDPOINT") return "endpoints";
  if (type == "ROUTE") return "routes";
  if (type == "CONTAINER") return "containers";
  if (type == "SOURCE") return "sources";
  if (type == "REFERENCE") return "references";
  if (type == "NAME") return "names";
  return type == "FILE" ? "files" : "";
}

CommandInfo describe(CLI::App& app) {
  CommandInfo info{.name = app.get_name(), .description = app.get_description()};
  info.acts = app.get_require_subcommand_min() == 0;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() && info.takes.empty()) info.takes = takes_of(*option);
    if (option->get_lnames().empty()) continue;
    std::string value = option->get_expected_max() == 0 ? "" : option->get_type_name();
    info.options.push_back({"--" + option->get_lnames()[0], option->get_description(), value});
  }
  if (info.name == "run") info.takes = "names";  // whatever the server answers to: routes too
  if (info.name == "completion") info.choices = {"bash", "zsh", "fish"};
  for (CLI::App* child : app.get_subcommands(nullptr)) {
    if (!child->get_group().empty()) info.children.push_back(describe(*child));
  }
  return info;
}

}  // namespace

std::variant<Options, HelpText, Failure> parse_options(const std::vector<std::string>& words,
                                                       const Environment& environment) {
  Options out;
  auto app = build(out);
  std::vector<std::string> arguments = words;
  if (!arguments.empty() && arguments[0] == "help") {
    arguments.erase(arguments.begin());
    arguments.push_back("--help");
  }
  if (auto wrong = wrong_command(*app, arguments)) return std::move(*wrong);
  if (arguments.empty())
    return Failure{ExitCode::usage, "no command was given", "see: corral --help"};
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app->parse(arguments);
  } catch (const CLI::CallForHelp&) {
    CLI::App& where = chosen(*app);
    return HelpText{where.help(where.get_parent() == nullptr ? "" : path_of(*where.get_parent()))};
  } catch (const CLI::CallForVersion&) {
    out.command = "version";
    return out;
  } catch (const CLI::ParseError& error) {
    return usage_failure(*app, error);
  }
  out.command = command_of(*app);
  apply_environment(out, environment);
  return out;
}

CommandInfo command_tree() {
  Options unused;
  auto app = build(unused);
  return describe(*app);
}

}  // namespace corral::cli
