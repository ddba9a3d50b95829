// How a model would be started, as a table for people: `corral show MODEL --plan`.
#include <fmt/core.h>

#include <array>
#include <utility>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/json_view.hpp"

namespace corral::cli {
namespace {

namespace json = boost::json;

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kParts{
    {{"weights_bytes", "weights"},
     {"repacked_bytes", "rearranged copy of weights"},
     {"kv_cache_bytes", "cache of keys and values"},
     {"checkpoints_bytes", "checkpoints of it"},
     {"compute_bytes", "buffers for computing"},
     {"output_bytes", "output"},
     {"prompt_cache_bytes", "prompt cache"},
     {"projector_bytes", "projector"},
     {"program_bytes", "the engine itself"}}};

std::string bytes_of(const json::value& from, std::string_view name) {
  auto bytes = count_of(from, name);
  return bytes && *bytes > 0 ? format_bytes(*bytes) : "-";
}

// Which part of the memory lies where.
std::string render_memory(const json::value& plan, const Paint& paint) {
  const json::value* host = member(plan, "host");
  const json::value* accelerator = member(plan, "accelerator");
  if (host == nullptr) return {};
  const bool two = accelerator != nullptr && accelerator->is_object();
  std::vector<Table::Column> columns{{"MEMORY"}, {"HOST", Align::right}};
  if (two) columns.push_back({"ACCELERATOR", Align::right});
  Table table(std::move(columns));
  auto add = [&](std::string_view name, std::string_view title, Tone tone) {
    const bool there = count_of(*host, name).value_or(0) > 0 ||
                       (two && count_of(*accelerator, name).value_or(0) > 0);
    if (!there) return;
    std::vector<Table::Cell> row{{std::string(title), tone}, {bytes_of(*host, name), tone}};
    if (two) row.push_back({bytes_of(*accelerator, name), tone});
    table.add(std::move(row));
  };
  for (const auto& [name, title] : kParts) add(name, title, Tone::plain);
  add("total_bytes", "together", Tone::strong);
  return table.render(paint);
}

}  // namespace

std::string render_plan(std::string_view model, const Paint& paint) {
  const json::value document = parse_or_null(model);
  const json::value* plan = member(document, "plan");
  if (plan == nullptr || !plan->is_object()) return {};
  Table table({{"WHAT"}, {"CHOSEN"}, {"WHY"}});
  for (const json::value& choice : list_of(*plan, "choices")) {
    table.add({{std::string(text_of(choice, "what"))},
               {std::string(text_of(choice, "value")), Tone::strong},
               {std::string(text_of(choice, "why"))}});
  }
  std::string out = table.empty() ? std::string() : table.render(paint);
  const std::string memory = render_memory(*plan, paint);
  if (!out.empty() && !memory.empty()) out += '\n';
  return out + memory;
}

Outcome<void> show_plan(Context& context, const Options& options, std::string_view model) {
  const json::value document = parse_or_null(model);
  const json::value* plan = member(document, "plan");
  if (plan == nullptr || !plan->is_object()) {
    return failure(ExitCode::failed,
                   fmt::format("there is no plan for '{}': no engine here runs it", options.model),
                   "models of endpoints are started by whoever runs the endpoint");
  }
  if (options.json) {
    print_json(context.console, json::serialize(*plan));
    return {};
  }
  if (auto error = text_of(*plan, "error"); !error.empty()) {
    return failure(ExitCode::failed, std::string(error), std::string(text_of(*plan, "hint")));
  }
  context.console.out(render_plan(model, context.out_paint));
  return {};
}

}  // namespace corral::cli
