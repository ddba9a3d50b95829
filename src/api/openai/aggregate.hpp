// Canonical events -> one OpenAI document: "chat.completion" or "text_completion". Pure.
#pragma once

#include <map>
#include <string>

#include "inference/event.hpp"
#include "inference/request.hpp"

namespace corral::api::openai {

class Aggregate {
 public:
  explicit Aggregate(inference::Operation operation) : operation_(operation) {}

  void add(const inference::Event& event);
  // The document, with `model` as the public name.
  std::string document(const std::string& model) const;

 private:
  struct ToolCall {
    std::string id, name, arguments;
  };
  struct Choice {
    std::string content, reasoning, refusal;
    std::map<unsigned, ToolCall> calls;
    std::vector<inference::TokenLogprob> logprobs;
    inference::FinishReason reason = inference::FinishReason::stop;
  };
  void append_choice(std::string& out, unsigned index, const Choice& choice) const;
  static void append_message(std::string& out, const Choice& choice);

  inference::Operation operation_;
  inference::Started started_;
  inference::Usage usage_;
  std::map<unsigned, Choice> choices_;
};

}  // namespace corral::api::openai
