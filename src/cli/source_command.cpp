// `corral sources`, `corral info`, `corral recommend` and `corral sync`.
#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/json_view.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

Outcome<void> show(Context& context, const Options& options, const std::string& body,
                   std::string (*render)(std::string_view, const Paint&)) {
  if (options.json) {
    print_json(context.console, body);
  } else {
    context.console.out(render(body, context.out_paint));
  }
  return {};
}

Outcome<void> list_sources(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.sources());
  return show(context, options, body, &render_sources);
}

Outcome<void> show_info(Context& context, const Options& options) {
  auto body = context.api.source_info(options.model);
  if (!body) {
    // Perhaps one that is here was meant.
    if (context.api.model(options.model)) {
      body.error().hint =
          fmt::format("a model of that name is here: corral show {}", options.model);
    }
    return std::unexpected(std::move(body.error()));
  }
  return show(context, options, *body, &render_info);
}

Outcome<void> recommend_models(Context& context, const Options& options) {
  CORRAL_TRY(std::string body,
             context.api.recommendations(join(options.prompt, " "), options.from));
  json::value document = parse_or_null(body);
  for (const json::value& warning : list_of(document, "warnings")) {
    if (!warning.is_string()) continue;
    context.console.err(fmt::format("warning: {}\n", safe_line(warning.get_string())));
  }
  return show(context, options, body, &render_recommendations);
}

// --- sync ----------------------------------------------------------------------------------------

struct SyncEnd {
  std::size_t fetched = 0;
  std::size_t unfinished = 0;  // paused by somebody
  std::vector<std::string> failures;
};

// What could not even be begun.
void note_refusals(const json::value& document, SyncEnd& end) {
  for (const json::value& each : list_of(document, "refused")) {
    end.failures.push_back(fmt::format("{}: {}", text_of(each, "name"), text_of(each, "error")));
  }
  for (const json::value& each : list_of(document, "models")) {
    auto error = text_of(each, "error");
    if (!error.empty()) end.failures.push_back(fmt::format("{}: {}", text_of(each, "name"), error));
  }
}

// Each pull to its end, one after the other; they run side by side in the server.
Outcome<void> follow(Context& context, json::value& document, SyncEnd& end) {
  auto* models = document.is_object() ? document.get_object().if_contains("models") : nullptr;
  if (models == nullptr || !models->is_array()) return {};
  for (json::value& each : models->get_array()) {
    auto id = string_of(each, "operation");
    if (id.empty()) continue;
    CORRAL_TRY(auto last, follow_operation(context, id, "pull"));
    auto state = text_of(last, "state");
    each.get_object()["result"] = state;
    if (state == "succeeded") {
      ++end.fetched;
    } else if (state == "paused") {
      ++end.unfinished;
    } else {
      auto error = text_of(last, "error");
      end.failures.push_back(
          fmt::format("{}: {}", text_of(each, "name"), error.empty() ? state : error));
    }
  }
  return {};
}

std::string names_of(std::size_t count) {
  return fmt::format("{} model{}", count, count == 1 ? "" : "s");
}

Outcome<void> conclude(Context& context, const Options& options, const json::value& document,
                       const SyncEnd& end) {
  if (options.json) {
    print_json(context.console, corral::json::serialize(document));
  } else if (end.fetched + end.unfinished > 0) {
    std::string line = fmt::format("{} fetched", names_of(end.fetched));
    if (end.unfinished > 0) line += fmt::format(", {} paused", end.unfinished);
    context.console.out(line + "\n");
  }
  if (end.failures.empty()) return {};
  constexpr std::size_t kNamed = 5;
  auto named = end.failures;
  if (named.size() > kNamed) named.resize(kNamed);
  return failure(
      ExitCode::failed,
      fmt::format("{} could not be fetched: {}", names_of(end.failures.size()), join(named, "; ")),
      "corral sync tries again; corral operations shows what was kept");
}

Outcome<void> sync_models(Context& context, const Options& options) {
  json::object wish{{"source", options.name}, {"dry_run", options.dry_run}};
  if (options.remove_gone) wish["delete"] = true;
  if (!options.prompt.empty()) {
    json::array patterns;
    for (const auto& each : options.prompt) patterns.push_back(json::string(each));
    wish["patterns"] = std::move(patterns);
  }
  CORRAL_TRY(std::string body, context.api.sync(wish));
  if (!options.json) context.console.out(render_sync(body, context.out_paint));
  json::value document = parse_or_null(body);
  SyncEnd end;
  note_refusals(document, end);
  if (options.dry_run || options.detach) {
    if (options.json) print_json(context.console, body);
    return {};
  }
  CORRAL_CHECK(follow(context, document, end));
  return conclude(context, options, document, end);
}

}  // namespace

std::string render_sources(std::string_view body, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"NAME"}, {"KIND"}, {"ADDRESS"}, {"ANSWERS"}, {"WHY NOT"}});
  for (const json::value& source : list_of(document, "sources")) {
    bool there = is_true(source, "reachable");
    table.add({{string_of(source, "name")},
               {string_of(source, "kind")},
               {string_of(source, "address")},
               {there ? "yes" : "no", there ? Tone::good : Tone::bad},
               {string_of(source, "error")}});
  }
  return table.render(paint);
}

std::string render_info(std::string_view body, const Paint& paint) {
  json::value document = parse_or_null(body);
  std::vector<std::pair<std::string, std::string>> fields;
  auto add = [&](const char* label, std::string value) {
    if (!value.empty()) fields.emplace_back(label, std::move(value));
  };
  auto count = [&](std::string_view name) {
    auto value = count_of(document, name);
    return value ? count_text(*value) : std::string();
  };
  add("Reference", string_of(document, "reference"));
  add("Description", string_of(document, "description"));
  add("Size", bytes_text(document, "size_bytes"));
  add("Architecture", string_of(document, "architecture"));
  add("Parameters", string_of(document, "parameters"));
  add("Quantization", string_of(document, "quantization"));
  add("Context", number_text(document, "context_length"));
  add("License", string_of(document, "license"));
  add("Updated", string_of(document, "updated"));
  add("Downloads", count("downloads"));
  add("Likes", count("likes"));
  if (is_true(document, "gated")) add("Gated", "yes: it needs a token and an accepted licence");
  const auto* fit = member(document, "fit");
  if (fit == nullptr || !fit->is_object()) {
    add("Fits", "not known: the source says neither size nor parameters");
  } else {
    add("Fits", is_true(*fit, "fits") ? "yes" : "no");
    add("Why", string_of(*fit, "why"));
    add("Hint", string_of(*fit, "hint"));
  }
  return render_fields(fields, paint);
}

std::string render_recommendations(std::string_view body, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"MODEL"}, {"HERE"}, {"DEVICE"}, {"MEMORY", Align::right}, {"WHY"}});
  for (const json::value& model : list_of(document, "models")) {
    auto why = string_of(model, "why");
    if (is_true(model, "gated")) why += "; gated";
    table.add({{string_of(model, "name")},
               {is_true(model, "here") ? "yes" : ""},
               {string_of(model, "device")},
               {bytes_text(model, "memory_bytes")},
               {why}});
  }
  std::string out = table.empty() ? std::string() : table.render(paint);
  auto fitting = count_of(document, "fitting").value_or(0);
  if (fitting > 0) return out;
  const auto& left = list_of(document, "left_out");
  if (left.empty()) return out + "Nothing was found.\n";
  out += "None of them fits this machine. The nearest:\n";
  for (const json::value& each : left) {
    out += fmt::format("  {}: {}\n", safe_line(text_of(each, "name")),
                       safe_line(text_of(each, "why")));
    auto hint = text_of(each, "hint");
    if (!hint.empty()) out += fmt::format("    {}\n", safe_line(hint));
  }
  return out;
}

std::string render_sync(std::string_view body, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"MODEL"}, {"STATE"}, {"SIZE", Align::right}, {"TO FETCH", Align::right}, {"NOTE"}});
  std::size_t wanted = 0;
  for (const json::value& model : list_of(document, "models")) {
    auto state = text_of(model, "state");
    auto here_as = text_of(model, "here_as");
    auto fetch = count_of(model, "fetch_bytes").value_or(0);
    bool fetched = state != "same" && state != "gone";
    wanted += fetched ? 1 : 0;
    std::string note = here_as.empty() ? "" : fmt::format("here as {}", here_as);
    if (is_true(model, "removed")) note = "removed";
    table.add({{string_of(model, "name")},
               {std::string(state), fetched ? Tone::busy : Tone::dim},
               {bytes_text(model, "size_bytes")},
               {fetched ? format_bytes(fetch) : ""},
               {note}});
  }
  std::string out =
      table.empty() ? std::string("The source has no models.\n") : table.render(paint);
  for (const json::value& each : list_of(document, "refused")) {
    out += fmt::format("refused: {}: {}\n", safe_line(text_of(each, "name")),
                       safe_line(text_of(each, "error")));
  }
  out += wanted == 0 ? "Nothing is to be fetched.\n"
                     : fmt::format("{} to fetch, {}\n", names_of(wanted),
                                   bytes_text(document, "fetch_bytes"));
  return out;
}

bool is_source_command(std::string_view command) {
  return command == "sources" || command == "info" || command == "recommend" || command == "sync";
}

Outcome<void> source_command(Context& context, const Options& options) {
  if (options.command == "sources") return list_sources(context, options);
  if (options.command == "info") return show_info(context, options);
  if (options.command == "recommend") return recommend_models(context, options);
  return sync_models(context, options);
}

}  // namespace corral::cli
