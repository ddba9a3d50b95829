// `corral cp`, `tag`, `rm`, `rollback` and `verify`: models in the catalog.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/json.hpp"
#include "cli/commands.hpp"
#include "cli/json_view.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr std::array<std::string_view, 5> kCommands = {"cp", "tag", "rm", "rollback", "verify"};
constexpr std::chrono::milliseconds kFirstLook{50};
constexpr std::chrono::milliseconds kSeldomLook{1000};

void say(Context& context, const Options& options, const std::string& body, std::string_view what) {
  if (options.json) {
    print_json(context.console, body);
    return;
  }
  json::value model = parse_or_null(body);
  context.console.out(fmt::format("{} {} version {}\n", safe_line(text_of(model, "name")), what,
                                  number_text(model, "version")));
}

Outcome<void> remove(Context& context, const Options& options) {
  std::int64_t version = options.version.value_or(0);
  CORRAL_CHECK(context.api.remove_model(options.model, version));
  if (options.json) {
    json::object done{{"name", options.model}, {"removed", true}};
    if (version > 0) done["version"] = version;
    print_json(context.console, corral::json::serialize(json::value(done)));
    return {};
  }
  std::string which = version > 0 ? fmt::format("version {} of ", version) : "";
  context.console.out(fmt::format("{}{} is removed\n", which, safe_line(options.model)));
  return {};
}

// Looks often at first, so that a small model is answered at once.
Outcome<std::string> finished(Context& context, std::string body) {
  auto pause = kFirstLook;
  for (;;) {
    json::value operation = parse_or_null(body);
    if (text_of(operation, "state") != "running") return body;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kSeldomLook);
    CORRAL_TRY(body, context.api.operation(text_of(operation, "id")));
  }
}

// With a bar, where somebody looks.
Outcome<std::string> check(Context& context, const Options& options) {
  using Wait = ServerApi::Wait;
  if (!context.console.err_is_terminal()) {
    CORRAL_TRY(std::string begun, context.api.verify(options.model));
    return finished(context, std::move(begun));
  }
  CORRAL_TRY(std::string begun, context.api.verify(options.model, Wait::none));
  std::string id(text_of(parse_or_null(begun), "id"));
  CORRAL_TRY(json::value last, follow_operation(context, id, "check"));
  return corral::json::serialize(last);
}

Outcome<void> verify(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, check(context, options));
  json::value operation = parse_or_null(body);
  std::string_view state = text_of(operation, "state");
  if (state == "failed") {
    return failure(ExitCode::failed, std::string(text_of(operation, "error")));
  }
  if (state == "cancelled") return failure(ExitCode::failed, "the check was cancelled");
  if (options.json) {
    print_json(context.console, body);
  } else {
    context.console.out(options.model.empty()
                            ? std::string("all files are as they were taken in\n")
                            : fmt::format("{} is as it was taken in\n", safe_line(options.model)));
  }
  return {};
}

}  // namespace

bool is_catalog_command(std::string_view command) {
  return std::ranges::find(kCommands, command) != kCommands.end();
}

Outcome<void> catalog_command(Context& context, const Options& options) {
  std::int64_t version = options.version.value_or(0);
  if (options.command == "rm") return remove(context, options);
  if (options.command == "verify") return verify(context, options);
  if (options.command == "rollback") {
    CORRAL_TRY(std::string body, context.api.rollback_model(options.model, version));
    say(context, options, body, "is back at");
    return {};
  }
  bool copy = options.command == "cp";
  CORRAL_TRY(std::string body, copy ? context.api.copy_model(options.model, options.name)
                                    : context.api.tag_model(options.model, options.name, version));
  say(context, options, body, "has");
  return {};
}

std::string with_versions(ServerApi& api, std::string body) {
  json::value model = parse_or_null(body);
  if (!count_of(model, "version")) return body;
  auto more = api.model_versions(text_of(model, "name"));
  if (!more) return body;  // the model is shown all the same
  json::value document = parse_or_null(*more);
  json::object& whole = model.as_object();
  for (const char* key : {"revision", "license", "author", "added", "versions"}) {
    if (const json::value* value = member(document, key)) whole[key] = *value;
  }
  if (const json::value* files = member(document, "files")) whole["blobs"] = *files;
  return corral::json::serialize(model);
}

}  // namespace corral::cli
