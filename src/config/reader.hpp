// Reads the parts of a document into their owners by the tables of properties, remembers where each
// value came from, and collects what is wrong, one line a problem.
//
// Thread rule: one thread; made for one document.
// Example:
//   Reader reader("corral.yaml");
//   reader.read_element(route, route_properties(), node, "routes[0]");
//   if (!reader.problems().empty()) return fail(..., reader.all_problems());
#pragma once

#include <fmt/core.h>
#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/node.hpp"
#include "config/properties.hpp"

namespace corral::config {

template <class Owner>
const Property<Owner>* find(const std::vector<Property<Owner>>& table, std::string_view path) {
  auto found = std::ranges::find(table, path, &Property<Owner>::path);
  return found == table.end() ? nullptr : &*found;
}

template <class Owner>
std::vector<std::string> paths_of(const std::vector<Property<Owner>>& table,
                                  std::string_view prefix) {
  std::vector<std::string> names;
  names.reserve(table.size());
  for (const auto& each : table) names.push_back(fmt::format("{}{}", prefix, each.path));
  return names;
}

std::string joined(std::string_view prefix, std::string_view key);  // "prefix.key", or "key"

class Reader {
 public:
  explicit Reader(std::string file_name) : file_name_(std::move(file_name)) {}

  // --- messages

  const std::vector<std::string>& problems() const { return problems_; }
  bool full() const;                 // so many problems that more would not be shown
  std::string all_problems() const;  // the first ones, and how many more there are
  void report(const std::string& place, const std::string& what);
  // With the nearest of `known` as a hint.
  void report_unknown(const std::string& place, const std::string& path,
                      std::span<const std::string> known);

  // --- places

  std::string in_file(int line) const { return fmt::format("{}:{}", file_name_, line); }
  void remember(const std::string& path, const std::string& place) { places_[path] = place; }
  // Where the value of `path`, or of what holds it, came from; empty for defaults.
  std::string place_of(std::string path) const;

  // --- values

  // Reports keys that stand twice, and calls `use(key, value)` for the others.
  template <class Use>
  void for_each_key(const ConfigNode& map, std::string_view prefix, Use use) {
    std::map<std::string_view, int> lines;
    for (std::size_t i = 0; i < map.items.size(); ++i) {
      const Key& key = map.keys[i];
      auto [first, fresh] = lines.emplace(key.text, key.line);
      if (fresh) {
        use(key, map.items[i]);
      } else {
        report_twice(key, joined(prefix, key.text), first->second);
      }
    }
  }

  // Null is as if the value was not there.
  template <class Owner>
  void assign(Owner& owner, const Property<Owner>& property, const std::string& path,
              const ConfigNode& node, const std::string& place) {
    if (node.kind == ConfigNode::Kind::null) return;
    remember(path, place);
    if (property.shape != Shape::value) {
      property.read_elements(owner, node, path, *this);
      return;
    }
    auto done = property.assign(owner, node);
    // Texts of errors quote the value; that of a secret is quoted by none.
    if (!done) report(place, fmt::format("{}: {}", path, done.error().message));
  }

  template <class Owner>
  void read_element(Owner& owner, const std::vector<Property<Owner>>& table, const ConfigNode& node,
                    const std::string& path) {
    if (node.kind != ConfigNode::Kind::map) {
      report_no_section(node, path);
      return;
    }
    for_each_key(node, path, [&](const Key& key, const ConfigNode& value) {
      std::string inner = joined(path, key.text);
      if (const auto* property = find(table, key.text)) {
        assign(owner, *property, inner, value, in_file(key.line));
      } else {
        report_unknown(in_file(key.line), inner, paths_of(table, path.empty() ? "" : path + "."));
      }
    });
  }

  template <class Element>
  void read_list(std::vector<Element>& list, const std::vector<Property<Element>>& table,
                 const ConfigNode& node, const std::string& path) {
    if (node.kind != ConfigNode::Kind::list) {
      std::vector<std::string> required;
      for (const auto& each : table) {
        if (each.required) required.push_back(each.path);
      }
      report_no_list(path, required);
      return;
    }
    list.clear();
    list.reserve(node.items.size());
    for (const ConfigNode& item : node.items) {
      std::string inner = fmt::format("{}[{}]", path, list.size());
      remember(inner, in_file(item.line));
      read_element(list.emplace_back(), table, item, inner);
    }
  }

  template <class Element>
  void read_map(std::map<std::string, Element>& map, const std::vector<Property<Element>>& table,
                const ConfigNode& node, const std::string& path) {
    if (node.kind != ConfigNode::Kind::map) {
      report(place_of(path), fmt::format("{}: names with their settings are expected", path));
      return;
    }
    for_each_key(node, path, [&](const Key& key, const ConfigNode& value) {
      std::string inner = joined(path, key.text);
      remember(inner, in_file(key.line));
      auto& element = map[key.text];
      if (value.kind != ConfigNode::Kind::null) read_element(element, table, value, inner);
    });
  }

 private:
  void report_twice(const Key& key, const std::string& path, int first_line);
  void report_no_section(const ConfigNode& node, const std::string& path);
  void report_no_list(const std::string& path, std::span<const std::string> required);

  std::string file_name_;
  std::map<std::string, std::string> places_;  // path -> where its value came from
  std::vector<std::string> problems_;
};

}  // namespace corral::config
