// Reading answers without trusting their shape: a missing or wrong field is empty, never a crash.
#pragma once

#include <fmt/core.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::cli {

inline const boost::json::value* member(const boost::json::value& from, std::string_view name) {
  const boost::json::object* object = from.if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

inline std::string_view text_of(const boost::json::value& from, std::string_view name) {
  const boost::json::value* found = member(from, name);
  if (found == nullptr || !found->is_string()) return {};
  return found->get_string();
}
inline std::string string_of(const boost::json::value& from, std::string_view name) {
  return std::string(text_of(from, name));
}

inline std::optional<double> number_of(const boost::json::value& from, std::string_view name) {
  const boost::json::value* found = member(from, name);
  if (found == nullptr || !found->is_number()) return std::nullopt;
  double value = found->to_number<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

// A count or size: not negative, and within what 64 bits hold.
inline std::optional<std::uint64_t> count_of(const boost::json::value& from,
                                             std::string_view name) {
  auto value = number_of(from, name);
  if (!value || *value < 0 || *value >= 1.8e19) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

inline const boost::json::array& list_of(const boost::json::value& from, std::string_view name) {
  static const boost::json::array kNone;
  const boost::json::value* found = member(from, name);
  return found != nullptr && found->is_array() ? found->get_array() : kNone;
}

inline boost::json::value parse_or_null(std::string_view body) {
  auto parsed = corral::json::parse(body);
  return parsed ? std::move(*parsed) : boost::json::value(nullptr);
}

inline std::string number_text(const boost::json::value& from, std::string_view name) {
  auto count = count_of(from, name);
  return count ? fmt::format("{}", *count) : std::string();
}

inline std::string bytes_text(const boost::json::value& from, std::string_view name) {
  auto bytes = count_of(from, name);
  return bytes ? format_bytes(*bytes) : std::string();
}

inline bool is_true(const boost::json::value& from, std::string_view name) {
  const boost::json::value* found = member(from, name);
  return found != nullptr && found->is_bool() && found->get_bool();
}

// The texts of a list, with commas.
inline std::string joined(const boost::json::array& texts) {
  std::string out;
  for (const boost::json::value& value : texts) {
    if (!value.is_string()) continue;
    if (!out.empty()) out += ", ";
    out += std::string_view(value.get_string());
  }
  return out;
}

}  // namespace corral::cli
