#include <fmt/core.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/config_source.hpp"
#include "config/config.hpp"
#include "config/node.hpp"
#include "config/properties.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

json::value value_of(std::string_view written) {
  auto parsed = corral::json::parse(written);
  return parsed ? std::move(*parsed) : json::value(nullptr);
}

json::object& section_at(json::object& root, std::span<const std::string_view> parts) {
  json::object* at = &root;
  for (std::string_view part : parts) {
    json::value& inner = (*at)[part];
    if (!inner.is_object()) inner = json::object();
    at = &inner.get_object();
  }
  return *at;
}

// The effective values as one tree; secrets are left out.
json::object tree_of(const config::Settings& settings) {
  json::object root;
  for (const auto& each : config::properties()) {
    if (each.secret) continue;
    auto parts = split(each.path, '.');
    std::string_view last = parts.back();
    parts.pop_back();
    section_at(root, parts)[last] = value_of(each.write(settings));
  }
  return root;
}

// The member that `path` names. Names of models may hold dots, so every cut is tried.
const json::value* find_path(const json::value& at, std::string_view path) {
  if (path.empty()) return &at;
  if (const json::array* list = at.if_array()) {
    auto index = parse_int(path.substr(0, path.find('.')));
    if (!index || *index < 0 || static_cast<std::size_t>(*index) >= list->size()) return nullptr;
    std::size_t dot = path.find('.');
    return find_path((*list)[static_cast<std::size_t>(*index)],
                     dot == std::string_view::npos ? "" : path.substr(dot + 1));
  }
  const json::object* object = at.if_object();
  if (object == nullptr) return nullptr;
  if (const json::value* whole = object->if_contains(path)) return whole;
  for (std::size_t dot = path.find('.'); dot != std::string_view::npos;
       dot = path.find('.', dot + 1)) {
    const json::value* inner = object->if_contains(path.substr(0, dot));
    if (inner == nullptr) continue;
    if (const json::value* found = find_path(*inner, path.substr(dot + 1))) return found;
  }
  return nullptr;
}

bool is_secret(std::string_view path) {
  for (const auto& each : config::properties()) {
    if (each.path == path) return each.secret;
  }
  return path.starts_with(config::kEndpointsPath) && path.ends_with(".api_key");
}

Failure no_such_setting(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& each : config::properties()) names.push_back(each.path);
  auto close = nearest(path, names, 1);
  return {
      ExitCode::not_found, fmt::format("there is no setting \"{}\"", path),
      close.empty() ? "corral config docs lists them" : fmt::format("did you mean {}?", close[0])};
}

Outcome<void> get_setting(ConfigContext& context, const Options& options,
                          const config::Settings& settings) {
  if (is_secret(options.setting)) {
    return failure(ExitCode::failed,
                   fmt::format("{} is a secret and is not shown", options.setting));
  }
  json::value root = tree_of(settings);
  const json::value* found = find_path(root, options.setting);
  if (found == nullptr) return std::unexpected(no_such_setting(options.setting));
  if (found->is_string() && !options.json) {
    context.console.out(std::string(std::string_view(found->get_string())) + "\n");
  } else {
    std::string text =
        found->is_structured() ? corral::json::pretty(*found) : corral::json::serialize(*found);
    context.console.out(std::string(trim(text)) + "\n");
  }
  return {};
}

std::size_t count_settings(const config::ConfigNode& node) {
  if (node.kind != config::ConfigNode::Kind::map)
    return node.kind == config::ConfigNode::Kind::null ? 0 : 1;
  std::size_t count = 0;
  for (const config::ConfigNode& item : node.items) count += count_settings(item);
  return count;
}

json::array texts(const std::vector<std::string>& lines) {
  json::array out;
  for (const std::string& line : lines) out.push_back(json::string(line));
  return out;
}

Outcome<void> report_problems(ConfigContext& context, const Options& options,
                              const config::Sources& sources, const Error& error) {
  std::vector<std::string> problems;
  for (std::string_view line : split(error.message, '\n')) problems.emplace_back(line);
  if (options.json) {
    json::object report{{"ok", false}, {"file", sources.file_name}, {"problems", texts(problems)}};
    context.console.out(corral::json::serialize(json::value(std::move(report))) + "\n");
  } else {
    for (const std::string& problem : problems) context.console.out(safe_line(problem) + "\n");
  }
  return failure(ExitCode::failed,
                 fmt::format("the configuration has {} problem{}", problems.size(),
                             problems.size() == 1 ? "" : "s"),
                 "corral config docs explains every setting");
}

Outcome<void> check(ConfigContext& context, const Options& options,
                    const config::Sources& sources) {
  auto loaded = config::load(sources);
  if (!loaded) return report_problems(context, options, sources, loaded.error());
  std::size_t count = 0;
  if (auto document = config::parse_document(sources.text, sources.file_name)) {
    count = count_settings(*document);
  }
  if (options.json) {
    json::object report{{"ok", true},
                        {"file", sources.file_name},
                        {"settings", count},
                        {"warnings", texts(loaded->warnings)}};
    context.console.out(corral::json::serialize(json::value(std::move(report))) + "\n");
    return {};
  }
  for (const std::string& warning : loaded->warnings) {
    context.console.err("warning: " + safe_line(warning) + "\n");
  }
  if (sources.text.empty()) {
    context.console.out(
        fmt::format("no configuration file ({} is not there or empty): all is as by "
                    "default\n",
                    safe_line(sources.file_name)));
  } else {
    context.console.out(fmt::format("{} is right: {} setting{}\n", safe_line(sources.file_name),
                                    count, count == 1 ? "" : "s"));
  }
  return {};
}

}  // namespace

Outcome<void> config_command(ConfigContext& context, const Options& options) {
  Console& console = context.console;
  if (options.command == "config schema") return console.out(config::schema()), Outcome<void>();
  if (options.command == "config docs") return console.out(config::docs()), Outcome<void>();
  if (options.command == "config example") return console.out(config::example()), Outcome<void>();
  auto sources = config_sources(options.serve, context.files, context.environment);
  if (!sources) return failure(std::move(sources.error()));
  if (options.command == "config check") return check(context, options, *sources);
  auto loaded = config::load(*sources);
  if (!loaded) return report_problems(context, options, *sources, loaded.error());
  if (options.command == "config get") return get_setting(context, options, loaded->settings);
  if (options.json) {
    std::string text = corral::json::pretty(tree_of(loaded->settings));
    console.out(std::string(trim(text)) + "\n");
  } else {
    console.out(config::export_yaml(loaded->settings));
  }
  return {};
}

}  // namespace corral::cli
