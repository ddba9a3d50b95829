// Any bytes, in any pieces, as HTTP answers: the parser neither crashes nor reads outside what it
// was given, and the pieces never change the body.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/http_parser.hpp"

namespace {

struct Outcome {
  bool done = false;
  int status = 0;
  std::string body;
};

Outcome parse(std::string_view text, std::size_t step, bool no_body) {
  corral::net::Headers headers;
  corral::net::ParseLimits limits;
  limits.head_bytes = 4096;
  corral::net::ResponseParser parser(headers, limits);
  parser.reset(no_body);
  std::string body;
  std::string kept;
  for (std::size_t at = 0; at < text.size() && !parser.done() && !parser.failed(); at += step) {
    kept.append(text.substr(at, step));
    std::size_t used = parser.feed(kept);
    if (used > kept.size()) std::abort();
    auto part = parser.body();
    if (!part.empty() && (part.data() < kept.data() || part.size() > kept.size())) std::abort();
    body += part;
    kept.erase(0, used);
  }
  parser.end_of_input();
  if (parser.done() && parser.failed()) std::abort();
  return {parser.done(), parser.status(), body};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  bool no_body = (data[0] & 0x80) != 0;
  Outcome whole = parse(text, text.size() + 1, no_body);
  Outcome pieces = parse(text, 1 + data[0] % 64, no_body);
  if (whole.done && pieces.done && (whole.status != pieces.status || whole.body != pieces.body)) {
    std::abort();
  }
  return 0;
}
