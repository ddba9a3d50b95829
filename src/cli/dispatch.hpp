// From the command line to the command, over surroundings that tests replace.
// Thread rule: one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/cli.hpp"
#include "cli/console.hpp"
#include "cli/options.hpp"
#include "cli/server_api.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace corral::cli {

struct Surroundings {
  Console& console;
  sys::Files& files;
  const sys::Clock& clock;
  Environment environment;
  std::function<std::map<std::string, std::string>()> all_environment;
  std::function<Outcome<std::unique_ptr<ServerWire>>(const ServerAddress&)> connect;
  std::function<std::unique_ptr<LineReader>(sys::Files&, const sys::Path& history)> reader;
};

// The exit code of the program; `serve` returns what its hook returned.
int dispatch(const std::vector<std::string>& words, const Hooks& hooks, Surroundings& around);

}  // namespace corral::cli
