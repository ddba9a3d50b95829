// The three standard streams and the terminal behind interfaces, so that tests can script them.
//
// Thread rule: one thread; calls block.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::cli {

class Console {
 public:
  virtual ~Console() = default;
  // Written at once, bytes as they are. Failures are remembered (see `broken`).
  virtual void out(std::string_view bytes) = 0;
  virtual void err(std::string_view bytes) = 0;
  // Everything on standard input; too_large past `limit`.
  virtual Result<std::string> read_input(std::size_t limit) = 0;
  virtual bool in_is_terminal() const = 0;
  virtual bool out_is_terminal() const = 0;
  virtual bool err_is_terminal() const = 0;
  virtual bool broken() const = 0;  // standard output refused bytes (full disk, closed pipe)
};

std::unique_ptr<Console> standard_console();

struct LineRead {
  enum class Kind { line, interrupted, end };
  Kind kind = Kind::end;
  std::string text;  // without the line break
};

// Reads lines from a person, with editing and a history.
class LineReader {
 public:
  virtual ~LineReader() = default;
  virtual LineRead read(const std::string& prompt) = 0;
  virtual void remember(const std::string& line) = 0;
};

// Line editing by libedit. The history lives in `history_file` (mode 0600, the last 1,000 lines);
// when it cannot be read or written, the session goes on without it.
std::unique_ptr<LineReader> terminal_reader(sys::Files& files, const sys::Path& history_file);

}  // namespace corral::cli
