// A backend that answers at once, so that what stands in front of it can be measured.
//
//   bench_upstream [--port N] [--threads N] [--tokens N] [--rate R] [--delay-ms N]
//                  [--close-streams] [--control-port N]
//
// POST /v1/chat/completions  a fixed answer of about 350 bytes; with "stream": true, --tokens
// tokens at
//                            --rate a second (0: all at once), the first after --delay-ms. Token i
//                            is
//                            "#i@t ", t being the monotonic time in ns at which it was sent, so
//                            that the reader can tell loss, reordering and delay.
// GET /v1/models /health /props
//
// The port is printed on the first line. With --control-port (0: any, printed on the second line)
// it misbehaves on demand and says what came: tests/harness/faults.json and faults.py. That needs
// one thread. Thread rule: each thread has its own listener and loop.
#include <fmt/core.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <thread>
#include <vector>

#include "common.hpp"
#include "upstream_loop.hpp"

int main(int argc, char** argv) {
  const bench::Flags flags(argc, argv);
  flags.only({"port", "threads", "tokens", "rate", "delay-ms", "close-streams", "control-port"});
  std::signal(SIGPIPE, SIG_IGN);
  bench::raise_file_limit();

  bench::Script script;
  script.tokens = static_cast<unsigned>(flags.number("tokens", 100));
  const double rate = flags.real("rate", 20);
  script.gap_ns = rate > 0 ? static_cast<std::int64_t>(1e9 / rate) : 0;
  script.delay_ns = flags.number("delay-ms", 0) * 1'000'000;
  script.close_streams = flags.on("close-streams");

  int first = bench::listen_on(static_cast<std::uint16_t>(flags.number("port", 0)));
  const std::uint16_t port = bench::port_of(first);
  if (flags.number("port", 0) == 0) {
    // Bound by number, the port stays ours while it refuses.
    close(first);
    first = bench::listen_on(port);
  }
  fmt::print("listening on 127.0.0.1:{}\n", port);
  int control = -1;
  if (flags.on("control-port")) {
    if (flags.number("threads", 1) != 1) {
      fmt::print(stderr, "--control-port needs --threads 1\n");
      return 2;
    }
    control = bench::listen_on(static_cast<std::uint16_t>(flags.number("control-port", 0)));
    fmt::print("control on 127.0.0.1:{}\n", bench::port_of(control));
  }
  std::fflush(stdout);

  std::vector<std::jthread> threads;
  for (long i = 1; i < flags.number("threads", 1); ++i) {
    threads.emplace_back(
        [port, script] { bench::UpstreamLoop(bench::listen_on(port), -1, script).run(); });
  }
  bench::UpstreamLoop(first, control, script).run();
}
