#include "cli/cli.hpp"

#include <cstdlib>

#include "cli/dispatch.hpp"
#include "sys/process.hpp"

namespace corral::cli {

namespace {

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace

int run(int argc, char** argv, const Hooks& hooks) {
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  auto console = standard_console();
  auto files = sys::real_files();
  sys::RealClock clock;
  Surroundings around{.console = *console,
                      .files = *files,
                      .clock = clock,
                      .environment = environment_variable,
                      .all_environment = [] { return sys::environment_without({}); },
                      .connect = http_wire,
                      .reader = terminal_reader};
  return dispatch(words, hooks, around);
}

}  // namespace corral::cli
