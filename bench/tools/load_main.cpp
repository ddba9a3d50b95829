// The load generator. Results are one JSON object on standard output; latencies in microseconds.
//
//   bench_load closed  --port N [--connections 32] [--seconds 5] [--warm-up 1] [--bytes 1024]
//       each connection asks again as soon as it is answered
//   bench_load open    --port N --rate R [...]
//       requests begin at a fixed rate whatever happens; latency counts from the intended moment
//   bench_load streams --port N [--streams 100] [--ramp 2] [--tokens 100] [--patience 60]
//                      [--out FILE]
//       server-sent events from bench_upstream; every token is checked and timed; FILE gets a line
//       a stream
//   bench_load arrivals --port N --rate R [--seconds 5] [--patience 30] [--connections 4096] [--out
//   FILE]
//                      [--stream | --mixed] [--tokens N] [--bodies FILE]
//       requests arrive at a constant rate, each over a free connection or a new one, and leave
//       when their patience ends; FILE gets one line a request (load_arrivals.hpp)
//   bench_load single  --port N [--tokens 200] [--runs 3]
//       one stream after another from a real model: tokens a second
//
// All take --model NAME.
#include <fmt/core.h>

#include <csignal>
#include <cstdio>

#include "common.hpp"
#include "load_arrivals.hpp"
#include "load_requests.hpp"
#include "load_streams.hpp"

namespace {

int usage() {
  fmt::print(stderr, "usage: bench_load closed|open|arrivals|streams|single --port N [...]\n");
  return 2;
}

void run_requests(const bench::Flags& flags, bool open_loop) {
  bench::RequestPlan plan;
  plan.port = static_cast<std::uint16_t>(flags.number("port", 0));
  plan.connections = static_cast<unsigned>(flags.number("connections", 32));
  plan.rate = open_loop ? flags.real("rate", 2000) : 0;
  plan.warm_up = flags.real("warm-up", 1);
  plan.seconds = flags.real("seconds", 5);
  plan.bytes = static_cast<std::size_t>(flags.number("bytes", 1024));
  plan.model = flags.text("model", "bench-model");
  bench::RequestLoad(plan).run();
}

void run_arrivals(const bench::Flags& flags) {
  bench::ArrivalPlan plan;
  plan.port = static_cast<std::uint16_t>(flags.number("port", 0));
  plan.rate = flags.real("rate", 100);
  plan.seconds = flags.real("seconds", 5);
  plan.patience = flags.real("patience", 30);
  plan.connections = static_cast<unsigned>(flags.number("connections", 4096));
  plan.bytes = static_cast<std::size_t>(flags.number("bytes", 1024));
  plan.model = flags.text("model", "bench-model");
  plan.stream = flags.on("stream");
  plan.mixed = flags.on("mixed");
  plan.tokens = static_cast<unsigned>(flags.number("tokens", 0));
  plan.bodies = flags.text("bodies", "");
  plan.out = flags.text("out", "");
  bench::ArrivalLoad(plan).run();
}

void run_streams(const bench::Flags& flags) {
  bench::StreamPlan plan;
  plan.port = static_cast<std::uint16_t>(flags.number("port", 0));
  plan.streams = static_cast<unsigned>(flags.number("streams", 100));
  plan.ramp = flags.real("ramp", 2);
  plan.tokens = static_cast<unsigned>(flags.number("tokens", 100));
  plan.patience = flags.real("patience", 60);
  plan.bytes = static_cast<std::size_t>(flags.number("bytes", 1024));
  plan.model = flags.text("model", "bench-model");
  plan.out = flags.text("out", "");
  bench::StreamLoad(plan).run();
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Flags flags(argc, argv);
  flags.only({"port", "connections", "rate", "warm-up", "seconds", "bytes", "model", "streams",
              "ramp", "tokens", "patience", "runs", "stream", "mixed", "bodies", "out"});
  std::signal(SIGPIPE, SIG_IGN);
  bench::raise_file_limit();
  bench::sharpen_timers();
  if (flags.words().size() != 1 || flags.number("port", 0) <= 0) return usage();
  const std::string& what = flags.words().front();
  if (what == "closed" || what == "open") {
    run_requests(flags, what == "open");
  } else if (what == "arrivals") {
    run_arrivals(flags);
  } else if (what == "streams") {
    run_streams(flags);
  } else if (what == "single") {
    bench::run_single(static_cast<std::uint16_t>(flags.number("port", 0)),
                      flags.text("model", "bench-model"),
                      static_cast<unsigned>(flags.number("tokens", 200)),
                      static_cast<unsigned>(flags.number("runs", 3)));
  } else {
    return usage();
  }
}
