// Makes properties out of members: values, lists of sections, sections by name, and whole tables of
// an inner section. Used where tables are written down.
//
// Thread rule: pure functions.
// Example: property("threads", &ServerSettings::threads, whole(0, 1024), "Threads that serve.")
#pragma once

#include <fmt/core.h>
#include <map>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "config/properties.hpp"
#include "config/reader.hpp"
#include "config/writer.hpp"

namespace corral::config {

// Bounds and marks that the tables share.
inline constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kMostMemory = 1'048'576 * kGiB;
inline constexpr Milliseconds kNone{0}, kShortest{1};
inline constexpr auto kRestart = Applies::after_restart;

template <class Owner, class T>
Property<Owner> property(std::string path, T Owner::* member, const TypePtr<T>& type,
                         std::string doc, Applies applies = Applies::on_reload) {
  Property<Owner> result;
  result.path = std::move(path);
  result.doc = std::move(doc);
  result.applies = applies;
  result.type_name = type->name();
  result.type_schema = type->schema();
  result.default_json = type->write(Owner{}.*member);
  result.assign = [member, type](Owner& owner, const ConfigNode& node) -> Result<void> {
    CORRAL_TRY(owner.*member, type->read(node));
    return {};
  };
  result.write = [member, type](const Owner& owner) { return type->write(owner.*member); };
  result.same = [member](const Owner& a, const Owner& b) { return a.*member == b.*member; };
  if constexpr (std::is_same_v<T, Secret>) {
    result.secret = true;
    result.is_empty = [member](const Owner& owner) { return (owner.*member).empty(); };
    result.reveal = [member](const Owner& owner) { return json::quoted((owner.*member).value); };
  }
  return result;
}

template <class Owner>
Property<Owner> required(Property<Owner> property) {
  property.required = true;
  return property;
}

template <class Element>
std::vector<Description> descriptions(const std::vector<Property<Element>>& table) {
  return {table.begin(), table.end()};
}

// What a list and a map of sections have in common.
template <class Owner, class Container, class Element>
Property<Owner> sections(std::string path, Container Owner::* member, Shape shape,
                         const std::vector<Property<Element>>& table, std::string doc) {
  Property<Owner> result;
  result.path = std::move(path);
  result.doc = std::move(doc);
  result.shape = shape;
  result.elements = descriptions(table);
  result.type_name = shape == Shape::list ? "list of sections" : "sections by name";
  result.type_schema = shape == Shape::list ? R"("type":"array")" : R"("type":"object")";
  result.default_json = shape == Shape::list ? "[]" : "{}";
  result.same = [member](const Owner& a, const Owner& b) { return a.*member == b.*member; };
  return result;
}

// `table` must outlive the property, as static tables do. `name` is the member that identifies an
// element in differences; nullptr: a list whose elements have no names.
template <class Owner, class Element>
Property<Owner> list_property(std::string path, std::vector<Element> Owner::* member,
                              const std::vector<Property<Element>>& table, std::string doc,
                              std::string Element::* name = nullptr) {
  auto result = sections(std::move(path), member, Shape::list, table, std::move(doc));
  result.read_elements = [member, &table](Owner& owner, const ConfigNode& node,
                                          const std::string& at, Reader& reader) {
    reader.read_list(owner.*member, table, node, at);
  };
  result.write = [member, &table](const Owner& owner) {
    std::string text;
    for (const Element& each : owner.*member) {
      if (!text.empty()) text += ", ";
      text += element_json(table, each, Secrets::left_out, Defaults::written);
    }
    return "[" + text + "]";
  };
  result.append_yaml = [member, &table](std::string& out, const std::string& margin,
                                        const Owner& owner) {
    for (const Element& element : owner.*member) {
      out += margin + "-\n";
      for (const auto& each : table) append_value(out, margin + "  ", each, element);
    }
  };
  if (name == nullptr) return result;
  result.compare = [member, &table, name](const Owner& before, const Owner& after,
                                          const std::string& at, std::vector<Change>& changes) {
    std::map<std::string, Element> a, b;
    for (const Element& each : before.*member) a.insert_or_assign(each.*name, each);
    for (const Element& each : after.*member) b.insert_or_assign(each.*name, each);
    compare_named(table, at, a, b, changes);
  };
  return result;
}

template <class Owner, class Element>
Property<Owner> map_property(std::string path, std::map<std::string, Element> Owner::* member,
                             const std::vector<Property<Element>>& table, std::string doc) {
  auto result = sections(std::move(path), member, Shape::map, table, std::move(doc));
  result.read_elements = [member, &table](Owner& owner, const ConfigNode& node,
                                          const std::string& at, Reader& reader) {
    reader.read_map(owner.*member, table, node, at);
  };
  result.write = [member, &table](const Owner& owner) {
    std::string text;
    for (const auto& [name, each] : owner.*member) {
      if (!text.empty()) text += ", ";
      text += fmt::format("{}: {}", json::quoted(name),
                          element_json(table, each, Secrets::left_out, Defaults::written));
    }
    return "{" + text + "}";
  };
  result.append_yaml = [member, &table](std::string& out, const std::string& margin,
                                        const Owner& owner) {
    for (const auto& [name, element] : owner.*member) {
      out += fmt::format("{}{}:\n", margin, json::quoted(name));
      for (const auto& each : table) append_value(out, margin + "  ", each, element);
    }
  };
  result.compare = [member, &table](const Owner& before, const Owner& after, const std::string& at,
                                    std::vector<Change>& changes) {
    compare_named(table, at, before.*member, after.*member, changes);
  };
  return result;
}

// Properties of an inner section of Owner, as properties of Owner.
template <class Owner, class Section>
void mount(std::vector<Property<Owner>>& table, const std::string& prefix, Section Owner::* member,
           const std::vector<Property<Section>>& section) {
  for (const auto& inner : section) {
    Property<Owner> outer;
    static_cast<Description&>(outer) = inner;
    outer.path = prefix + "." + inner.path;
    if (inner.assign) {
      outer.assign = [member, call = inner.assign](Owner& owner, const ConfigNode& node) {
        return call(owner.*member, node);
      };
    }
    outer.write = [member, call = inner.write](const Owner& owner) { return call(owner.*member); };
    outer.same = [member, call = inner.same](const Owner& a, const Owner& b) {
      return call(a.*member, b.*member);
    };
    if (inner.secret) {
      outer.is_empty = [member, call = inner.is_empty](const Owner& owner) {
        return call(owner.*member);
      };
      outer.reveal = [member, call = inner.reveal](const Owner& owner) {
        return call(owner.*member);
      };
    }
    if (inner.shape != Shape::value) {
      outer.read_elements = [member, call = inner.read_elements](
                                Owner& owner, const ConfigNode& node, const std::string& at,
                                Reader& reader) { call(owner.*member, node, at, reader); };
      outer.append_yaml = [member, call = inner.append_yaml](
                              std::string& out, const std::string& margin, const Owner& owner) {
        call(out, margin, owner.*member);
      };
    }
    if (inner.compare) {
      outer.compare = [member, call = inner.compare](const Owner& a, const Owner& b,
                                                     const std::string& at,
                                                     std::vector<Change>& changes) {
        call(a.*member, b.*member, at, changes);
      };
    }
    table.push_back(std::move(outer));
  }
}

}  // namespace corral::config
