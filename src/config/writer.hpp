// Writes owners by their tables of properties: as YAML for people, as JSON, and what differs
// between two of them.
//
// Thread rule: pure functions.
#pragma once

#include <fmt/core.h>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "config/properties.hpp"

namespace corral::config {

// left_out: as if they were not set; masked: "***" where one is set; shown: as they are.
enum class Secrets { left_out, masked, shown };
enum class Defaults { written, left_out };

template <class Owner>
std::string element_json(const std::vector<Property<Owner>>& table, const Owner& owner,
                         Secrets secrets, Defaults defaults) {
  std::string text;
  for (const auto& each : table) {
    std::string value;
    if (each.secret) {
      if (secrets == Secrets::left_out || each.is_empty(owner)) continue;
      value = secrets == Secrets::shown ? each.reveal(owner) : each.write(owner);
    } else {
      value = each.write(owner);
      if (defaults == Defaults::left_out && value == each.default_json) continue;
    }
    if (!text.empty()) text += ", ";
    text += fmt::format("{}: {}", json::quoted(each.path), value);
  }
  return "{" + text + "}";
}

inline std::string_view last_part(std::string_view path) {
  return path.substr(path.rfind('.') + 1);
}

// One property with what is in it, a line each; secrets as a comment that says whether they are
// set.
template <class Owner>
void append_value(std::string& out, const std::string& margin, const Property<Owner>& property,
                  const Owner& owner) {
  auto key = last_part(property.path);
  if (property.secret) {
    out += fmt::format("{}# {}: {}\n", margin, key,
                       property.is_empty(owner) ? "not set" : "set, and not shown");
  } else if (property.shape == Shape::value) {
    out += fmt::format("{}{}: {}\n", margin, key, property.write(owner));
  } else if (property.write(owner) != property.default_json) {
    out += fmt::format("{}{}:\n", margin, key);
    property.append_yaml(out, margin + "  ", owner);
  }
}

template <class Owner>
void compare(const std::vector<Property<Owner>>& table, const std::string& prefix,
             const Owner& before, const Owner& after, std::vector<Change>& changes) {
  for (const auto& each : table) {
    if (each.same(before, after)) continue;
    if (each.compare) {
      each.compare(before, after, prefix + each.path, changes);
    } else {
      changes.push_back({prefix + each.path, each.applies == Applies::after_restart});
    }
  }
}

// Elements that came or went are one change each; of others, the properties.
template <class Owner>
void compare_named(const std::vector<Property<Owner>>& table, const std::string& path,
                   const std::map<std::string, Owner>& before,
                   const std::map<std::string, Owner>& after, std::vector<Change>& changes) {
  for (const auto& [name, owner] : before) {
    std::string inner = fmt::format("{}.{}", path, name);
    if (auto other = after.find(name); other != after.end()) {
      compare(table, inner + ".", owner, other->second, changes);
    } else {
      changes.push_back({inner, false});
    }
  }
  for (const auto& [name, owner] : after) {
    if (!before.contains(name)) changes.push_back({fmt::format("{}.{}", path, name), false});
  }
}

}  // namespace corral::config
