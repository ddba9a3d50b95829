// Any bytes, in any pieces, as HTTP requests: the parser neither crashes nor takes a message that
// the hygiene forbids, and the pieces never change what it understands.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/http_parser.hpp"
#include "net/http_server.hpp"

namespace {

struct Outcome {
  bool done = false;
  bool failed = false;
  std::string method;
  std::string target;
  std::string body;
  std::size_t fields = 0;
};

Outcome parse(std::string_view text, std::size_t step) {
  corral::net::HttpRequest request;
  std::string body;
  corral::net::ParseLimits limits;
  limits.head_bytes = 4096;
  corral::net::RequestParser parser(request, body, limits);
  parser.set_body_limit(1 << 16);
  std::string kept;
  for (std::size_t at = 0; at < text.size() && !parser.done() && !parser.failed(); at += step) {
    kept.append(text.substr(at, step));
    std::size_t used = parser.feed(kept);
    if (used > kept.size()) std::abort();
    kept.erase(0, used);
  }
  if (parser.head_done() && request.headers.count("host") != 1) std::abort();
  if (parser.head_done() && request.headers.count("content-length") > 1) std::abort();
  if (parser.head_done() &&
      request.headers.count("content-length") + request.headers.count("transfer-encoding") > 1) {
    std::abort();
  }
  return {parser.done(),
          parser.failed(),
          request.method,
          request.target,
          parser.done() ? body : std::string(),
          request.headers.size()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  Outcome whole = parse(text, text.size() + 1);
  Outcome pieces = parse(text, 1 + data[0] % 64);
  // A limit may strike at another byte; but what is understood both ways is the same.
  if (whole.done && pieces.done &&
      (whole.method != pieces.method || whole.target != pieces.target ||
       whole.body != pieces.body || whole.fields != pieces.fields)) {
    std::abort();
  }
  return 0;
}
