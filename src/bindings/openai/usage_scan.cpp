#include "bindings/openai/usage_scan.hpp"

#include "bindings/openai/chunk.hpp"

namespace corral::bindings::openai {

void scan_usage(std::string_view document, inference::Usage& usage) {
  // The object stands near the end in every known backend; parsing just that object spares the
  // tree.
  constexpr std::string_view kKey = R"("usage":)";
  auto at = document.rfind(kKey);
  if (at == std::string_view::npos) return;
  auto open = document.find_first_not_of(" \t\r\n", at + kKey.size());
  if (open == std::string_view::npos || document[open] != '{') return;
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = open; i < document.size(); ++i) {
    char c = document[i];
    if (c == '"') in_string = !in_string;
    if (in_string) {
      if (c == '\\') ++i;
      continue;
    }
    if (c == '{') ++depth;
    if (c == '}' && --depth == 0) {
      std::string wrapped = R"({"usage":)";
      wrapped.append(document.substr(open, i - open + 1)).append("}");
      read_usage(wrapped, usage);
      return;
    }
  }
}

}  // namespace corral::bindings::openai
