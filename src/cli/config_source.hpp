// Which configuration a command line means: its file, the environment and what was given as
// options. `corral serve` and the `config` commands use the same, so that `config check` tells the
// truth. Thread rule: blocks on files.
#pragma once

#include <map>
#include <string>

#include "base/error.hpp"
#include "cli/cli.hpp"
#include "config/config.hpp"
#include "sys/files.hpp"

namespace corral::cli {

// The file is --config, else corral.yaml in the user's configuration folder if there is one (then
// `text` may be empty and `file_name` tells where it was looked for). not_found when the file of
// --config is missing; invalid_argument when an override is not path=value.
Result<config::Sources> config_sources(const ServeOptions& options, sys::Files& files,
                                       std::map<std::string, std::string> environment);

}  // namespace corral::cli
