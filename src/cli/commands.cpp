#include "cli/commands.hpp"

#include <fmt/core.h>

#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"
#include "cli/json_view.hpp"
#include "cli/model_name.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

Tone tone_of(std::string_view state) {
  if (state == "ready") return Tone::good;
  if (state == "failed" || state == "unusable") return Tone::bad;
  if (state == "unloaded") return Tone::dim;
  return Tone::busy;
}

// A server may send a number of parameters or a name such as "7B".
std::string parameter_count_text(const json::value& from) {
  if (auto count = count_of(from, "parameters")) return count_text(*count);
  return std::string(text_of(from, "parameters"));
}

std::string ago_text(const json::value& from, std::string_view name, sys::Wall now) {
  auto then = parse_rfc3339(text_of(from, name));
  return then ? ago(*then, now) : std::string();
}

std::string idle_text(const json::value& settings) {
  auto idle = count_of(settings, "idle_timeout_ms");
  if (!idle) return {};
  if (*idle == 0) return "never";
  return format_duration(std::chrono::milliseconds(*idle)) + " without a request";
}

using Fields = std::vector<std::pair<std::string, std::string>>;

void add_settings(Fields& fields, const json::value& model) {
  const json::value* settings = member(model, "settings");
  if (settings == nullptr) return;
  fields.emplace_back("Served context", number_text(*settings, "context"));
  fields.emplace_back("Slots", number_text(*settings, "slots"));
  fields.emplace_back("Unloaded after", idle_text(*settings));
}

void add_versions(Fields& fields, const json::value& model, sys::Wall now) {
  if (auto origin = text_of(model, "origin"); !origin.empty()) {
    fields.emplace_back("Origin", origin);
  }
  for (const json::value& version : list_of(model, "versions")) {
    fields.emplace_back(
        "Version",
        fmt::format("{}{} ({}, {}{}{})", number_text(version, "version"),
                    is_true(version, "present") ? " in use" : "", bytes_text(version, "size_bytes"),
                    ago_text(version, "added", now),
                    text_of(version, "author").empty() ? "" : " by ", text_of(version, "author")));
  }
}

// "loading 12 s of about 20"
std::string state_text(const json::value& instance) {
  std::string state(text_of(instance, "state"));
  const json::value* load = member(instance, "load");
  if (load == nullptr || !load->is_object()) return state;
  auto elapsed = number_of(*load, "elapsed_seconds");
  auto expected = number_of(*load, "expected_seconds");
  if (elapsed) state += fmt::format(" {:.0f} s", *elapsed);
  if (elapsed && expected) state += fmt::format(" of about {:.0f}", std::ceil(*expected));
  return state;
}

}  // namespace

std::string render_models(std::string_view body, sys::Wall now, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"NAME"},
               {"SIZE", Align::right},
               {"PARAMETERS", Align::right},
               {"QUANT"},
               {"CONTEXT", Align::right},
               {"CAPABILITIES"},
               {"STATE"},
               {"MODIFIED"}});
  for (const json::value& model : list_of(document, "models")) {
    std::string_view state = text_of(model, "state");
    table.add({{std::string(text_of(model, "name")), Tone::plain},
               {bytes_text(model, "size_bytes")},
               {parameter_count_text(model)},
               {std::string(text_of(model, "quantization"))},
               {number_text(model, "context_length")},
               {joined(list_of(model, "capabilities"))},
               {std::string(state), tone_of(state)},
               {ago_text(model, "modified", now)}});
  }
  return table.empty() ? std::string() : table.render(paint);
}

std::string render_instances(std::string_view body, sys::Wall now, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"MODEL"},
               {"PURPOSE"},
               {"STATE"},
               {"PID", Align::right},
               {"STARTED"},
               {"UNLOADS"},
               {"DEVICE"},
               {"RESERVED", Align::right},
               {"MEMORY", Align::right},
               {"CPU", Align::right},
               {"IN FLIGHT", Align::right},
               {"REQUESTS", Align::right},
               {"RESTARTS", Align::right}});
  std::string reasons;
  for (const json::value& instance : list_of(document, "instances")) {
    // The first one is called like the model: most have no others.
    auto replica = count_of(instance, "replica").value_or(1);
    std::string name(text_of(instance, "model"));
    if (replica > 1) name += fmt::format(" ({})", replica);
    std::string_view state = text_of(instance, "state");
    auto unload = parse_rfc3339(text_of(instance, "idle_unload_at"));
    auto cpu = number_of(instance, "cpu_seconds");
    table.add({{std::move(name)},
               {std::string(text_of(instance, "purpose"))},
               {state_text(instance), tone_of(state)},
               {number_text(instance, "pid")},
               {ago_text(instance, "since", now)},
               {unload ? in_time(*unload, now) : "never"},
               {std::string(text_of(instance, "device"))},
               {bytes_text(instance, "reserved_bytes")},
               {bytes_text(instance, "resident_bytes")},
               {cpu ? fmt::format("{:.1f} s", *cpu) : ""},
               {number_text(instance, "in_flight")},
               {number_text(instance, "requests_total")},
               {number_text(instance, "restarts")}});
    if (auto why = text_of(instance, "waits_because"); !why.empty()) {
      reasons += fmt::format("{} is waited for: {}\n", safe_line(text_of(instance, "model")),
                             safe_line(why));
    }
  }
  return table.empty() ? std::string() : table.render(paint) + reasons;
}

std::string render_model(std::string_view body, sys::Wall now, const Paint& paint) {
  json::value model = parse_or_null(body);
  std::string_view chat_template = text_of(model, "chat_template");
  Fields fields{
      {"Name", std::string(text_of(model, "name"))},
      {"Aliases", joined(list_of(model, "aliases"))},
      {"State", std::string(text_of(model, "state"))},
      {"Source", std::string(text_of(model, "source"))},
      {"Architecture", std::string(text_of(model, "architecture"))},
      {"Parameters", parameter_count_text(model)},
      {"Quantization", std::string(text_of(model, "quantization"))},
      {"Context length", number_text(model, "context_length")},
      {"Capabilities", joined(list_of(model, "capabilities"))},
      {"Size", bytes_text(model, "size_bytes")},
      {"Memory estimate", bytes_text(model, "memory_estimate_bytes")},
      {"Modified", ago_text(model, "modified", now)},
      {"Chat template", chat_template.empty()
                            ? "none"
                            : fmt::format("{} bytes (in full with --json)", chat_template.size())}};
  add_settings(fields, model);
  add_versions(fields, model, now);
  add_benchmark(fields, model, now);
  if (auto error = text_of(model, "error"); !error.empty()) fields.emplace_back("Error", error);
  for (const json::value& file : list_of(model, "files")) {
    fields.emplace_back(
        "File", fmt::format("{} ({})", text_of(file, "path"), bytes_text(file, "size_bytes")));
  }
  return render_fields(fields, paint);
}

Outcome<void> list_models(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.models(options.search));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  json::value document = parse_or_null(body);
  for (const json::value& warning : list_of(document, "warnings")) {
    if (!warning.is_string()) continue;
    context.console.err(context.err_paint(Tone::busy, "warning:") + " " +
                        safe_line(warning.get_string()) + "\n");
  }
  std::string table = render_models(body, context.clock.wall(), context.out_paint);
  if (table.empty()) {
    table = options.search.empty() ? "There is no model. Put a GGUF file into the models folder.\n"
                                   : fmt::format("There is no model with '{}' in its name.\n",
                                                 safe_line(options.search));
  }
  context.console.out(table);
  return {};
}

Outcome<void> list_instances(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.instances());
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  std::string table = render_instances(body, context.clock.wall(), context.out_paint);
  context.console.out(table.empty() ? "No engine runs. The first request to a model starts one.\n"
                                    : table);
  return {};
}

Outcome<void> show_model(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, describe_model(context, options.model));
  if (options.plan) return show_plan(context, options, body);
  body = with_benchmark(context.api, with_versions(context.api, std::move(body)));
  if (options.json) {
    print_json(context.console, body);
  } else {
    context.console.out(render_model(body, context.clock.wall(), context.out_paint));
  }
  return {};
}

Outcome<void> stop_model(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, by_any_name(context, options.model, [&](const std::string& name) {
               return context.api.unload(name);
             }));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  json::value model = parse_or_null(body);
  std::string_view state = text_of(model, "state");
  context.console.out(fmt::format("{} is {}\n", safe_line(options.model),
                                  state.empty() ? "unloaded" : safe_line(state)));
  return {};
}

void print_json(Console& console, std::string_view body) {
  std::string text(trim(body));
  console.out((console.out_is_terminal() ? safe_text(text) : text) + "\n");
}

void print_failure(Console& console, const Paint& paint, const Failure& failure) {
  if (failure.exit == ExitCode::interrupted) return;
  std::string text = paint(Tone::bad, "error:") + " " + safe_line(failure.message) + "\n";
  if (!failure.hint.empty())
    text += paint(Tone::dim, "hint:") + " " + safe_line(failure.hint) + "\n";
  console.err(text);
}

}  // namespace corral::cli
