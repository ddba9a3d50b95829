#include "cli/console.hpp"

#include <array>
#include <cstdio>

#include "base/text.hpp"
#include "sys/host.hpp"

namespace corral::cli {

namespace {

class StandardConsole final : public Console {
 public:
  void out(std::string_view bytes) override {
    bool written = std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size();
    if (std::fflush(stdout) != 0 || !written) broken_ = true;
  }

  void err(std::string_view bytes) override {
    std::fwrite(bytes.data(), 1, bytes.size(), stderr);
    std::fflush(stderr);
  }

  Result<std::string> read_input(std::size_t limit) override {
    std::string text;
    std::array<char, 16 * 1024> piece{};
    while (std::size_t got = std::fread(piece.data(), 1, piece.size(), stdin)) {
      if (text.size() + got > limit) {
        return fail(ErrorCode::too_large,
                    fmt::format("standard input is larger than {}", format_bytes(limit)));
      }
      text.append(piece.data(), got);
    }
    if (std::ferror(stdin) != 0) return fail(ErrorCode::io, "standard input could not be read");
    return text;
  }

  bool in_is_terminal() const override { return sys::is_terminal(0); }
  bool out_is_terminal() const override { return sys::is_terminal(1); }
  bool err_is_terminal() const override { return sys::is_terminal(2); }
  bool broken() const override { return broken_; }

 private:
  bool broken_ = false;
};

}  // namespace

std::unique_ptr<Console> standard_console() { return std::make_unique<StandardConsole>(); }

}  // namespace corral::cli
