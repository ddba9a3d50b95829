#include "bindings/openai/usage_scan.hpp"

#include <simdjson.h>

#include <cstring>

namespace corral::bindings::openai {
namespace {

constexpr std::size_t kLongestUsage = 4096;

// The object that begins at `text[0]`, or nothing when it does not end.
std::string_view object_at(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"') in_string = !in_string;
    if (in_string) {
      if (c == '\\') ++i;
      continue;
    }
    if (c == '{') ++depth;
    if (c == '}' && --depth == 0) return text.substr(0, i + 1);
  }
  return {};
}

constexpr std::string_view kKey = R"("usage":)";

// Of the key, from the end, by its last byte.
std::size_t last_place(std::string_view document) {
  while (document.size() >= kKey.size()) {
    auto colon = document.rfind(kKey.back());
    if (colon == std::string_view::npos) break;
    document = document.substr(0, colon + 1);
    if (document.ends_with(kKey)) return document.size() - kKey.size();
    document.remove_suffix(1);
  }
  return std::string_view::npos;
}

std::uint64_t count(const simdjson::dom::element& object, std::string_view key) {
  std::uint64_t value = 0;
  return object[key].get(value) == simdjson::SUCCESS ? value : 0;
}

}  // namespace

void scan_usage(std::string_view document, inference::Usage& usage) {
  // The object stands near the end in every known backend; reading just that spares the tree.
  auto at = last_place(document);
  if (at == std::string_view::npos) return;
  auto open = document.find_first_not_of(" \t\r\n", at + kKey.size());
  if (open == std::string_view::npos || document[open] != '{') return;
  std::string_view object = object_at(document.substr(open));
  if (object.empty() || object.size() > kLongestUsage) return;

  char padded[kLongestUsage + simdjson::SIMDJSON_PADDING];
  std::memcpy(padded, object.data(), object.size());
  std::memset(padded + object.size(), 0, simdjson::SIMDJSON_PADDING);
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(padded, object.size(), false).get(root) != simdjson::SUCCESS) return;
  usage.prompt_tokens = count(root, "prompt_tokens");
  usage.completion_tokens = count(root, "completion_tokens");
  simdjson::dom::element details;
  if (root["prompt_tokens_details"].get(details) == simdjson::SUCCESS && details.is_object()) {
    usage.cached_tokens = count(details, "cached_tokens");
  }
  usage.reported = true;
}

}  // namespace corral::bindings::openai
