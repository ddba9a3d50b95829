#include <fmt/format.h>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "base/json.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "config/properties.hpp"

namespace corral::config {
namespace {

namespace bj = boost::json;

// --- JSON Schema

template <class Owner>
bj::object schema_of(const Property<Owner>& property, const Owner& defaults) {
  // The text comes from types.cpp and is valid by its tests.
  bj::object object = bj::parse("{" + property.type_schema + "}").as_object();
  object["description"] = property.doc;
  if (!property.secret) object["default"] = bj::parse(property.write(defaults));
  return object;
}

bj::object section(std::string_view doc) {
  bj::object object{{"type", "object"}, {"additionalProperties", false}};
  if (!doc.empty()) object["description"] = doc;
  object["properties"] = bj::object();
  return object;
}

// The object at `path` below `root`, made with all sections on the way.
bj::object& place(bj::object& root, std::string_view path) {
  bj::object* at = &root;
  for (auto part : split(path, '.')) {
    auto& inner = (*at)["properties"].as_object();
    if (!inner.contains(part)) inner[part] = section("");
    at = &inner[part].as_object();
  }
  return *at;
}

template <class Owner>
bj::object element_schema(const std::vector<Property<Owner>>& table) {
  bj::object object = section("");
  for (const auto& each : table) {
    object["properties"].as_object()[each.path] = schema_of(each, Owner{});
  }
  return object;
}

// --- Markdown

std::string cell(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (c == '|') result += '\\';
    result += c;
  }
  return result;
}

std::string default_text(std::string_view written) {
  return written == "\"\"" || written == "[]" ? "" : fmt::format("`{}`", cell(written));
}

template <class Owner>
void append_row(std::string& out, std::string_view prefix, const Property<Owner>& property) {
  out += fmt::format(
      "| `{}{}` | {} | {} | {} | {} |\n", prefix, property.path, cell(property.type_name),
      property.secret ? "" : default_text(property.write(Owner{})),
      property.applies == Applies::on_reload ? "reload" : "restart", cell(property.doc));
}

constexpr std::string_view kTableHead =
    "| Key | Type | Default | Change applies on | Meaning |\n"
    "| --- | --- | --- | --- | --- |\n";

// --- YAML

std::string indent(std::size_t levels) { return std::string(levels * 2, ' '); }

// "# doc" in lines of at most 96 characters.
void append_comment(std::string& out, const std::string& margin, std::string_view doc) {
  constexpr std::size_t kWidth = 96;
  std::string line = margin + "#";
  for (auto word : split(doc, ' ')) {
    if (line.size() + 1 + word.size() > kWidth) {
      out += line + "\n";
      line = margin + "#";
    }
    line += fmt::format(" {}", word);
  }
  out += line + "\n";
}

// Opens the sections of `path` that were not open in `open`; returns the margin for its last part.
std::string open_sections(std::string& out, std::vector<std::string>& open, std::string_view path) {
  auto parts = split(path, '.');
  std::size_t same = 0;
  while (same < open.size() && same + 1 < parts.size() && open[same] == parts[same]) ++same;
  open.resize(same);
  for (std::size_t i = same; i + 1 < parts.size(); ++i) {
    if (i == 0) out += '\n';
    out += fmt::format("{}{}:\n", indent(i), parts[i]);
    open.emplace_back(parts[i]);
  }
  return indent(parts.size() - 1);
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('.') + 1); }

template <class Owner>
void append_value(std::string& out, const std::string& margin, const Property<Owner>& property,
                  const Owner& owner) {
  auto key = last_part(property.path);
  if (property.secret) {
    out += fmt::format("{}# {}: {}\n", margin, key,
                       property.is_empty(owner) ? "not set" : "set, and not shown");
  } else {
    out += fmt::format("{}{}: {}\n", margin, key, property.write(owner));
  }
}

void append_models(std::string& out, const std::map<std::string, ModelSettings>& models) {
  if (models.empty()) return;
  out += "  settings:\n";
  for (const auto& [name, model] : models) {
    out += fmt::format("    {}:\n", json::quoted(name));
    for (const auto& each : model_properties()) append_value(out, indent(3), each, model);
  }
}

void append_endpoints(std::string& out, const std::vector<EndpointSettings>& endpoints) {
  if (endpoints.empty()) return;
  out += "\nendpoints:\n";
  for (const auto& endpoint : endpoints) {
    out += "  -\n";
    for (const auto& each : endpoint_properties()) append_value(out, indent(2), each, endpoint);
  }
}

template <class Owner>
void append_element_example(std::string& out, const std::vector<Property<Owner>>& table,
                            const std::string& margin) {
  for (const auto& each : table) {
    append_comment(out, margin, each.doc);
    out += fmt::format("{}{}: {}\n", margin, each.path, each.secret ? "\"\"" : each.write(Owner{}));
  }
}

// --- differences

template <class Owner>
void compare(const std::vector<Property<Owner>>& table, const std::string& prefix, const Owner& a,
             const Owner& b, std::vector<Change>& changes) {
  for (const auto& each : table) {
    if (each.same(a, b)) continue;
    changes.push_back({prefix + each.path, each.applies == Applies::after_restart});
  }
}

std::map<std::string, EndpointSettings> by_name(const std::vector<EndpointSettings>& endpoints) {
  std::map<std::string, EndpointSettings> result;
  for (const auto& endpoint : endpoints) result[endpoint.name] = endpoint;
  return result;
}

// Elements that came or went are one change each; of others, the properties.
template <class Owner>
void compare_named(const std::vector<Property<Owner>>& table, std::string_view prefix,
                   const std::map<std::string, Owner>& a, const std::map<std::string, Owner>& b,
                   std::vector<Change>& changes) {
  for (const auto& [name, owner] : a) {
    std::string path = fmt::format("{}.{}", prefix, name);
    if (auto other = b.find(name); other != b.end()) {
      compare(table, path + ".", owner, other->second, changes);
    } else {
      changes.push_back({path, false});
    }
  }
  for (const auto& [name, owner] : b) {
    if (!a.contains(name)) changes.push_back({fmt::format("{}.{}", prefix, name), false});
  }
}

}  // namespace

std::string schema() {
  bj::object root = section("");
  root["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  root["title"] = "Configuration of Corral";
  const Settings defaults;
  for (const auto& each : properties()) place(root, each.path) = schema_of(each, defaults);

  bj::object models{{"type", "object"}, {"description", kModelsDoc}};
  models["additionalProperties"] = element_schema(model_properties());
  place(root, kModelsPath) = std::move(models);

  bj::object endpoints{{"type", "array"}, {"description", kEndpointsDoc}};
  endpoints["items"] = element_schema(endpoint_properties());
  endpoints["items"].as_object()["required"] = bj::array{"name", "binding", "url"};
  place(root, kEndpointsPath) = std::move(endpoints);
  return json::pretty(root) + "\n";
}

std::string docs() {
  std::string out = "# Configuration\n\n";
  out +=
      "Values come from, lowest first: the defaults below, `corral.yaml` (or JSON), the "
      "environment, the command line.\nThe environment variable of a key is `CORRAL_` and the key "
      "in upper case with `_` for `.`, such as `CORRAL_SERVER_API_KEY`;\na secret may be read from "
      "a file that `CORRAL_SERVER_API_KEY_FILE` names, and the key of an endpoint comes "
      "from\n`CORRAL_ENDPOINTS_<NAME>_API_KEY`. Durations are written as `250ms`, `30s` or "
      "`1h30m`, sizes as `64KiB` or `1.5GiB`.\n\n";
  out += kTableHead;
  for (const auto& each : properties()) append_row(out, "", each);
  out += fmt::format("\n## {}.NAME\n\n{}\n\n{}", kModelsPath, kModelsDoc, kTableHead);
  for (const auto& each : model_properties()) append_row(out, "", each);
  out += fmt::format("\n## {}\n\n{}\n\n{}", kEndpointsPath, kEndpointsDoc, kTableHead);
  for (const auto& each : endpoint_properties()) append_row(out, "", each);
  return out;
}

std::string example() {
  std::string out =
      "# Configuration of Corral. Every key is shown with its default; remove the # before those\n"
      "# that you want to change. `corral config check` says what is wrong with a file.\n\n";
  const Settings defaults;
  std::vector<std::string> open;
  bool models_done = false;
  for (const auto& each : properties()) {
    if (!models_done && each.path.starts_with("engines.")) {
      models_done = true;
      append_comment(out, "  ", kModelsDoc);
      out += "  # settings:\n  #   NAME:\n";
      append_element_example(out, model_properties(), "  #     ");
    }
    std::string margin = open_sections(out, open, each.path);
    append_comment(out, margin, each.doc);
    out += fmt::format("{}# {}: {}\n", margin, last_part(each.path),
                       each.secret ? "\"\"" : each.write(defaults));
  }
  out += '\n';
  append_comment(out, "", kEndpointsDoc);
  out += "# endpoints:\n#   -\n";
  append_element_example(out, endpoint_properties(), "#     ");
  return out;
}

std::string export_yaml(const Settings& settings) {
  std::string out = "# The effective configuration of Corral, secrets left out.\n";
  std::vector<std::string> open;
  bool models_done = false;
  for (const auto& each : properties()) {
    if (!models_done && each.path.starts_with("engines.")) {
      models_done = true;
      append_models(out, settings.models.settings);
    }
    std::string margin = open_sections(out, open, each.path);
    append_value(out, margin, each, settings);
  }
  append_endpoints(out, settings.endpoints);
  return out;
}

std::vector<Change> diff(const Settings& before, const Settings& after) {
  std::vector<Change> changes;
  compare(properties(), "", before, after, changes);
  compare_named(model_properties(), kModelsPath, before.models.settings, after.models.settings,
                changes);
  compare_named(endpoint_properties(), kEndpointsPath, by_name(before.endpoints),
                by_name(after.endpoints), changes);
  return changes;
}

}  // namespace corral::config
