// The words of `sources`, `info`, `recommend` and `sync`.
// Thread rule: free functions.
#pragma once

#include "cli/options.hpp"

namespace CLI {
class App;
}

namespace corral::cli {

void add_sources(CLI::App& app, Options& out);

}  // namespace corral::cli
