// HTTP header fields in the order they came. Names compare without case (RFC 9110 section 5.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace corral::net {

class Headers {
 public:
  void add(std::string_view name, std::string_view value);
  void set(std::string_view name, std::string_view value);  // replaces all of that name
  void remove(std::string_view name);
  std::optional<std::string_view> get(std::string_view name) const;  // the first
  std::size_t count(std::string_view name) const;
  bool has_token(std::string_view name, std::string_view token) const;  // in a comma list
  std::size_t size() const { return fields_.size(); }
  std::size_t text_bytes() const { return text_.size(); }  // at least what names and values are
  void clear();                                            // keeps the memory

  struct Field {
    std::string_view name;
    std::string_view value;
  };
  Field operator[](std::size_t index) const;

 private:
  struct Span {
    std::uint32_t name_at, name_size, value_at, value_size;
  };
  std::string text_;  // all names and values; one allocation for many fields
  std::vector<Span> fields_;
};

}  // namespace corral::net
