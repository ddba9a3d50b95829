#include "cli/chat.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "base/text.hpp"
#include "cli/json_view.hpp"

namespace corral::cli {

namespace json = boost::json;

ChatParameters parameters_of(const Options& options) {
  return {options.system, options.temperature, options.max_tokens, options.seed};
}

json::object Conversation::request() const {
  json::object request;
  request["model"] = model_;
  json::array messages;
  if (!parameters.system.empty()) {
    messages.push_back({{"role", "system"}, {"content", parameters.system}});
  }
  for (const Message& message : messages_) {
    messages.push_back({{"role", message.role}, {"content", message.text}});
  }
  request["messages"] = std::move(messages);
  if (parameters.temperature) request["temperature"] = *parameters.temperature;
  if (parameters.max_tokens) request["max_tokens"] = *parameters.max_tokens;
  if (parameters.seed) request["seed"] = *parameters.seed;
  return request;
}

void AnswerPrinter::print(std::string_view text, Tone tone) {
  std::string shown = console_.out_is_terminal() ? filter_.filter(text) : std::string(text);
  if (shown.empty()) return;
  line_open_ = shown.back() != '\n';
  console_.out(paint_(tone, shown));
}

void AnswerPrinter::take(const ChatPiece& piece) {
  if (!piece.reasoning.empty() && console_.out_is_terminal()) {
    reasoning_shown_ = true;
    print(piece.reasoning, Tone::dim);
  }
  if (piece.content.empty()) return;
  if (std::exchange(reasoning_shown_, false)) console_.out("\n\n");
  answer_ += piece.content;
  print(piece.content, Tone::plain);
}

void AnswerPrinter::finish() {
  if (std::string rest = filter_.finish(); !rest.empty()) {
    console_.out(rest);
    line_open_ = true;
  }
  if (std::exchange(line_open_, false)) console_.out("\n");
}

Outcome<ChatEnd> ask(Context& context, const Conversation& conversation, AnswerPrinter& printer) {
  auto end = context.api.stream_chat(conversation.request(),
                                     [&](const ChatPiece& piece) { printer.take(piece); });
  printer.finish();
  if (end && end->finish_reason == "length" && context.console.err_is_terminal()) {
    context.console.err(context.err_paint(Tone::dim, "(cut at the token limit)") + "\n");
  }
  return end;
}

}  // namespace corral::cli
