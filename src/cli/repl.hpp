// The talk of `corral run MODEL`: lines from a person in, streamed answers out.
//
// Words that begin with a slash are commands (/help lists them); """ begins and ends a message of
// several lines; Ctrl-C stops the answer under way; Ctrl-D leaves.
// Thread rule: one thread. Lifecycle: construct, `talk()` once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/chat.hpp"
#include "cli/commands.hpp"

namespace corral::cli {

class Repl {
 public:
  Repl(Context& context, LineReader& reader, Conversation conversation)
      : context_(context), reader_(reader), conversation_(std::move(conversation)) {}

  void talk();

 private:
  enum class Next { go_on, leave };
  Next take_line(const std::string& line);
  Next command(std::string_view line);
  void set(std::string_view rest);
  void show();
  void say(std::string_view text);
  void complain(std::string message, std::string hint);
  void answer(std::string text);
  // The rest of a message that began with """; nullopt when it was given up.
  std::optional<std::string> read_block(std::string_view first);

  Context& context_;
  LineReader& reader_;
  Conversation conversation_;
};

}  // namespace corral::cli
