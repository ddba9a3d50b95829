// One talk with one model: what was said, how to ask, and how an answer is shown as it comes.
// Thread rule: one thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.hpp"

namespace corral::cli {

struct ChatParameters {
  std::string system;
  std::optional<double> temperature;
  std::optional<std::int64_t> max_tokens;
  std::optional<std::int64_t> seed;
};
ChatParameters parameters_of(const Options& options);

class Conversation {
 public:
  Conversation(std::string model, ChatParameters chat_parameters)
      : parameters(std::move(chat_parameters)), model_(std::move(model)) {}

  void add_user(std::string text) { messages_.push_back({"user", std::move(text)}); }
  void add_assistant(std::string text) { messages_.push_back({"assistant", std::move(text)}); }
  void drop_last() { messages_.pop_back(); }
  void clear() { messages_.clear(); }
  std::size_t size() const { return messages_.size(); }
  const std::string& model() const { return model_; }
  // An OpenAI chat completion request.
  boost::json::object request() const;

  ChatParameters parameters;

 private:
  struct Message {
    std::string role;
    std::string text;
  };
  std::string model_;
  std::vector<Message> messages_;
};

// Writes an answer to standard output piece by piece. On a terminal control characters are made
// harmless and reasoning is shown dimmed; elsewhere the answer's own bytes are all that is written.
class AnswerPrinter {
 public:
  AnswerPrinter(Console& console, Paint paint) : console_(console), paint_(paint) {}
  void take(const ChatPiece& piece);
  void finish();  // ends the line
  const std::string& answer() const { return answer_; }

 private:
  void print(std::string_view text, Tone tone);

  Console& console_;
  Paint paint_;
  TerminalFilter filter_;
  std::string answer_;
  bool reasoning_shown_ = false;
  bool line_open_ = false;
};

// Asks and prints. The answer, also a part of one that was interrupted, is in `printer`.
Outcome<ChatEnd> ask(Context& context, const Conversation& conversation, AnswerPrinter& printer);

}  // namespace corral::cli
