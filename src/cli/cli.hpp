// The command line: `corral serve`, and the commands that talk to a running server.
//
// `app` calls `run` from main with what only it can provide; everything else is here.
// Thread rule: call once, from the main thread.
// Example:
//   int main(int argc, char** argv) {
//     return corral::cli::run(argc, argv, {.serve = start_server, .version = kVersion});
//   }
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace corral::cli {

// What `corral serve` was given; empty means "not given".
struct ServeOptions {
  std::vector<std::string> listen;  // HOST:PORT; port 0 is any free one
  std::string data_dir;
  std::string models;  // folder of model files
  std::string config_file;
  std::vector<std::string> overrides;  // path=value
};

struct Hooks {
  std::function<int(const ServeOptions&)> serve;  // returns the exit code
  std::string version;                            // "0.1.0"
};

// Runs the command of `argv` and returns the exit code of the program (see docs/cli.md). Does not
// throw.
int run(int argc, char** argv, const Hooks& hooks);

}  // namespace corral::cli
