// What a column or a bound parameter can hold: NULL, a 64-bit integer, a double, text, bytes.
//
// Both databases keep to these five. Text is UTF-8 without NUL characters (PostgreSQL takes no
// others, so SQLite is held to the same). A truth value is the integer 0 or 1. A time is an
// integer: milliseconds since 1970 in UTC. Thread rule: plain values. Example:
// connection.run("insert into t values ($1, $2)", {std::int64_t{1}, "text"});
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "sys/clock.hpp"

namespace corral::store {

struct Blob {
  std::string bytes;
  bool operator==(const Blob&) const = default;
};

class Value {
 public:
  using Variant = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;

  Value() = default;  // NULL
  Value(std::nullptr_t) {}
  // A uint64 does not fit: PostgreSQL has no such type. Cast it on purpose or not at all.
  template <std::integral T>
    requires(sizeof(T) < 8 || std::signed_integral<T>)
  Value(T number) : held_(static_cast<std::int64_t>(number)) {}
  Value(double number) : held_(number) {}
  Value(std::string text) : held_(std::move(text)) {}
  Value(std::string_view text) : held_(std::string(text)) {}
  Value(const char* text) : held_(std::string(text)) {}
  Value(Blob bytes) : held_(std::move(bytes)) {}
  template <class T>
  Value(std::optional<T> maybe) {
    if (maybe) *this = Value(std::move(*maybe));
  }

  bool is_null() const { return std::holds_alternative<std::monostate>(held_); }
  const Variant& held() const { return held_; }
  bool operator==(const Value&) const = default;

 private:
  Variant held_;
};

// Times as the database keeps them.
inline std::int64_t to_milliseconds(sys::Wall time) {
  return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}
inline sys::Wall from_milliseconds(std::int64_t milliseconds) {
  return sys::Wall(std::chrono::milliseconds(milliseconds));
}

}  // namespace corral::store
