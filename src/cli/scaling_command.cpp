// `corral scaling`: which models have several engines, and what changed their number.
#include <fmt/core.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/json_view.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr std::size_t kShownDecisions = 20;

std::string count_or_none(const json::value& from, std::string_view name) {
  auto value = count_of(from, name);
  return value ? fmt::format("{}", *value) : std::string();
}

std::string measure(const json::value& from, std::string_view name, std::string_view unit) {
  auto value = number_of(from, name);
  return value ? fmt::format("{:.0f} {}", *value, unit) : std::string();
}

std::string deployments(const json::value& document, const Paint& paint) {
  Table table({{"MODEL"},
               {"PURPOSE"},
               {"READY", Align::right},
               {"WANTED", Align::right},
               {"MIN", Align::right},
               {"MAX", Align::right},
               {"IN FLIGHT", Align::right},
               {"WAITING", Align::right},
               {"WAIT", Align::right},
               {"FIRST TOKEN", Align::right},
               {"SPEED", Align::right}});
  for (const json::value& each : list_of(document, "deployments")) {
    table.add({{std::string(text_of(each, "model"))},
               {std::string(text_of(each, "purpose"))},
               {count_or_none(each, "ready")},
               {count_or_none(each, "wanted")},
               {count_or_none(each, "min_replicas")},
               {count_or_none(each, "max_replicas")},
               {count_or_none(each, "in_flight")},
               {count_or_none(each, "waiting")},
               {measure(each, "wait_ms", "ms")},
               {measure(each, "first_token_ms", "ms")},
               {measure(each, "tokens_per_second", "tokens/s")}});
  }
  return table.empty() ? std::string() : table.render(paint);
}

// The latest first.
std::string decisions(const json::value& document, sys::Wall now, const Paint& paint) {
  Table table({{"WHEN"}, {"MODEL"}, {"PURPOSE"}, {"CHANGE"}, {"WHY"}});
  const auto& all = list_of(document, "decisions");
  const std::size_t shown = std::min(all.size(), kShownDecisions);
  for (std::size_t i = 1; i <= shown; ++i) {
    const json::value& each = all[all.size() - i];
    auto at = parse_rfc3339(text_of(each, "at"));
    bool held_back = text_of(each, "kind") == "held_back";
    std::string change =
        held_back ? "none"
                  : fmt::format("{} to {}", count_or_none(each, "from"), count_or_none(each, "to"));
    table.add({{at ? ago(*at, now) : ""},
               {std::string(text_of(each, "model"))},
               {std::string(text_of(each, "purpose"))},
               {std::move(change), held_back ? Tone::bad : Tone::plain},
               {std::string(text_of(each, "reason"))}});
  }
  return table.empty() ? std::string() : "\n" + table.render(paint);
}

}  // namespace

std::string render_scaling(std::string_view body, sys::Wall now, const Paint& paint) {
  json::value document = parse_or_null(body);
  return deployments(document, paint) + decisions(document, now, paint);
}

Outcome<void> show_scaling(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.scaling());
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  std::string text = render_scaling(body, context.clock.wall(), context.out_paint);
  if (text.empty()) {
    text =
        "No model has several engines. Give it min_replicas or max_replicas in "
        "models.settings.\n";
  }
  context.console.out(text);
  return {};
}

}  // namespace corral::cli
