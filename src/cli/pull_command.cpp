// `corral pull`, `corral operations` and `corral search`.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/json_view.hpp"
#include "net/sse.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr int kProgressWidth = 24;
constexpr std::chrono::seconds kPlainEvery{5};

bool is_over(std::string_view state) {
  return state == "succeeded" || state == "failed" || state == "cancelled";
}

std::string bar(double share) {
  int filled = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * kProgressWidth));
  std::string text;
  for (int i = 0; i < kProgressWidth; ++i) text += i < filled ? "█" : "░";
  return text;
}

std::string rate_text(const json::value& operation) {
  auto rate = count_of(operation, "bytes_per_second");
  return rate && *rate > 0 ? fmt::format("{}/s", format_bytes(*rate)) : std::string();
}

std::string remaining_text(const json::value& operation) {
  if (is_over(text_of(operation, "state"))) return {};
  auto left = count_of(operation, "remaining_seconds");
  return left ? format_duration(std::chrono::seconds(*left)) + " left" : std::string();
}

std::string amount_text(const json::value& operation) {
  auto done = count_of(operation, "bytes_done").value_or(0);
  auto total = count_of(operation, "bytes_total");
  if (!total) return done == 0 ? std::string() : format_bytes(done);
  return fmt::format("{} of {}", format_bytes(done), format_bytes(*total));
}

double share_of(const json::value& operation) {
  auto done = count_of(operation, "bytes_done").value_or(0);
  auto total = count_of(operation, "bytes_total").value_or(0);
  return total == 0 ? 0 : static_cast<double>(done) / static_cast<double>(total);
}

Tone tone_of_operation(std::string_view state) {
  if (state == "succeeded") return Tone::good;
  if (state == "failed") return Tone::bad;
  if (state == "cancelled" || state == "paused") return Tone::dim;
  return Tone::busy;
}

// Follows the events of one operation and shows them as they come.
class OperationWatch {
 public:
  explicit OperationWatch(Context& context) : context_(context) {}

  bool take(std::string_view bytes) {
    parser_.feed(bytes);
    while (true) {
      auto event = parser_.next();
      if (!event) return false;
      if (*event == nullptr) return true;
      last_ = parse_or_null((*event)->data);
      show();
      // A paused one would be watched for ever.
      if (is_over(state()) || state() == "paused") return false;
    }
  }
  void end_line() {
    if (std::exchange(drawn_, false)) context_.console.err("\n");
  }
  const json::value& last() const { return last_; }
  std::string_view state() const { return text_of(last_, "state"); }

 private:
  void show();

  Context& context_;
  net::SseParser parser_;
  json::value last_;
  bool drawn_ = false;
  std::string said_;
  std::optional<sys::Steady> said_at_;
};

void OperationWatch::show() {
  if (context_.console.err_is_terminal()) {
    context_.console.err(std::string(kToLineStart) + render_progress(last_));
    drawn_ = true;
    return;
  }
  // Lines for a log: when something changes, and every few seconds.
  std::string what = fmt::format("{} {}", state(), text_of(last_, "stage"));
  auto now = context_.clock.now();
  bool due = said_at_ && now - *said_at_ >= kPlainEvery;
  if (what == said_ && !due) return;
  said_ = std::move(what);
  said_at_ = now;
  context_.console.err(render_progress_line(last_) + "\n");
}

Outcome<void> judge(Context& context, const Options& options, const json::value& last) {
  std::string_view state = text_of(last, "state");
  if (state == "failed" || state == "cancelled") {
    std::string_view error = text_of(last, "error");
    std::string hint;
    if (!error.empty() && state == "failed") {
      const bool some = count_of(last, "bytes_done").value_or(0) > 0;
      hint = fmt::format("{}: corral operations resume {}",
                         some ? "what can be resumed was kept" : "to try it again later",
                         safe_line(text_of(last, "id")));
    }
    return failure(ExitCode::failed,
                   error.empty() ? fmt::format("the pull was {}", state) : std::string(error),
                   hint);
  }
  if (options.json) {
    print_json(context.console, corral::json::serialize(last));
  } else if (state == "paused") {
    context.console.out(fmt::format("{} is paused; corral operations resume {} goes on\n",
                                    safe_line(text_of(last, "target")),
                                    safe_line(text_of(last, "id"))));
  } else {
    context.console.out(fmt::format("{} is here\n", safe_line(text_of(last, "model"))));
  }
  return {};
}

Outcome<void> watch(Context& context, const Options& options, const std::string& id) {
  CORRAL_TRY(json::value last, follow_operation(context, id, "pull"));
  return judge(context, options, last);
}

std::string count_or_dash(const json::value& from, std::string_view name) {
  auto count = count_of(from, name);
  return count ? count_text(*count) : std::string();
}

Outcome<void> list_operations(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.operations());
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  std::string table = render_operations(body, context.clock.wall(), context.out_paint);
  context.console.out(table.empty() ? "There is no operation.\n" : table);
  return {};
}

Outcome<void> show_fetch_plan(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.pull_plan(options.model));
  if (options.json) {
    print_json(context.console, body);
  } else {
    context.console.out(render_fetch_plan(body, context.out_paint));
  }
  return {};
}

}  // namespace

Outcome<json::value> follow_operation(Context& context, const std::string& id,
                                      std::string_view what) {
  OperationWatch watch(context);
  auto done = context.api.watch_operation(id, [&](std::string_view b) { return watch.take(b); });
  watch.end_line();
  if (!done) {
    if (done.error().exit == ExitCode::interrupted) {
      context.console.err(fmt::format(
          "the {} goes on in the server; corral operations shows it, corral operations cancel {} "
          "ends it\n",
          what, safe_line(id)));
    }
    return std::unexpected(std::move(done.error()));
  }
  if (watch.state().empty()) {
    return failure(ExitCode::failed, "the server ended the stream of events early",
                   "corral operations shows how it stands");
  }
  return watch.last();
}

std::string render_progress(const json::value& operation) {
  std::string_view state = text_of(operation, "state");
  std::string_view stage = text_of(operation, "stage");
  std::string text = safe_line(state == "running" && !stage.empty() ? stage : state);
  if (count_of(operation, "bytes_total")) {
    double share = share_of(operation);
    text += fmt::format("  {} {:3.0f} %", bar(share), share * 100);
  }
  for (const auto& part :
       {amount_text(operation), rate_text(operation), remaining_text(operation)}) {
    if (!part.empty()) text += "  " + part;
  }
  return text;
}

std::string render_progress_line(const json::value& operation) {
  std::string_view state = text_of(operation, "state");
  std::string_view stage = text_of(operation, "stage");
  std::string text = fmt::format("{}: {}", safe_line(text_of(operation, "target")),
                                 safe_line(state == "running" && !stage.empty() ? stage : state));
  if (count_of(operation, "bytes_total"))
    text += fmt::format(" {:.0f} %", share_of(operation) * 100);
  for (const auto& part :
       {amount_text(operation), rate_text(operation), remaining_text(operation)}) {
    if (!part.empty()) text += ", " + part;
  }
  return text;
}

std::string render_operations(std::string_view body, sys::Wall now, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"ID"},
               {"KIND"},
               {"TARGET"},
               {"STATE"},
               {"DONE", Align::right},
               {"RATE", Align::right},
               {"LEFT"},
               {"STARTED"},
               {"ERROR"}});
  for (const json::value& operation : list_of(document, "operations")) {
    std::string_view state = text_of(operation, "state");
    auto started = parse_rfc3339(text_of(operation, "started"));
    table.add({{std::string(text_of(operation, "id"))},
               {std::string(text_of(operation, "kind"))},
               {std::string(text_of(operation, "target"))},
               {std::string(state), tone_of_operation(state)},
               {amount_text(operation)},
               {rate_text(operation)},
               {remaining_text(operation)},
               {started ? ago(*started, now) : ""},
               {std::string(text_of(operation, "error"))}});
  }
  return table.empty() ? std::string() : table.render(paint);
}

std::string render_search(std::string_view body, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"REFERENCE"},
               {"SIZE", Align::right},
               {"PARAMETERS", Align::right},
               {"ARCHITECTURE"},
               {"LICENSE"},
               {"DOWNLOADS", Align::right},
               {"LIKES", Align::right},
               {"GATED"}});
  for (const json::value& model : list_of(document, "models")) {
    auto bytes = count_of(model, "size_bytes");
    table.add({{std::string(text_of(model, "reference"))},
               {bytes ? format_bytes(*bytes) : ""},
               {std::string(text_of(model, "parameters"))},
               {std::string(text_of(model, "architecture"))},
               {std::string(text_of(model, "license"))},
               {count_or_dash(model, "downloads")},
               {count_or_dash(model, "likes")},
               {is_true(model, "gated") ? "yes" : ""}});
  }
  return table.empty() ? std::string() : table.render(paint);
}

std::string render_fetch_plan(std::string_view body, const Paint& paint) {
  json::value plan = parse_or_null(body);
  auto bytes = count_of(plan, "size_bytes");
  std::vector<std::pair<std::string, std::string>> fields{
      {"Name", std::string(text_of(plan, "name"))},
      {"Origin", std::string(text_of(plan, "origin"))},
      {"Revision", std::string(text_of(plan, "revision"))},
      {"License", std::string(text_of(plan, "license"))},
      {"Size", bytes ? format_bytes(*bytes) : "not known before"}};
  for (const json::value& file : list_of(plan, "files")) {
    auto size = count_of(file, "size_bytes");
    fields.emplace_back("File",
                        fmt::format("{} ({}, {})", text_of(file, "name"), text_of(file, "role"),
                                    size ? format_bytes(*size) : "size not known"));
  }
  return render_fields(fields, paint);
}

Outcome<void> pull_model(Context& context, const Options& options) {
  if (options.dry_run) return show_fetch_plan(context, options);
  CORRAL_TRY(std::string body, context.api.pull(options.model, options.name));
  json::value begun = parse_or_null(body);
  std::string id(text_of(begun, "id"));
  if (!options.detach) return watch(context, options, id);
  if (options.json) {
    print_json(context.console, body);
  } else {
    context.console.out(fmt::format("{} is {} as {}\n", safe_line(options.model),
                                    safe_line(text_of(begun, "state")), safe_line(id)));
  }
  return {};
}

Outcome<void> operations_command(Context& context, const Options& options) {
  auto space = options.command.find(' ');
  if (space == std::string::npos) return list_operations(context, options);
  std::string action = options.command.substr(space + 1);
  if (action == "watch") return watch(context, options, options.name);
  CORRAL_TRY(std::string body, context.api.act_on_operation(options.name, action));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  json::value operation = parse_or_null(body);
  context.console.out(
      fmt::format("{} is {}\n", safe_line(options.name), safe_line(text_of(operation, "state"))));
  return {};
}

Outcome<void> search_models(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.search(join(options.prompt, " ")));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  std::string table = render_search(body, context.out_paint);
  context.console.out(table.empty() ? "Nothing was found.\n" : table);
  return {};
}

}  // namespace corral::cli
