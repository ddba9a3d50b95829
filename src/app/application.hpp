// The composition root: makes every part, wires them, runs until a signal, takes them down in
// order.
//
// Start: settings -> logs -> shards -> scheduler (models) -> listeners -> ready.
// Stop (SIGTERM, SIGINT): stop accepting -> let requests finish up to the grace time -> stop
// engines
// -> end. A second signal ends at once; engines follow, since each dies with its parent.
// SIGHUP: read the configuration again; the old one stays if the new one is wrong.
#pragma once

#include "cli/cli.hpp"

namespace corral::app {

// Runs the server; returns the exit code.
int serve(const cli::ServeOptions& options);

extern const char* const kVersion;

}  // namespace corral::app
