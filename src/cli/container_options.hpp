// The words of `corral containers`, apart from the others for their number.
// Thread rule: free function.
#pragma once

#include "cli/options.hpp"

namespace CLI {
class App;
}

namespace corral::cli {

void add_container_options(CLI::App& app, Options& out);

}  // namespace corral::cli
