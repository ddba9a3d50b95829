// A backend that answers at once, so that what stands in front of it can be measured.
//
//   bench_upstream [--port N] [--threads N] [--tokens N] [--rate R] [--delay-ms N]
//                  [--close-streams]
//
// POST /v1/chat/completions  a fixed answer of about 350 bytes; with "stream": true, --tokens
// tokens at
//                            --rate a second (0: all at once), the first after --delay-ms. Token i
//                            is
//                            "#i@t ", t being the monotonic time in ns at which it was sent, so
//                            that the reader can tell loss, reordering and delay.
// GET /v1/models /health /props
//
// The port is printed on the first line. Thread rule: each thread has its own listener and loop.
#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <thread>
#include <vector>

#include "common.hpp"
#include "upstream_loop.hpp"

int main(int argc, char** argv) {
  const bench::Flags flags(argc, argv);
  flags.only({"port", "threads", "tokens", "rate", "delay-ms", "close-streams"});
  std::signal(SIGPIPE, SIG_IGN);
  bench::raise_file_limit();

  bench::Script script;
  script.tokens = static_cast<unsigned>(flags.number("tokens", 100));
  const double rate = flags.real("rate", 20);
  script.gap_ns = rate > 0 ? static_cast<std::int64_t>(1e9 / rate) : 0;
  script.delay_ns = flags.number("delay-ms", 0) * 1'000'000;
  script.close_streams = flags.on("close-streams");

  const int first = bench::listen_on(static_cast<std::uint16_t>(flags.number("port", 0)));
  const std::uint16_t port = bench::port_of(first);
  fmt::print("listening on 127.0.0.1:{}\n", port);
  std::fflush(stdout);

  std::vector<std::jthread> threads;
  for (long i = 1; i < flags.number("threads", 1); ++i) {
    threads.emplace_back(
        [port, script] { bench::UpstreamLoop(bench::listen_on(port), script).run(); });
  }
  bench::UpstreamLoop(first, script).run();
}
