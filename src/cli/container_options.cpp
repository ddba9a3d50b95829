#include "cli/container_options.hpp"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "base/text.hpp"

namespace corral::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  corral containers
  corral containers logs ollama-qwen --tail 50
  corral containers pull ollama-qwen        the image anew; rm and start take it
  corral containers restart ollama-qwen
  corral containers rm ollama-qwen          it is made anew by start, or by the next start of Corral

docker.containers in the configuration says which there are.
)";

// CLI11's own checks print their limits as types into the help.
std::string check_lines(std::string& text) {
  auto lines = parse_int(text);
  if (lines && *lines >= 1 && *lines <= 2000) return {};
  return fmt::format("\"{}\" is not a number from 1 to 2000", text);
}

}  // namespace

void add_container_options(CLI::App& app, Options& out) {
  CLI::App* group = app.add_subcommand("containers", "Show and control engines in containers");
  group->require_subcommand(0, 1);
  group->fallthrough();
  group->footer(kFooter);
  group->add_subcommand("list", "Show them all");
  auto add = [&](const char* name, const char* description) {
    CLI::App* command = group->add_subcommand(name, description);
    command->add_option("name", out.name, "Its name")->type_name("CONTAINER")->required();
    return command;
  };
  add("start", "Make it run, and wait until it answers");
  add("stop", "Stop it; it stays stopped until it is started");
  add("restart", "Stop it and start it again");
  add("rm", "Stop and remove it");
  add("pull", "Pull its image anew");
  CLI::App* logs = add("logs", "Print the last lines that it wrote");
  logs->add_option("--tail", out.tail, "How many lines (200)")
      ->type_name("N")
      ->check(CLI::Validator(&check_lines, ""));
}

}  // namespace corral::cli
