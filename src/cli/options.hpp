// From the words of the command line to plain values. Only this and the *_options.cpp files know
// CLI11.
// Thread rule: free functions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/cli.hpp"
#include "cli/outcome.hpp"

namespace corral::cli {

// How an environment variable is read; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

inline constexpr std::string_view kDefaultServer = "http://127.0.0.1:8585";

// Of `bench`; what was not said is the server's to choose.
struct BenchWords {
  std::string prompts, concurrency;  // numbers with commas
  std::optional<unsigned> tokens, repeats;
  std::string budget;
  bool embeddings = false;
  bool tune = false;
  bool smaller_cache = false;
  bool last = false;
  bool forget = false;
};

struct Options {
  std::string command;  // "serve", "list", "config check", ...
  // Of all commands.
  std::string server;  // --server, CORRAL_SERVER, or the default
  std::string api_key_file;
  bool json = false;
  bool no_color = false;  // --no-color, NO_COLOR, or TERM=dumb
  // Of single commands.
  std::string model;
  std::vector<std::string> prompt;
  std::string system;
  std::optional<double> temperature;
  std::optional<std::int64_t> max_tokens;
  std::optional<std::int64_t> seed;
  std::string from;          // recommend --from
  bool remove_gone = false;  // sync --delete
  ServeOptions serve;        // its config_file and overrides serve the config commands too
  std::string setting;       // config get PATH
  std::string word;          // completion SHELL, __complete KIND
  std::string name;          // of an endpoint, a route, or what a client asks for
  std::string file;          // endpoints add, routes add: "-" is standard input
  bool replace = false;
  bool dry_run = false;  // pull --dry-run
  bool detach = false;   // pull --detach
  bool plan = false;     // show --plan
  BenchWords bench;
  std::string search;                   // list --search
  std::optional<std::int64_t> tail;     // containers logs --tail
  std::optional<std::int64_t> version;  // rm, tag, rollback --version
};

struct HelpText {
  std::string text;
};

// The command line without the program's name. A wrong command or option is a `usage` failure
// whose hint names the nearest right one.
std::variant<Options, HelpText, Failure> parse_options(const std::vector<std::string>& words,
                                                       const Environment& environment);

// All commands with their options, for the completion scripts.
struct OptionInfo {
  std::string name;  // "--listen"
  std::string description;
  std::string value;  // "FILE", "DIR", "URL"; empty for a flag
};
struct CommandInfo {
  std::string name;
  std::string description;
  std::vector<OptionInfo> options;
  std::vector<CommandInfo> children;
  std::vector<std::string> choices;  // words it takes: bash, zsh, fish
  std::string takes;  // what its first word is a name of, as `__complete` knows it: "models"
  bool acts = true;   // false: only the commands below it do something
};
CommandInfo command_tree();

}  // namespace corral::cli
