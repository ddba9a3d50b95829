// Writes text into memory that the caller has found large enough: several times faster than
// appending many short pieces to a string, which looks at its capacity for each.
//
// Thread rule: plain value. Example:
//   text.resize_and_overwrite(name.size() + kLongestNumber, [&](char* begin, std::size_t) {
//     Cursor out{begin};
//     out.put(name);
//     out.put_number(42);
//     return out.size_since(begin);
//   });
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace corral {

struct Cursor {
  static constexpr std::size_t kLongestNumber = 20;  // bytes of a 64-bit number with its sign

  char* at;

  void put(char c) { *at++ = c; }
  void put(std::string_view text) {
    if (text.empty()) return;  // it may point to nothing, which memcpy must not be given
    std::memcpy(at, text.data(), text.size());
    at += text.size();
  }
  void put_number(std::integral auto value) {
    at = std::to_chars(at, at + kLongestNumber, value).ptr;
  }
  std::size_t size_since(const char* begin) const { return static_cast<std::size_t>(at - begin); }
};

}  // namespace corral
