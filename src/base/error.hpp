// Errors as values. Whatever traffic, files, users or peers can cause is a `Result<T>`; an `Error`
// carries a stable code, a message for a person, and a hint how to mend it.
//
// Thread rule: plain values.
// Example:
//   Result<int> port_of(std::string_view text) {
//     if (text.empty()) return fail(ErrorCode::invalid_argument, "empty
//     port").hint("say 1..65535"); CORRAL_TRY(auto number, parse_number(text)); return number;
//   }
#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace corral {

enum class ErrorCode {
  invalid_argument,  // the caller's input is wrong                                   (HTTP 400)
  unauthenticated,   // no or wrong credentials                                       (401)
  forbidden,         // known, but not allowed                                        (403)
  not_found,         // no such thing                                                 (404)
  conflict,          // the state forbids it                                          (409)
  too_large,         // a limit on size was passed                                    (413)
  rate_limited,      // too many requests                                             (429)
  cancelled,         // the caller left                                               (499)
  internal,          // our fault                                                     (500)
  unsupported,       // known, but not offered here                                   (501)
  upstream,          // a backend failed or talked rubbish                            (502)
  unavailable,       // not now; try again                                            (503)
  timeout,           // a deadline passed                                             (504)
  io,                // the operating system refused (disk, socket)                   (500)
};

std::string_view to_string(ErrorCode code);
int http_status(ErrorCode code);

struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;                              // what went wrong, for a person
  std::string hint_text;                            // how to mend it; may be empty
  std::string param;                                // the offending field or key; may be empty
  std::optional<std::chrono::seconds> retry_after;  // when trying again makes sense
  std::string cause;                                // the lower error's text; for logs, not clients
  int peer_status = 0;                              // HTTP status of the peer that failed, if any

  Error&& hint(std::string text) && {
    hint_text = std::move(text);
    return std::move(*this);
  }
  Error&& field(std::string name) && {
    param = std::move(name);
    return std::move(*this);
  }
  Error&& after(std::chrono::seconds wait) && {
    retry_after = wait;
    return std::move(*this);
  }
  Error&& because(std::string text) && {
    cause = std::move(text);
    return std::move(*this);
  }

  // "message (hint)" on one line.
  std::string describe() const;

  template <class T>
  operator std::expected<T, Error>() && {
    return std::unexpected(std::move(*this));
  }
};

template <class T>
using Result = std::expected<T, Error>;

inline Error fail(ErrorCode code, std::string message) { return Error{code, std::move(message)}; }

// `fail` with the text of `errno`-style error `number` as cause.
Error fail_os(std::string message, int number);

}  // namespace corral

// CORRAL_TRY(auto x, expr): x = *expr, or return its error. CORRAL_CO_TRY is for coroutines; the
// expression may be `co_await f()`. CORRAL_CHECK and CORRAL_CO_CHECK are for Result<void>.
#define CORRAL_CONCAT_INNER(a, b) a##b
#define CORRAL_CONCAT(a, b) CORRAL_CONCAT_INNER(a, b)
#define CORRAL_TRY_IMPL(name, declaration, ret, ...)       \
  auto name = __VA_ARGS__;                                 \
  if (!name) ret std::unexpected(std::move(name).error()); \
  declaration = std::move(*name)
#define CORRAL_TRY(declaration, ...) \
  CORRAL_TRY_IMPL(CORRAL_CONCAT(corral_try_, __COUNTER__), declaration, return, __VA_ARGS__)
#define CORRAL_CO_TRY(declaration, ...) \
  CORRAL_TRY_IMPL(CORRAL_CONCAT(corral_try_, __COUNTER__), declaration, co_return, __VA_ARGS__)
#define CORRAL_CHECK(...)                                                       \
  do {                                                                          \
    auto corral_check = __VA_ARGS__;                                            \
    if (!corral_check) return std::unexpected(std::move(corral_check).error()); \
  } while (false)
#define CORRAL_CO_CHECK(...)                                                       \
  do {                                                                             \
    auto corral_check = __VA_ARGS__;                                               \
    if (!corral_check) co_return std::unexpected(std::move(corral_check).error()); \
  } while (false)
