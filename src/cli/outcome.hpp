// How a command ends: an exit code that scripts can rely on, and a failure as a value.
// Thread rule: plain values.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "base/error.hpp"

namespace corral::cli {

// Stable: documented in docs/cli.md.
enum class ExitCode : int {
  ok = 0,
  failed = 1,
  usage = 2,
  unreachable = 3,    // no server answers
  not_found = 4,      // no such model, endpoint, route or setting
  interrupted = 130,  // Ctrl-C
};

struct [[nodiscard]] Failure {
  ExitCode exit = ExitCode::failed;
  std::string message;  // one line
  std::string hint;     // how to mend it; may be empty
};

template <class T>
using Outcome = std::expected<T, Failure>;

inline std::unexpected<Failure> failure(ExitCode exit, std::string message, std::string hint = {}) {
  return std::unexpected(Failure{exit, std::move(message), std::move(hint)});
}
inline std::unexpected<Failure> failure(Error error, ExitCode exit = ExitCode::failed) {
  return std::unexpected(Failure{exit, std::move(error.message), std::move(error.hint_text)});
}

}  // namespace corral::cli
