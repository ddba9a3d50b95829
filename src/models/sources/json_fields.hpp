// Reading what sources answer without trusting its shape: a missing or wrong field is empty.
// Thread rule: pure functions.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace corral::models {

inline const boost::json::value* field(const boost::json::value& from, std::string_view name) {
  const auto* object = from.if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

inline std::string text_field(const boost::json::value& from, std::string_view name) {
  const auto* found = field(from, name);
  if (found == nullptr || !found->is_string()) return {};
  return std::string(found->get_string());
}

inline std::optional<std::uint64_t> count_field(const boost::json::value& from,
                                                std::string_view name) {
  const auto* found = field(from, name);
  if (found == nullptr) return std::nullopt;
  if (found->is_uint64()) return found->get_uint64();
  if (found->is_int64() && found->get_int64() >= 0) {
    return static_cast<std::uint64_t>(found->get_int64());
  }
  return std::nullopt;
}

inline const boost::json::array& list_field(const boost::json::value& from, std::string_view name) {
  static const boost::json::array kNone;
  const auto* found = field(from, name);
  return found != nullptr && found->is_array() ? found->get_array() : kNone;
}

}  // namespace corral::models
