// A document as a plain tree with line numbers, read from YAML or JSON (node.cpp, the only file
// that knows yaml-cpp). Hostile text is refused, not followed: no anchors, no tags, bounded depth.
// Thread rule: plain values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral::config {

struct Key {
  std::string text;
  int line = 0;
};

struct ConfigNode {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  int line = 0;
  std::string text;               // of a scalar
  bool commas = false;            // a scalar from outside a file: a list is written with commas
  bool quoted = false;            // a scalar in quotes: text, whatever it looks like
  std::vector<Key> keys;          // of a map, beside `items`
  std::vector<ConfigNode> items;  // of a list or map
};

inline constexpr std::size_t kMaxTextBytes = 1u << 20;
inline constexpr std::size_t kMaxDepth = 64;

// `by_name`: JSON when the name of the file ends in .json, else YAML.
enum class Format { by_name, json };

// invalid_argument with "FILE:LINE: what". An empty document is a null node.
Result<ConfigNode> parse_document(std::string_view text, std::string_view file_name,
                                  Format format = Format::by_name);

// `text` fit for a message: one line, no control characters, not too long, in single quotes.
std::string quoted_for_message(std::string_view text);

}  // namespace corral::config
