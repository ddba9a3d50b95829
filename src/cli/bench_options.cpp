#include "cli/bench_options.hpp"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "base/text.hpp"

namespace corral::cli {
namespace {

constexpr const char* kBenchFooter = R"(Examples:
  corral bench corral-tiny                          speed, waits and memory
  corral bench corral-tiny --prompts 128,1024 --concurrency 1,8
  corral bench corral-tiny --tune --budget 10m      search better settings, and keep them
  corral bench corral-tiny --last                   what was found last
  corral bench corral-tiny --forget                 start by default again

Ctrl-C stops watching; the benchmark goes on in the server.
)";

std::string check_numbers(std::string& text) {
  for (std::string_view part : split(text, ',')) {
    auto number = parse_int(trim(part));
    if (!number || *number < 1) {
      return fmt::format("\"{}\" is not a list of numbers such as 128,512", text);
    }
  }
  return {};
}

}  // namespace

void add_bench(CLI::App& app, Options& out) {
  CLI::App* bench = app.add_subcommand("bench", "Measure a model, or search better settings");
  bench->add_option("model", out.model, "Name of the model, as `corral list` shows it")
      ->type_name("MODEL")
      ->required();
  auto& words = out.bench;
  bench->add_option("--prompts", words.prompts, "Lengths of prompts, in tokens")
      ->type_name("N,...")
      ->check(CLI::Validator(&check_numbers, ""));
  bench->add_option("--concurrency", words.concurrency, "Numbers of requests at once")
      ->type_name("N,...")
      ->check(CLI::Validator(&check_numbers, ""));
  bench->add_option("--tokens", words.tokens, "Tokens to generate")->type_name("N");
  bench->add_option("--repeats", words.repeats, "Rounds of each")->type_name("N");
  bench->add_option("--budget", words.budget, "Time that it may take: 90s, 5m")->type_name("TIME");
  bench->add_flag("--embeddings", words.embeddings, "Measure embeddings, not chat");
  CLI::Option* tune =
      bench->add_flag("--tune", words.tune, "Search better settings, and keep them");
  bench
      ->add_flag("--smaller-cache", words.smaller_cache,
                 "The search may lower the quality of the cache")
      ->needs(tune);
  bench->add_flag("--detach", out.detach, "Begin, and do not wait for the end");
  CLI::Option* last = bench->add_flag("--last", words.last, "Show what was found last");
  bench->add_flag("--forget", words.forget, "Drop what was tuned")->excludes(tune)->excludes(last);
  bench->footer(kBenchFooter);
}

}  // namespace corral::cli
