// corral: one program that serves AI models, guards them and looks after the machines they run on.
#include "app/application.hpp"
#include "cli/cli.hpp"

int main(int argc, char** argv) {
  return corral::cli::run(argc, argv, {corral::app::serve, corral::app::kVersion});
}
