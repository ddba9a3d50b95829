// HTTP/1.1 parsers for both sides, over Boost.Beast's, with the hygiene that Beast leaves out.
// Pure: bytes in, fields and body out, no sockets.
//
// Lifecycle: reset() before each message; feed() with what came, as often as needed. Bytes that
// feed() did not consume are to be presented again, followed by more. After `done()` or `failed()`
// nothing is consumed until reset(). Thread rule: one owner. Example:
//   RequestParser parser(request, body, limits);
//   std::size_t used = parser.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
//   if (parser.failed()) answer(parser.failure().status);
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/headers.hpp"

namespace corral::net {

struct HttpRequest;

struct ParseLimits {
  std::size_t head_bytes = 32 * 1024;  // start line and fields
  std::size_t fields = 128;
  std::size_t framing_bytes = 16 * 1024;  // one chunk header, or all trailers
};

struct ParseFailure {
  int status = 400;         // what a server answers
  std::string_view reason;  // static text
};

// Fills method, target, path, query and headers of `request`, and appends the body to `body`.
class RequestParser {
 public:
  RequestParser(HttpRequest& request, std::string& body, ParseLimits limits);
  ~RequestParser();

  void reset();
  std::size_t feed(std::string_view input);
  void set_body_limit(std::uint64_t limit);

  bool started() const;    // a byte of the head was seen
  bool head_done() const;  // and the hygiene was passed
  bool done() const;
  bool failed() const;
  bool too_large() const;  // it failed because the body passed the limit
  const ParseFailure& failure() const;

  bool keep_alive() const;  // what the request allows
  bool http_1_0() const;
  bool expects_continue() const;
  std::optional<std::uint64_t> content_length() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Parses an answer in place: body bytes are moved together at the front of the fed buffer.
class ResponseParser {
 public:
  explicit ResponseParser(Headers& headers, ParseLimits limits);
  ~ResponseParser();

  // `no_body`: the answer to HEAD.
  void reset(bool no_body);
  // `body()` afterwards views the body bytes of this call, inside `input`.
  std::size_t feed(std::span<char> input);
  void end_of_input();  // completes an answer that ends with the connection; else fails

  std::string_view body() const;
  bool started() const;
  bool head_done() const;
  bool done() const;
  bool failed() const;
  std::string_view reason() const;  // of the failure
  int status() const;
  bool keep_alive() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Is `value` free of bytes that would end a field (CR, LF, NUL, other controls but tab)?
bool valid_field_value(std::string_view value);
// Is `name` a token (RFC 9110 section 5.6.2)?
bool valid_token(std::string_view name);
// Names that only concern one connection, and that we manage ourselves.
bool is_connection_field(std::string_view name);

}  // namespace corral::net
