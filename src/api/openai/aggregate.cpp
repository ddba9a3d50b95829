#include "api/openai/aggregate.hpp"

#include <fmt/core.h>
#include <charconv>

#include "base/json.hpp"

namespace corral::api::openai {
namespace {

using namespace inference;

template <class... F>
struct Overload : F... {
  using F::operator()...;
};

void append_double(std::string& out, double number) {
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number);
  out.append(buffer, end);
}

void append_logprob(std::string& out, const TokenLogprob& entry, bool with_top) {
  out += R"({"token":)";
  json::append_quoted(out, entry.token);
  out += R"(,"logprob":)";
  append_double(out, entry.logprob);
  out += R"(,"bytes":[)";
  for (std::size_t i = 0; i < entry.bytes.size(); ++i) {
    out += fmt::format("{}{}", i == 0 ? "" : ",", entry.bytes[i]);
  }
  out += ']';
  if (with_top) {
    out += R"(,"top_logprobs":[)";
    for (std::size_t i = 0; i < entry.top.size(); ++i) {
      if (i != 0) out += ',';
      append_logprob(out, entry.top[i], false);
    }
    out += ']';
  }
  out += '}';
}

void append_logprobs(std::string& out, const std::vector<TokenLogprob>& tokens) {
  if (tokens.empty()) {
    out += R"(,"logprobs":null)";
    return;
  }
  out += R"(,"logprobs":{"content":[)";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i != 0) out += ',';
    append_logprob(out, tokens[i], true);
  }
  out += "]}";
}

void append_usage(std::string& out, const Usage& usage) {
  out += fmt::format(R"(,"usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},)"
                     R"("prompt_tokens_details":{{"cached_tokens":{}}}}})",
                     usage.prompt_tokens, usage.completion_tokens,
                     usage.prompt_tokens + usage.completion_tokens, usage.cached_tokens);
  if (!usage.backend_timings.empty()) out += R"(,"timings":)" + usage.backend_timings;
}

}  // namespace

void Aggregate::add(const Event& event) {
  std::visit(Overload{
                 [this](const Started& e) { started_ = e; },
                 [this](const TextDelta& e) {
                   Choice& choice = choices_[e.choice];
                   std::string& text = e.kind == TextKind::content     ? choice.content
                                       : e.kind == TextKind::reasoning ? choice.reasoning
                                                                       : choice.refusal;
                   text += e.text;
                 },
                 [this](const ToolCallDelta& e) {
                   ToolCall& call = choices_[e.choice].calls[e.index];
                   if (!e.id.empty()) call.id = e.id;
                   if (!e.name.empty()) call.name = e.name;
                   call.arguments += e.arguments;
                 },
                 [this](const LogprobsDelta& e) {
                   auto& all = choices_[e.choice].logprobs;
                   all.insert(all.end(), e.tokens.begin(), e.tokens.end());
                 },
                 [this](const Finished& e) { choices_[e.choice].reason = e.reason; },
                 [this](const UsageReport& e) {
                   // The timings may have come with an earlier event.
                   std::string timings = std::move(usage_.backend_timings);
                   usage_ = e.usage;
                   if (usage_.backend_timings.empty()) usage_.backend_timings = std::move(timings);
                 },
             },
             event);
}

void Aggregate::append_message(std::string& out, const Choice& choice) {
  out += R"("message":{"role":"assistant","content":)";
  if (choice.content.empty() && !choice.calls.empty())
    out += "null";
  else
    json::append_quoted(out, choice.content);
  if (!choice.reasoning.empty()) {
    out += R"(,"reasoning_content":)";
    json::append_quoted(out, choice.reasoning);
  }
  if (!choice.refusal.empty()) {
    out += R"(,"refusal":)";
    json::append_quoted(out, choice.refusal);
  }
  if (!choice.calls.empty()) {
    out += R"(,"tool_calls":[)";
    bool first = true;
    for (const auto& [index, call] : choice.calls) {
      if (!first) out += ',';
      first = false;
      out += R"({"type":"function","id":)";
      json::append_quoted(out, call.id);
      out += R"(,"function":{"name":)";
      json::append_quoted(out, call.name);
      out += R"(,"arguments":)";
      json::append_quoted(out, call.arguments);
      out += "}}";
    }
    out += ']';
  }
  out += '}';
}

void Aggregate::append_choice(std::string& out, unsigned index, const Choice& choice) const {
  out += fmt::format(R"({{"index":{},)", index);
  if (operation_ == Operation::chat) {
    append_message(out, choice);
  } else {
    out += R"("text":)";
    json::append_quoted(out, choice.content);
  }
  append_logprobs(out, choice.logprobs);
  out += R"(,"finish_reason":)";
  json::append_quoted(out, to_string(choice.reason));
  out += '}';
}

std::string Aggregate::document(const std::string& model) const {
  std::string out = R"({"id":)";
  json::append_quoted(out, started_.id);
  out += operation_ == Operation::chat ? R"(,"object":"chat.completion")"
                                       : R"(,"object":"text_completion")";
  out += fmt::format(R"(,"created":{},"model":)", started_.created);
  json::append_quoted(out, model);
  if (!started_.fingerprint.empty()) {
    out += R"(,"system_fingerprint":)";
    json::append_quoted(out, started_.fingerprint);
  }
  out += R"(,"choices":[)";
  bool first = true;
  for (const auto& [index, choice] : choices_) {
    if (!first) out += ',';
    first = false;
    append_choice(out, index, choice);
  }
  out += ']';
  append_usage(out, usage_);
  out += '}';
  return out;
}

}  // namespace corral::api::openai
