// The words of `corral bench`. Thread rule: free function.
#pragma once

#include "cli/options.hpp"

namespace CLI {
class App;
}

namespace corral::cli {

void add_bench(CLI::App& app, Options& out);

}  // namespace corral::cli
