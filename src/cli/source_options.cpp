#include "cli/source_options.hpp"

#include <CLI/CLI.hpp>

namespace corral::cli {
namespace {

constexpr const char* kSyncFooter = R"(Examples:
  corral sync lab --dry-run        what is new, newer and the same there
  corral sync lab                  fetch all of it
  corral sync lab "qwen*" tiny     only these
  corral sync lab --delete         and remove what came from there and is there no more

The source stands in sources.folders: an HTTP folder with an index, or another Corral that has
models.share set. Ctrl-C stops watching; the pulls go on in the server.
)";

constexpr const char* kRecommendFooter = R"(Examples:
  corral recommend                 of what is here and in your folders, what suits this machine
  corral recommend coder           also what Hugging Face has of that name
  corral recommend --from lab      only of that source; --from here: only what is here
)";

constexpr const char* kInfoFooter = R"(Examples:
  corral info hf:OWNER/REPOSITORY
  corral info llama3.2:3b
  corral info lab/tiny
)";

}  // namespace

void add_sources(CLI::App& app, Options& out) {
  app.add_subcommand("sources", "Show where models come from, and whether it answers");
  CLI::App* info = app.add_subcommand("info", "Show a model at its source, and whether it fits");
  info->add_option("reference", out.model, "As for `corral pull`")
      ->type_name("REFERENCE")
      ->required();
  info->footer(kInfoFooter);
  CLI::App* recommend = app.add_subcommand("recommend", "Say which models suit this machine");
  recommend->add_option("words", out.prompt, "Words of the name")->type_name("WORDS");
  recommend->add_option("--from", out.from, "Only this source; here: only what is here")
      ->type_name("SOURCE");
  recommend->footer(kRecommendFooter);
  CLI::App* sync = app.add_subcommand("sync", "Fetch all models of a folder or another Corral");
  sync->add_option("source", out.name, "As sources.folders calls it")
      ->type_name("SOURCE")
      ->required();
  sync->add_option("patterns", out.prompt, "Names there; * is any text")->type_name("PATTERN");
  sync->add_flag("--dry-run", out.dry_run, "Say what would be fetched, and fetch nothing");
  sync->add_flag("--delete", out.remove_gone, "Remove what came from there and is there no more");
  sync->add_flag("--detach", out.detach, "Begin, and do not wait for the end");
  sync->footer(kSyncFooter);
}

}  // namespace corral::cli
