// How long which work takes at the targets of a route, as it was learned.
#include "cli/work_view.hpp"

#include <fmt/core.h>

#include "cli/json_view.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

std::string work_duration(const json::value& from, std::string_view name) {
  auto value = number_of(from, name);
  if (!value || *value < 0) return {};
  if (*value < 999.5) return fmt::format("{:.{}f} ms", *value, *value < 10 ? 1 : 0);
  return fmt::format("{:.1f} s", *value / 1000);
}

std::string work_kind(const json::value& work) {
  std::string kind = string_of(work, "operation");
  return is_true(work, "stream") ? kind + ", streamed" : kind;
}

}  // namespace

std::string render_work(const json::value& route, const Paint& paint) {
  Table table({{"ENDPOINT"},
               {"MODEL"},
               {"WORK"},
               {"TAKES", Align::right},
               {"AT LEAST", Align::right},
               {"FOR EACH KIB OF INPUT", Align::right},
               {"REQUESTS", Align::right}});
  for (const json::value& group : list_of(route, "groups")) {
    for (const json::value& target : list_of(group, "targets")) {
      for (const json::value& work : list_of(target, "work")) {
        table.add({{string_of(target, "endpoint")},
                   {string_of(target, "model")},
                   {work_kind(work)},
                   {work_duration(work, "usual_ms")},
                   {work_duration(work, "fixed_ms")},
                   {work_duration(work, "per_kib_ms")},
                   {number_text(work, "requests")}});
      }
    }
  }
  return table.empty() ? std::string() : "\n" + table.render(paint);
}

}  // namespace corral::cli
