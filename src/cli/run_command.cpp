#include <boost/json.hpp>

#include "base/text.hpp"
#include "cli/chat.hpp"
#include "cli/commands.hpp"
#include "cli/load_wait.hpp"
#include "cli/repl.hpp"

namespace corral::cli {

namespace {

constexpr std::size_t kMostInput = 16u << 20;

Outcome<std::string> prompt_of(Context& context, const Options& options) {
  std::string prompt = join(options.prompt, " ");
  if (context.console.in_is_terminal()) return prompt;
  auto input = context.console.read_input(kMostInput);
  if (!input) return failure(std::move(input.error()));
  std::string_view rest = trim(*input);
  if (!prompt.empty() && !rest.empty()) prompt += "\n\n";
  prompt += rest;
  if (prompt.empty()) {
    return failure(ExitCode::usage, "there is nothing to ask",
                   "give a prompt, text on standard input, or run it in a terminal to talk");
  }
  return prompt;
}

Outcome<void> answer_whole(Context& context, const Conversation& conversation) {
  CORRAL_TRY(std::string body, context.api.chat(conversation.request()));
  std::string text(trim(body));
  context.console.out((context.console.out_is_terminal() ? safe_text(text) : text) + "\n");
  return {};
}

}  // namespace

Outcome<void> run_model(Context& context, const Options& options, const ReaderFactory& reader) {
  CORRAL_TRY(std::string prompt, prompt_of(context, options));
  if (prompt.empty() && options.json) {
    return failure(ExitCode::usage, "--json needs a prompt",
                   "corral run MODEL --json \"What is Corral?\"");
  }
  CORRAL_CHECK(prepare_model(context, options.model));
  Conversation conversation(options.model, parameters_of(options));
  if (prompt.empty()) {
    auto lines = reader();
    Repl(context, *lines, std::move(conversation)).talk();
    return {};
  }
  conversation.add_user(std::move(prompt));
  if (options.json) return answer_whole(context, conversation);
  AnswerPrinter printer(context.console, context.out_paint);
  auto end = ask(context, conversation, printer);
  if (!end) return std::unexpected(std::move(end.error()));
  return {};
}

}  // namespace corral::cli
