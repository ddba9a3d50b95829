// Strong types for identifiers: a ModelName is not an EndpointName.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace corral {

template <class Tag>
struct StrongId {
  std::string value;

  StrongId() = default;
  explicit StrongId(std::string text) : value(std::move(text)) {}
  const std::string& str() const { return value; }
  bool empty() const { return value.empty(); }
  auto operator<=>(const StrongId&) const = default;
};

using ModelName = StrongId<struct ModelNameTag>;        // public name of a model
using EndpointName = StrongId<struct EndpointNameTag>;  // name of a place that answers inference

}  // namespace corral

template <class Tag>
struct std::hash<corral::StrongId<Tag>> {
  std::size_t operator()(const corral::StrongId<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.value);
  }
};
