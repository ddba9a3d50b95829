#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "base/json.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "config/properties.hpp"
#include "config/writer.hpp"

namespace corral::config {
namespace {

namespace bj = boost::json;

// --- JSON Schema

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

bj::object schema_of(const Description& property) {
  // The text comes from the types and is valid by their tests.
  bj::object object = bj::parse("{" + property.type_schema + "}").as_object();
  object["description"] = property.doc;
  if (!property.secret) object["default"] = bj::parse(property.default_json);
  if (property.shape == Shape::value) return object;
  bj::object element = section("");
  bj::array required;
  for (const auto& each : property.elements) {
    element["properties"].as_object()[each.path] = schema_of(each);
    if (each.required) required.push_back(bj::string(each.path));
  }
  if (!required.empty()) element["required"] = std::move(required);
  object[property.shape == Shape::list ? "items" : "additionalProperties"] = std::move(element);
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
  bool nothing = written == "\"\"" || written == "[]" || written == "{}";
  return nothing ? "" : fmt::format("`{}`", cell(written));
}

void append_row(std::string& out, const Description& property) {
  out += fmt::format("| `{}` | {} | {} | {} | {} |\n", property.path, cell(property.type_name),
                     property.secret ? "" : default_text(property.default_json),
                     property.applies == Applies::on_reload ? "reload" : "restart",
                     cell(property.doc));
}

constexpr std::string_view kTableHead =
    "| Key | Type | Default | Change applies on | Meaning |\n"
    "| --- | --- | --- | --- | --- |\n";

// A table for the sections of a list or map, and for those within them.
void append_tables(std::string& out, const std::string& prefix, const Description& property) {
  if (property.shape == Shape::value) return;
  std::string title = prefix + property.path + (property.shape == Shape::map ? ".NAME" : "");
  out += fmt::format("\n## {}\n\n{}\n\n{}", title, property.doc, kTableHead);
  for (const auto& each : property.elements) append_row(out, each);
  for (const auto& each : property.elements) append_tables(out, title + ".", each);
}

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

std::string quoted_capitals(std::string_view key) {
  std::string text = environment_name(key);
  return json::quoted(text.substr(text.find('_') + 1));
}

// A property with its default; `margin` begins with the comment sign.
void append_default(std::string& out, const std::string& margin, const Description& property) {
  auto key = last_part(property.path);
  if (property.shape == Shape::value) {
    // What has no default is shown by its own name, as `NAME` stands for that of a section.
    bool open = property.required && property.default_json == "\"\"";
    std::string shown = open ? quoted_capitals(key) : property.default_json;
    out += fmt::format("{}{}: {}\n", margin, key, property.secret ? "\"\"" : shown);
    return;
  }
  out += fmt::format("{}{}:\n{}  {}\n", margin, key, margin,
                     property.shape == Shape::list ? "-" : "NAME:");
  for (const auto& each : property.elements) {
    append_comment(out, margin + "    ", each.doc);
    append_default(out, margin + "    ", each);
  }
}

}  // namespace

std::string schema() {
  bj::object root = section("");
  root["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  root["title"] = "Configuration of Corral";
  for (const auto& each : properties()) place(root, each.path) = schema_of(each);
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
  for (const auto& each : properties()) append_row(out, each);
  for (const auto& each : properties()) append_tables(out, "", each);
  return out;
}

std::string example() {
  std::string out =
      "# Configuration of Corral. Every key is shown with its default; remove the # before those\n"
      "# that you want to change. `corral config check` says what is wrong with a file.\n\n";
  std::vector<std::string> open;
  for (const auto& each : properties()) {
    std::string margin = open_sections(out, open, each.path);
    if (each.shape != Shape::value && margin.empty()) out += '\n';
    append_comment(out, margin, each.doc);
    append_default(out, margin + "# ", each);
  }
  return out;
}

std::string export_yaml(const Settings& settings) {
  std::string out = "# The effective configuration of Corral, secrets left out.\n";
  std::vector<std::string> open;
  for (const auto& each : properties()) {
    std::string margin = open_sections(out, open, each.path);
    if (each.shape != Shape::value && margin.empty()) out += '\n';
    append_value(out, margin, each, settings);
  }
  return out;
}

std::vector<Change> diff(const Settings& before, const Settings& after) {
  std::vector<Change> changes;
  compare(properties(), "", before, after, changes);
  return changes;
}

}  // namespace corral::config
