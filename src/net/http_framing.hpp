// What the parsers of requests and of answers share: the rules about how a message is framed, on
// which smuggling depends, and Beast's names. For src/net/http_*parser.cpp alone.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cstdint>
#include <string_view>

#include "base/text.hpp"
#include "net/http_parser.hpp"

namespace corral::net {

namespace http = boost::beast::http;
using BeastError = boost::beast::error_code;
using BeastView = boost::beast::string_view;

inline std::string_view beast_text(BeastView text) { return {text.data(), text.size()}; }

bool valid_host(std::string_view host);
// A number that fits into 63 bits.
bool valid_length(std::string_view text);

// What both parsers count while the fields pass.
struct Framing {
  int hosts = 0;
  int lengths = 0;
  int codings = 0;
  bool coding_is_chunked = false;
  std::size_t fields = 0;

  // Empty, or why the field is refused.
  std::string_view take(http::field name, std::string_view value, const ParseLimits& limits) {
    if (++fields > limits.fields) return "too many header fields";
    switch (name) {
      case http::field::host:
        ++hosts;
        if (!valid_host(value)) return "the Host header is malformed";
        break;
      case http::field::content_length:
        if (++lengths > 1) return "several Content-Length headers";
        if (!valid_length(value)) return "Content-Length is not a number";
        break;
      case http::field::transfer_encoding:
        if (++codings > 1) return "several Transfer-Encoding headers";
        coding_is_chunked = iequals(value, "chunked");
        break;
      default: break;
    }
    return {};
  }

  // Rules about the head as a whole.
  std::string_view check(bool http_1_0) const {
    if (codings > 0 && lengths > 0) return "Transfer-Encoding together with Content-Length";
    if (codings > 0 && http_1_0) return "Transfer-Encoding in HTTP/1.0";
    if (codings > 0 && !coding_is_chunked) return "a Transfer-Encoding other than chunked";
    return {};
  }
};

// A field that was folded over several lines does not lie in the input any more.
inline bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// What makes Beast give up on a message that the rules refuse.
inline BeastError broken_rule() { return http::make_error_code(http::error::bad_field); }

// Between two chunks a sound message has five more bytes at least ("0 CR LF CR LF"). Beast 1.81
// asserts that it gets so many when it looks at a last chunk for the second time.
template <class Beast>
bool awaits_chunk(const Beast& parser, std::uint64_t chunk_left, std::size_t bytes) {
  return bytes < 5 && chunk_left == 0 && parser.chunked();
}

// Why Beast refused, for people.
ParseFailure failure_of(const BeastError& error);

}  // namespace corral::net
