// `corral containers`: what there is, starting and stopping, logs.
#include <fmt/core.h>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/json_view.hpp"
#include "net/sse.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr std::int64_t kLines = 200;

Tone state_tone(std::string_view state) {
  if (state == "ready") return Tone::good;
  if (state == "failed") return Tone::bad;
  if (state == "stopped" || state == "absent") return Tone::dim;
  return Tone::busy;
}

std::string container_state(const json::value& container) {
  std::string state(text_of(container, "state"));
  if (!is_true(container, "configured")) return "not configured";
  const json::value* pull = member(container, "pull");
  auto total = pull == nullptr ? std::nullopt : count_of(*pull, "bytes_total");
  if (!total || *total == 0) return state;
  auto done = count_of(*pull, "bytes_done").value_or(0);
  return fmt::format("{} {:.0f} %", state,
                     100.0 * static_cast<double>(done) / static_cast<double>(*total));
}

std::string memory_text(const json::value& container) {
  const json::value* usage = member(container, "usage");
  auto used = usage == nullptr ? std::nullopt : count_of(*usage, "memory_bytes");
  return used ? format_bytes(*used) : std::string();
}

Outcome<void> list(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.containers());
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  auto document = parse_or_null(body);
  std::string_view problem = text_of(document, "error");
  if (!problem.empty()) context.console.err("warning: " + safe_line(problem) + "\n");
  std::string table = render_containers(body, context.out_paint);
  context.console.out(table.empty() ? "There is no container; docker.containers in the "
                                      "configuration names them.\n"
                                    : table);
  return {};
}

Outcome<void> logs(Context& context, const Options& options) {
  CORRAL_TRY(std::string body,
             context.api.container_logs(options.name, options.tail.value_or(kLines)));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  auto document = parse_or_null(body);
  for (const json::value& line : list_of(document, "lines")) {
    context.console.out(safe_line(text_of(line, "text")) + "\n");
  }
  return {};
}

// Follows an operation to its end; its last form.
Outcome<json::value> follow(Context& context, const std::string& id) {
  net::SseParser parser;
  json::value last;
  bool drawn = false;
  auto take = [&](std::string_view bytes) {
    parser.feed(bytes);
    for (;;) {
      auto event = parser.next();
      if (!event) return false;
      if (*event == nullptr) return true;
      last = parse_or_null((*event)->data);
      auto state = text_of(last, "state");
      if (state == "succeeded" || state == "failed") return false;
      if (context.console.err_is_terminal() && count_of(last, "bytes_total")) {
        context.console.err(std::string(kToLineStart) + render_progress(last));
        drawn = true;
      }
    }
  };
  auto done = context.api.watch_operation(id, take);
  if (drawn) context.console.err("\n");
  if (!done) {
    if (done.error().exit == ExitCode::interrupted) {
      context.console.err("the server goes on with it; corral containers shows how it stands\n");
    }
    return std::unexpected(std::move(done.error()));
  }
  return last;
}

std::string_view result_of(std::string_view action) {
  if (action == "stop") return "is stopped";
  if (action == "rm") return "is removed";
  if (action == "pull") return "has its image; a new one is taken by rm and start";
  return "is ready";
}

Outcome<void> act(Context& context, const Options& options, std::string_view action) {
  std::string_view verb = action == "rm" ? "remove" : action;
  CORRAL_TRY(std::string begun, context.api.act_on_container(options.name, verb));
  auto operation = parse_or_null(begun);
  CORRAL_TRY(json::value last, follow(context, std::string(text_of(operation, "id"))));
  auto state = text_of(last, "state");
  if (state != "succeeded") {
    auto error = text_of(last, "error");
    return failure(ExitCode::failed,
                   error.empty() ? "the server did not say how it ended" : std::string(error));
  }
  if (options.json) {
    print_json(context.console, corral::json::serialize(last));
  } else {
    context.console.out(fmt::format("{} {}\n", safe_line(options.name), result_of(action)));
  }
  return {};
}

}  // namespace

std::string render_containers(std::string_view body, const Paint& paint) {
  json::value document = parse_or_null(body);
  Table table({{"NAME"},
               {"IMAGE"},
               {"STATE"},
               {"ADDRESS"},
               {"MEMORY", Align::right},
               {"RESTARTS", Align::right},
               {"ERROR"}});
  for (const json::value& container : list_of(document, "containers")) {
    table.add({{std::string(text_of(container, "name"))},
               {std::string(text_of(container, "image"))},
               {container_state(container), state_tone(text_of(container, "state"))},
               {std::string(text_of(container, "url"))},
               {memory_text(container)},
               {number_text(container, "restarts")},
               {std::string(text_of(container, "error"))}});
  }
  return table.empty() ? std::string() : table.render(paint);
}

Outcome<void> containers_command(Context& context, const Options& options) {
  std::string_view command = options.command;
  auto space = command.find(' ');
  std::string_view action = space == command.npos ? "list" : command.substr(space + 1);
  if (action == "list") return list(context, options);
  if (action == "logs") return logs(context, options);
  return act(context, options, action);
}

}  // namespace corral::cli
