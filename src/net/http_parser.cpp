// The rules of src/net/http_framing.hpp and of fields.
#include "net/http_parser.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "net/http_framing.hpp"

namespace corral::net {
namespace {

// By byte, whether it may be in a token (RFC 9110, 5.6.2).
constexpr auto kTokenChars = [] {
  std::array<unsigned char, 256> allowed{};
  for (char c = 'a'; c <= 'z'; ++c) allowed[static_cast<unsigned char>(c)] = 1;
  for (char c = 'A'; c <= 'Z'; ++c) allowed[static_cast<unsigned char>(c)] = 1;
  for (char c = '0'; c <= '9'; ++c) allowed[static_cast<unsigned char>(c)] = 1;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) allowed[static_cast<unsigned char>(c)] = 1;
  return allowed;
}();

}  // namespace

bool valid_host(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
  });
}

bool valid_length(std::string_view text) {
  return !text.empty() && text.size() <= 19 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

ParseFailure failure_of(const BeastError& error) {
  if (error == http::error::header_limit) return {431, "the request head is too large"};
  if (error == http::error::body_limit) return {413, "the body is too large"};
  if (error == http::error::bad_version) return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  if (error == http::error::bad_method) return {400, "the method is malformed"};
  if (error == http::error::bad_target) return {400, "the request target is malformed"};
  if (error == http::error::bad_content_length) return {400, "Content-Length is malformed"};
  if (error == http::error::multiple_content_length) return {400, "several Content-Length headers"};
  if (error == http::error::bad_transfer_encoding) return {400, "Transfer-Encoding is malformed"};
  if (error == http::error::bad_chunk) return {400, "a chunk is malformed"};
  if (error == http::error::bad_chunk_extension) return {400, "a chunk extension is malformed"};
  if (error == http::error::bad_line_ending) return {400, "a line does not end with CR LF"};
  if (error == http::error::partial_message) return {400, "the message was cut short"};
  return {400, "a header field is malformed"};
}

// Both look at everything, since good ones are the rule and a loop without a way out is faster.
bool valid_field_value(std::string_view value) {
  unsigned bad = 0;
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    bad |= static_cast<unsigned>(byte < 0x20) & static_cast<unsigned>(byte != '\t');
    bad |= static_cast<unsigned>(byte == 0x7f);
  }
  return bad == 0;
}

bool valid_token(std::string_view name) {
  unsigned good = 1;
  for (char c : name) good &= kTokenChars[static_cast<unsigned char>(c)];
  return !name.empty() && good != 0;
}

bool is_connection_field(std::string_view name) {
  switch (name.size()) {
    case 2: return iequals(name, "te");
    case 7: return iequals(name, "trailer") || iequals(name, "upgrade");
    case 10: return iequals(name, "connection") || iequals(name, "keep-alive");
    case 14: return iequals(name, "content-length");
    case 16: return iequals(name, "proxy-connection");
    case 17: return iequals(name, "transfer-encoding");
    default: return false;
  }
}

}  // namespace corral::net
