// Endpoints and routes as people see them: tables, single ones in full, and the tree that explains
// who answers to a name.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/json_view.hpp"
#include "cli/work_view.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;
using Cell = Table::Cell;

std::string milliseconds_text(const json::value& from, std::string_view name) {
  auto value = number_of(from, name);
  if (!value || *value < 0) return {};
  if (*value < 10) return fmt::format("{:.1f} ms", *value);
  if (*value < 999.5) return fmt::format("{:.0f} ms", *value);
  return fmt::format("{:.1f} s", *value / 1000);
}

// Whole seconds, never "0s" for what is still to come.
std::string seconds_text(std::uint64_t milliseconds) {
  auto seconds = std::min<std::uint64_t>((milliseconds + 999) / 1000, 365u * 86'400);
  return format_duration(std::chrono::seconds(seconds));
}

std::string percent_text(const json::value& from, std::string_view name) {
  auto part = number_of(from, name);
  return part ? fmt::format("{:.0f} %", *part * 100) : std::string();
}

std::string places_text(const json::value& from) {
  auto in_flight = count_of(from, "in_flight");
  auto capacity = count_of(from, "capacity");
  return in_flight && capacity ? fmt::format("{}/{}", *in_flight, *capacity) : std::string();
}

std::string source_text(const json::value& from) {
  auto version = count_of(from, "version");
  std::string source = string_of(from, "source");
  return version ? fmt::format("{}, version {}", source, *version) : source;
}

Tone health_tone(std::string_view health) {
  if (health == "healthy") return Tone::good;
  if (health == "down" || health == "ejected") return Tone::bad;
  return Tone::busy;
}

// closed < cooling < half_open < open
struct BreakerSight {
  int rank = -1;  // -1: there is none
  std::string words;
  Tone tone = Tone::plain;
};

BreakerSight sight_of(const json::value& breaker) {
  std::string_view state = text_of(breaker, "state");
  if (state == "open") {
    return {3, is_true(breaker, "forced") ? "open (by hand)" : "open", Tone::bad};
  }
  if (state == "half_open") return {2, "half_open", Tone::busy};
  if (auto cooling = count_of(breaker, "cooling_for_ms")) {
    return {1, "cooling " + seconds_text(*cooling), Tone::busy};
  }
  return {0, std::string(state), state == "closed" ? Tone::good : Tone::plain};
}

BreakerSight worst_breaker(const json::value& endpoint) {
  BreakerSight worst;
  for (const json::value& model : list_of(endpoint, "models")) {
    const json::value* breaker = member(model, "breaker");
    if (breaker == nullptr) continue;
    BreakerSight sight = sight_of(*breaker);
    if (sight.rank > worst.rank) worst = std::move(sight);
  }
  return worst;
}

// Of its slowest model.
std::string worst_latency(const json::value& endpoint) {
  const json::value* slowest = nullptr;
  double most = -1;
  for (const json::value& model : list_of(endpoint, "models")) {
    auto latency = number_of(model, "latency_ms");
    if (!latency || *latency <= most) continue;
    most = *latency;
    slowest = &model;
  }
  return slowest == nullptr ? std::string() : milliseconds_text(*slowest, "latency_ms");
}

// Public names; those that only routes know are not among them.
std::string serves_text(const json::value& endpoint) {
  constexpr std::size_t kShown = 3;
  const json::array& all = list_of(endpoint, "serves");
  json::array names;
  for (const json::value& each : all) {
    if (!each.is_string() || names.size() == kShown) continue;
    std::string_view name = each.get_string();
    names.emplace_back(name.substr(0, name.find('=')));
  }
  if (names.empty()) return "what routes ask for";
  std::string shown = joined(names);
  return all.size() > kShown ? fmt::format("{} and {} more", shown, all.size() - kShown) : shown;
}

// What made the breaker change last, in words; what a newer server may say stays as it is.
std::string change_text(std::string_view reason) {
  if (reason == "consecutive_failures") return "failures in a row";
  if (reason == "error_rate") return "too many of its requests failed";
  if (reason == "trial_failed") return "a trial failed";
  if (reason == "recovery_over") return "its pause is over";
  if (reason == "probe_succeeded") return "a health check succeeded";
  if (reason == "trials_succeeded") return "its trials succeeded";
  if (reason == "forced") return "by hand";
  return std::string(reason);
}

// Why a breaker is as it is, since when, and until when.
std::string breaker_reason(const json::value& breaker) {
  std::string_view state = text_of(breaker, "state");
  std::vector<std::string> parts;
  auto since = count_of(breaker, "since_ms");
  if (std::string_view reason = text_of(breaker, "reason"); since && !reason.empty()) {
    parts.push_back(fmt::format("{} ago: {}", seconds_text(*since), change_text(reason)));
  }
  auto failures = count_of(breaker, "window_failures").value_or(0);
  auto requests = count_of(breaker, "window_requests").value_or(0);
  auto row = count_of(breaker, "failures_in_a_row").value_or(0);
  if (state == "open" && is_true(breaker, "forced")) {
    parts.emplace_back("opened by hand, until it is closed so");
  } else if (failures > 0) {
    parts.push_back(fmt::format("{} of the last {} requests failed", failures, requests));
  }
  if (row > 1) parts.push_back(fmt::format("{} in a row", row));
  if (auto opens = count_of(breaker, "opens_for_trials_in_ms")) {
    parts.push_back("trials in " + seconds_text(*opens));
  }
  if (state == "half_open") {
    auto trials = count_of(breaker, "trials_under_way").value_or(0);
    parts.push_back(trials == 0 ? "the next requests are trials"
                                : fmt::format("trials under way: {}", trials));
  }
  if (auto cooling = count_of(breaker, "cooling_for_ms")) {
    parts.push_back("after a 429 no requests for " + seconds_text(*cooling));
  }
  return join(parts, ", ");
}

std::string models_table(const json::value& endpoint, const Paint& paint) {
  Table table({{"MODEL"},
               {"BREAKER"},
               {"LATENCY", Align::right},
               {"SUCCESSES", Align::right},
               {"FAILURES", Align::right},
               {"WHY"}});
  for (const json::value& model : list_of(endpoint, "models")) {
    const json::value* breaker = member(model, "breaker");
    BreakerSight sight = breaker == nullptr ? BreakerSight() : sight_of(*breaker);
    table.add({{string_of(model, "model")},
               {sight.words, sight.tone},
               {milliseconds_text(model, "latency_ms")},
               {number_text(model, "successes")},
               {number_text(model, "failures")},
               {breaker == nullptr ? std::string() : breaker_reason(*breaker)}});
  }
  return table.empty() ? std::string() : "\n" + table.render(paint);
}

// --- the tree

// Lines of a tree. Cells of lines that have more than one are aligned with each other.
class Tree {
 public:
  explicit Tree(const Paint& paint) : paint_(paint) {}
  void add(std::string stem, std::vector<Cell> cells) {
    for (Cell& cell : cells) cell.text = safe_line(cell.text);
    lines_.push_back({std::move(stem), std::move(cells)});
  }
  std::string render() const;

 private:
  struct Line {
    std::string stem;  // the branches before it
    std::vector<Cell> cells;
  };
  std::vector<std::size_t> widths() const;

  const Paint& paint_;
  std::vector<Line> lines_;
};

std::vector<std::size_t> Tree::widths() const {
  std::vector<std::size_t> widths;
  for (const Line& line : lines_) {
    if (line.cells.size() < 2) continue;
    widths.resize(std::max(widths.size(), line.cells.size()));
    for (std::size_t i = 0; i < line.cells.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(line.cells[i].text));
    }
  }
  return widths;
}

std::string Tree::render() const {
  std::vector<std::size_t> columns = widths();
  std::string out;
  for (const Line& line : lines_) {
    out += paint_(Tone::dim, line.stem);
    std::size_t gap = 0;  // spaces owed before the next text, so that none end a line
    for (std::size_t i = 0; i < line.cells.size(); ++i) {
      const Cell& cell = line.cells[i];
      bool alone = line.cells.size() < 2;
      if (!cell.text.empty()) {
        out += std::string(gap, ' ') + paint_(cell.tone, cell.text);
        gap = 0;
      }
      if (!alone && columns[i] > 0) gap += columns[i] - display_width(cell.text) + 2;
    }
    out += '\n';
  }
  return out;
}

struct Chosen {
  std::string_view endpoint, model;
};

// A breaker or a full capacity is said as the obstacle already.
std::vector<Cell> target_cells(const json::value& target, bool chosen) {
  bool usable = is_true(target, "usable");
  std::string breaker = string_of(target, "breaker");
  std::string places = places_text(target);
  auto share = number_of(target, "share");
  bool partly = usable && share && *share < 0.995;
  std::string weight = number_text(target, "weight");
  return {
      {string_of(target, "endpoint"), Tone::strong},
      {string_of(target, "model")},
      {usable ? "✓ usable" : "✗ " + string_of(target, "obstacle"), usable ? Tone::good : Tone::bad},
      {breaker.empty() ? "" : "breaker " + breaker, breaker == "closed" ? Tone::dim : Tone::busy},
      {milliseconds_text(target, "latency_ms")},
      {places.empty() ? "" : places + " in flight"},
      {weight.empty() ? "" : "weight " + weight, weight == "0" ? Tone::busy : Tone::dim},
      {partly ? "share " + percent_text(target, "share") : "", Tone::busy},
      {chosen ? "← now" : "", Tone::strong}};
}

std::string group_title(const json::value& group, std::string_view route, bool first) {
  std::string title = fmt::format("group {}", number_text(group, "number"));
  if (text_of(group, "route") != route) {
    title = fmt::format("fallback {}, {}", text_of(group, "route"), title);
  }
  std::string_view balance = text_of(group, "balance");
  if (!balance.empty()) title += fmt::format(", {}", balance);
  return first ? title : title + ", when none before can answer";
}

// The route, its groups in order, their targets. `chosen` is marked once.
std::string groups_tree(const json::value& route, std::string_view root, std::string_view name,
                        std::optional<Chosen> chosen, const Paint& paint) {
  Tree tree(paint);
  tree.add("", {{std::string(root), Tone::strong}});
  const json::array& groups = list_of(route, "groups");
  for (std::size_t i = 0; i < groups.size(); ++i) {
    bool last = i + 1 == groups.size();
    tree.add(last ? "└─ " : "├─ ", {{group_title(groups[i], name, i == 0)}});
    const json::array& targets = list_of(groups[i], "targets");
    for (std::size_t j = 0; j < targets.size(); ++j) {
      const json::value& target = targets[j];
      bool here = chosen && is_true(target, "usable") &&
                  text_of(target, "endpoint") == chosen->endpoint &&
                  text_of(target, "model") == chosen->model;
      if (here) chosen.reset();
      tree.add(std::string(last ? "   " : "│  ") + (j + 1 == targets.size() ? "└─ " : "├─ "),
               target_cells(target, here));
    }
  }
  return tree.render();
}

std::string notes_text(const json::value& route) {
  std::string out;
  for (const json::value& note : list_of(route, "notes")) {
    if (note.is_string()) out += "note: " + safe_line(std::string_view(note.get_string())) + "\n";
  }
  return out;
}

struct Targets {
  std::size_t usable = 0, all = 0;
};

Targets count_targets(const json::value& route) {
  Targets count;
  for (const json::value& group : list_of(route, "groups")) {
    for (const json::value& target : list_of(group, "targets")) {
      ++count.all;
      if (is_true(target, "usable")) ++count.usable;
    }
  }
  return count;
}

std::string queue_text(const json::value& queue) {
  std::string out =
      fmt::format("{} of at most {}", number_text(queue, "waiting"), number_text(queue, "limit"));
  std::string wait = milliseconds_text(queue, "wait_ms");
  return wait.empty() ? out : fmt::format("{}; who comes now waits about {}", out, wait);
}

std::string parameters_text(const json::value& settings) {
  const json::value* parameters = member(settings, "parameters");
  if (parameters == nullptr || !parameters->is_object()) return {};
  std::string out;
  for (const auto& [name, value] : parameters->get_object()) {
    if (!out.empty()) out += ", ";
    out += fmt::format("{} = {}", std::string_view(name), corral::json::serialize(value));
  }
  return out;
}

void add_policy(Fields& fields, const json::value& settings) {
  auto on_off = [&](std::string_view name) { return is_true(settings, name) ? "on" : "off"; };
  fields.emplace_back("Fallbacks", joined(list_of(settings, "fallbacks")));
  fields.emplace_back("Parameters", parameters_text(settings));
  fields.emplace_back("Tries", number_text(settings, "tries"));
  fields.emplace_back("Hedge", on_off("hedge"));
  fields.emplace_back("Resume", on_off("resume"));
  fields.emplace_back("Cache", string_of(settings, "cache"));
}

}  // namespace

std::string render_endpoints(std::string_view body, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"NAME"},
               {"HEALTH"},
               {"BREAKER"},
               {"IN FLIGHT", Align::right},
               {"LATENCY", Align::right},
               {"REQUESTS", Align::right},
               {"SERVES"},
               {"SOURCE"}});
  for (const json::value& endpoint : list_of(document, "endpoints")) {
    BreakerSight breaker = worst_breaker(endpoint);
    std::string health = string_of(endpoint, "health");
    table.add({{string_of(endpoint, "name")},
               {health, health_tone(health)},
               {breaker.words, breaker.tone},
               {places_text(endpoint)},
               {worst_latency(endpoint)},
               {number_text(endpoint, "requests_total")},
               {serves_text(endpoint)},
               {string_of(endpoint, "source")}});
  }
  return table.empty() ? std::string() : table.render(paint);
}

std::string render_endpoint(std::string_view body, const Paint& paint) {
  json::value endpoint = parse_or_null(body);
  const json::value* settings = member(endpoint, "settings");
  bool has_key = settings != nullptr && !text_of(*settings, "api_key").empty();
  Fields fields{{"Name", string_of(endpoint, "name")},
                {"Binding", string_of(endpoint, "binding")},
                {"Address", string_of(endpoint, "url")},
                {"API key", has_key ? "set" : "none"},
                {"Serves", joined(list_of(endpoint, "serves"))},
                {"Health", string_of(endpoint, "health")},
                {"Last failed check", string_of(endpoint, "error")},
                {"In flight", places_text(endpoint)},
                {"Share", percent_text(endpoint, "share")},
                {"Weight", number_text(endpoint, "weight")},
                {"Requests", number_text(endpoint, "requests_total")},
                {"Source", source_text(endpoint)}};
  return render_fields(fields, paint) + models_table(endpoint, paint);
}

std::string render_routes(std::string_view body, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"NAME"},
               {"BALANCE"},
               {"TARGETS", Align::right},
               {"WAITING", Align::right},
               {"P50", Align::right},
               {"P95", Align::right},
               {"REQUESTS", Align::right},
               {"SOURCE"}});
  for (const json::value& route : list_of(document, "routes")) {
    const json::value* queue = member(route, "queue");
    Targets targets = count_targets(route);
    Tone tone = targets.usable == 0            ? Tone::bad
                : targets.usable < targets.all ? Tone::busy
                                               : Tone::good;
    table.add({{string_of(route, "name")},
               {string_of(route, "balance")},
               {fmt::format("{}/{}", targets.usable, targets.all), tone},
               {queue == nullptr ? std::string() : number_text(*queue, "waiting")},
               {milliseconds_text(route, "p50_ms")},
               {milliseconds_text(route, "p95_ms")},
               {number_text(route, "requests_total")},
               {string_of(route, "source")}});
  }
  return table.empty() ? std::string() : table.render(paint);
}

std::string render_route(std::string_view body, const Paint& paint) {
  json::value route = parse_or_null(body);
  Fields fields{{"Name", string_of(route, "name")},
                {"Aliases", joined(list_of(route, "aliases"))},
                {"Balance", string_of(route, "balance")}};
  if (const json::value* settings = member(route, "settings")) add_policy(fields, *settings);
  if (const json::value* queue = member(route, "queue")) {
    fields.emplace_back("Waiting", queue_text(*queue));
  }
  fields.emplace_back("P50", milliseconds_text(route, "p50_ms"));
  fields.emplace_back("P95", milliseconds_text(route, "p95_ms"));
  fields.emplace_back("Requests", number_text(route, "requests_total"));
  fields.emplace_back("Retries", number_text(route, "retries_total"));
  fields.emplace_back("Hedges", number_text(route, "hedges_total"));
  fields.emplace_back("Source", source_text(route));
  std::string name = string_of(route, "name");
  return render_fields(fields, paint) + "\n" + groups_tree(route, name, name, std::nullopt, paint) +
         render_work(route, paint) + notes_text(route);
}

std::string render_explanation(std::string_view body, const Paint& paint) {
  json::value answer = parse_or_null(body);
  std::string head, notes;
  std::string_view all = text_of(answer, "text");
  for (std::string_view line : split(all, '\n')) {
    bool drawn = line.starts_with("group ") || line.starts_with("fallback ") ||
                 line.starts_with("  ") || line.empty();  // these become the tree
    if (!drawn) (line.starts_with("note: ") ? notes : head) += safe_line(line) + "\n";
  }
  std::optional<Chosen> chosen;
  std::string verdict = paint(Tone::bad, "now:") +
                        " no target can take a request; it would wait for one, or be refused\n";
  const json::value* choice = member(answer, "would_choose");
  if (choice != nullptr && choice->is_object()) {
    chosen = Chosen{text_of(*choice, "endpoint"), text_of(*choice, "model")};
    verdict = fmt::format("{} {} ({}): {}\n", paint(Tone::good, "now:"),
                          paint(Tone::strong, safe_line(chosen->endpoint)),
                          safe_line(chosen->model), safe_line(text_of(*choice, "explanation")));
  }
  return head + "\n" +
         groups_tree(answer, text_of(answer, "name"), text_of(answer, "route"), chosen, paint) +
         render_work(answer, paint) + "\n" + verdict + notes;
}

}  // namespace corral::cli
