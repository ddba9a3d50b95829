// `corral bench`: begins a benchmark, follows it, and shows what was found.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/json_view.hpp"
#include "net/sse.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr int kBarWidth = 20;
constexpr double kDisturbed = 0.05;  // share of the time that is worth a word

std::string bar(double value, double most) {
  const double share = most > 0 ? std::clamp(value / most, 0.0, 1.0) : 0;
  const auto filled = std::lround(share * kBarWidth);
  std::string text;
  for (int i = 0; i < filled; ++i) text += "█";
  return text;
}

std::string rate_text(const json::value& from, std::string_view name) {
  const double rate = number_of(from, name).value_or(0);
  if (rate <= 0) return "-";
  return rate < 100 ? fmt::format("{:.1f}", rate) : fmt::format("{:.0f}", rate);
}

std::string wait_text(const json::value& from, std::string_view name) {
  const double wait = number_of(from, name).value_or(0);
  return wait < 10'000 ? fmt::format("{:.0f} ms", wait) : fmt::format("{:.1f} s", wait / 1000);
}

double most_of(const json::array& list, std::string_view name) {
  double most = 0;
  for (const json::value& each : list) most = std::max(most, number_of(each, name).value_or(0));
  return most;
}

const json::value& child(const json::value& from, std::string_view name) {
  static const json::value kNothing;
  const json::value* found = member(from, name);
  return found == nullptr ? kNothing : *found;
}

std::string render_measures(const json::value& result, const Paint& paint) {
  const json::array& measures = list_of(result, "measures");
  const bool chat = text_of(result, "purpose") != "embedding";
  const std::string_view graph = chat ? "generation_tokens_per_second" : "requests_per_second";
  const double most = most_of(measures, graph);
  std::vector<Table::Column> columns{
      {"PROMPT", Align::right}, {"AT ONCE", Align::right}, {"PROMPT TOKENS/S", Align::right}};
  if (chat) {
    columns.push_back({"TOKENS/S", Align::right});
    columns.push_back({"EACH", Align::right});
    columns.push_back({"FIRST TOKEN", Align::right});
  } else {
    columns.push_back({"INPUTS/S", Align::right});
    columns.push_back({"ANSWER", Align::right});
  }
  columns.push_back({"WORST", Align::right});
  columns.push_back({""});
  Table table(std::move(columns));
  for (const json::value& each : measures) {
    std::vector<Table::Cell> row{{number_text(each, "prompt_tokens")},
                                 {number_text(each, "concurrency")},
                                 {rate_text(each, "prompt_tokens_per_second")},
                                 {rate_text(each, graph), Tone::strong}};
    if (chat) row.push_back({rate_text(each, "generation_tokens_per_second_each")});
    row.push_back({wait_text(each, "first_token_p50_ms")});
    row.push_back({wait_text(each, "first_token_worst_ms")});
    row.push_back({bar(number_of(each, graph).value_or(0), most), Tone::good});
    table.add(std::move(row));
  }
  return table.empty() ? std::string() : table.render(paint);
}

std::string render_trials(const json::value& search, const Paint& paint) {
  const json::array& trials = list_of(search, "trials");
  double most = 0;
  for (const json::value& each : trials) {
    most = std::max(most, number_of(child(each, "rates"), "score").value_or(0));
  }
  Table table({{"TRIED"},
               {"PROMPT TOKENS/S", Align::right},
               {"ONE ANSWER", Align::right},
               {"SEVERAL", Align::right},
               {"SCORE", Align::right},
               {""}});
  for (const json::value& each : trials) {
    const json::value& rates = child(each, "rates");
    const std::string_view problem = text_of(each, "problem");
    table.add(
        {{std::string(text_of(each, "what"))},
         {rate_text(rates, "prompt_tokens_per_second")},
         {rate_text(rates, "generation_tokens_per_second")},
         {rate_text(rates, "together_tokens_per_second")},
         {rate_text(rates, "score"), Tone::strong},
         {problem.empty() ? bar(number_of(rates, "score").value_or(0), most) : std::string(problem),
          problem.empty() ? Tone::good : Tone::bad}});
  }
  std::string out = table.empty() ? std::string() : table.render(paint);
  const bool kept = is_true(search, "kept");
  return out + fmt::format("{} {}\n",
                           paint(kept ? Tone::good : Tone::busy,
                                 kept ? "kept for the next starts:" : "the default stays:"),
                           safe_line(text_of(search, "why")));
}

std::string settings_text(const json::value& settings) {
  std::string text = fmt::format("{}, {} slots of {} tokens, {} threads, batch {}, cache {}",
                                 text_of(settings, "device"), number_text(settings, "slots"),
                                 number_text(settings, "context"), number_text(settings, "threads"),
                                 number_text(settings, "batch"), text_of(settings, "cache_type"));
  if (!is_true(settings, "repack")) text += ", not rearranged";
  return text;
}

// What the reader must know to trust the figures.
std::string render_notes(const json::value& result) {
  std::string out;
  for (const json::value& each : list_of(result, "skipped")) {
    out += fmt::format("not measured for lack of time: {} tokens, {} at once\n",
                       number_text(each, "prompt_tokens"), number_text(each, "concurrency"));
  }
  if (auto times = count_of(result, "interruptions"); times && *times > 0) {
    out += fmt::format("it gave way to other models {} time{}\n", *times, *times == 1 ? "" : "s");
  }
  if (auto share = number_of(result, "disturbed"); share && *share > kDisturbed) {
    out += fmt::format("other models answered during {:.0f} % of it, so it may be faster alone\n",
                       *share * 100);
  }
  return out;
}

// Follows the benchmark to its end.
class Watch {
 public:
  explicit Watch(Context& context) : context_(context) {}

  bool take(std::string_view bytes) {
    parser_.feed(bytes);
    for (;;) {
      auto event = parser_.next();
      if (!event) return false;
      if (*event == nullptr) return true;
      last_ = parse_or_null((*event)->data);
      if (state() != "running") return false;
      show();
    }
  }
  void end_line() {
    if (std::exchange(drawn_, false)) context_.console.err(kToLineStart);
  }
  std::string_view state() const { return text_of(last_, "state"); }
  const json::value& last() const { return last_; }

 private:
  void show() {
    const std::string stage = safe_line(text_of(last_, "stage"));
    if (context_.console.err_is_terminal()) {
      auto left = count_of(last_, "remaining_seconds");
      std::string more = left ? "  at most " + format_duration(std::chrono::seconds(*left)) : "";
      context_.console.err(fmt::format("{}{}{}", kToLineStart, stage, more));
      drawn_ = true;
    } else if (stage != said_ && !stage.empty()) {
      context_.console.err(stage + "\n");
      said_ = stage;
    }
  }

  Context& context_;
  net::SseParser parser_;
  json::value last_;
  std::string said_;
  bool drawn_ = false;
};

Outcome<void> watch(Context& context, const std::string& id) {
  Watch watch(context);
  auto done = context.api.watch_operation(id, [&](std::string_view b) { return watch.take(b); });
  watch.end_line();
  if (!done) {
    if (done.error().exit == ExitCode::interrupted) {
      context.console.err(fmt::format(
          "it goes on in the server; corral operations cancel {} ends it\n", safe_line(id)));
    }
    return done;
  }
  if (watch.state() == "succeeded") return {};
  if (watch.state().empty()) {
    return failure(ExitCode::failed, "the server ended the stream of events early",
                   "corral operations shows how it stands");
  }
  std::string_view error = text_of(watch.last(), "error");
  return failure(ExitCode::failed,
                 error.empty() ? fmt::format("the benchmark was {}", safe_line(watch.state()))
                               : std::string(error));
}

std::string wish_of(const Options& options) {
  const auto& words = options.bench;
  json::object body;
  auto list = [&](const char* name, std::string_view text) {
    if (text.empty()) return;
    json::array numbers;
    for (std::string_view part : split(text, ',')) {
      if (auto number = parse_int(trim(part))) numbers.emplace_back(*number);
    }
    body[name] = std::move(numbers);
  };
  list("prompts", words.prompts);
  list("concurrency", words.concurrency);
  if (words.tokens) body["tokens"] = *words.tokens;
  if (words.repeats) body["repeats"] = *words.repeats;
  if (!words.budget.empty()) body["budget"] = words.budget;
  if (words.embeddings) body["purpose"] = "embedding";
  if (words.tune) body["tune"] = true;
  if (words.smaller_cache) body["smaller_cache"] = true;
  return corral::json::serialize(json::value(body));
}

Outcome<void> show_last(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.benchmarks(options.model, 1));
  const json::value document = parse_or_null(body);
  const json::array& all = list_of(document, "benchmarks");
  if (all.empty()) {
    return failure(ExitCode::not_found, fmt::format("'{}' was not measured yet", options.model),
                   fmt::format("corral bench {}", safe_line(options.model)));
  }
  if (options.json) {
    print_json(context.console, corral::json::serialize(all.front()));
  } else {
    context.console.out(render_benchmark(body, context.clock.wall(), context.out_paint));
  }
  return {};
}

}  // namespace

std::string render_benchmark(std::string_view body, sys::Wall now, const Paint& paint) {
  const json::value document = parse_or_null(body);
  const json::array& all = list_of(document, "benchmarks");
  if (all.empty()) return {};
  const json::value& result = child(all.front(), "result");
  auto measured = parse_rfc3339(text_of(all.front(), "measured"));
  const json::value& search = child(result, "search");
  const bool tuned = search.is_object();
  auto load = number_of(result, "load_seconds");
  auto peak = count_of(result, "resident_peak_bytes");
  std::vector<std::pair<std::string, std::string>> fields{
      {"Model", std::string(text_of(document, "model"))},
      {"Measured", measured ? ago(*measured, now) : ""},
      {"Engine", std::string(text_of(result, "engine"))},
      {tuned ? "Default" : "Settings", settings_text(child(result, "settings"))}};
  if (!tuned && peak && *peak > 0) {
    fields.emplace_back("Memory",
                        fmt::format("{} at most ({} estimated)", format_bytes(*peak),
                                    format_bytes(count_of(result, "estimated_bytes").value_or(0))));
  }
  if (!tuned && load) fields.emplace_back("Load time", fmt::format("{:.2f} s", *load));
  std::string out = render_fields(fields, paint) + "\n";
  out += tuned ? render_trials(search, paint) : render_measures(result, paint);
  return out + render_notes(result);
}

std::string with_benchmark(ServerApi& api, std::string body) {
  json::value model = parse_or_null(body);
  if (text_of(model, "source") != "file") return body;
  auto more = api.benchmarks(text_of(model, "name"), 1);
  if (!more) return body;  // the model is shown all the same
  const json::value document = parse_or_null(*more);
  const json::array& all = list_of(document, "benchmarks");
  const json::value& tuned = child(document, "tuned");
  if (all.empty() && !tuned.is_object()) return body;
  json::object& whole = model.as_object();
  whole["benchmark"] = all.empty() ? json::value(nullptr) : all.front();
  whole["tuned"] = tuned;
  return corral::json::serialize(model);
}

void add_benchmark(std::vector<std::pair<std::string, std::string>>& fields,
                   const json::value& model, sys::Wall now) {
  const json::value& last = child(model, "benchmark");
  const json::value& result = child(last, "result");
  auto measured = parse_rfc3339(text_of(last, "measured"));
  const json::array& measures = list_of(result, "measures");
  if (measured && !measures.empty()) {
    const json::value& first = measures.front();
    std::string text =
        fmt::format("{} tokens/s of prompt", rate_text(first, "prompt_tokens_per_second"));
    if (text_of(result, "purpose") == "embedding") {
      text += fmt::format(", {} inputs/s", rate_text(first, "requests_per_second"));
    } else {
      text += fmt::format(", {} tokens/s, first token after {}",
                          rate_text(first, "generation_tokens_per_second"),
                          wait_text(first, "first_token_p50_ms"));
    }
    fields.emplace_back("Benchmark", fmt::format("{} ({})", text, ago(*measured, now)));
  } else if (measured && child(result, "search").is_object()) {
    fields.emplace_back("Benchmark", fmt::format("{} ({})", text_of(child(result, "search"), "why"),
                                                 ago(*measured, now)));
  }
  const json::value& tuned = child(model, "tuned");
  auto when = parse_rfc3339(text_of(tuned, "tuned"));
  if (when) {
    fields.emplace_back("Tuned", fmt::format("{} ({})", text_of(tuned, "note"), ago(*when, now)));
  }
}

Outcome<void> bench_model(Context& context, const Options& options) {
  if (options.bench.forget) {
    CORRAL_CHECK(context.api.forget_tuned(options.model));
    if (options.json) {
      print_json(context.console, corral::json::serialize(json::value(
                                      json::object{{"name", options.model}, {"forgotten", true}})));
    } else {
      context.console.out(fmt::format("{} starts by default again\n", safe_line(options.model)));
    }
    return {};
  }
  if (options.bench.last) return show_last(context, options);
  CORRAL_TRY(std::string body, context.api.bench(options.model, wish_of(options)));
  const json::value begun = parse_or_null(body);
  const std::string id(text_of(begun, "id"));
  if (options.detach) {
    if (options.json) {
      print_json(context.console, body);
    } else {
      context.console.out(
          fmt::format("{} is measured as {}\n", safe_line(options.model), safe_line(id)));
    }
    return {};
  }
  CORRAL_CHECK(watch(context, id));
  return show_last(context, options);
}

}  // namespace corral::cli
