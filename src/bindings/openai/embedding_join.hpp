// Several requests for embeddings as one with several inputs, and its answer taken apart again, in
// OpenAI's dialect (API reference, "Create embeddings"). Texts and numbers are passed on as they
// came, byte for byte. Pure.
//
// Example:
//   CORRAL_TRY(auto inputs, embedding_inputs(body));
//   CORRAL_TRY(auto joint, join_embeddings(first_body, all_inputs));
//   CORRAL_TRY(auto answers, split_embeddings(document, parts));
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral::bindings::openai {

enum class InputForm { text, tokens };

struct EmbeddingInputs {
  InputForm form = InputForm::text;
  std::vector<std::string_view> inputs;  // each as JSON, within the body
  std::size_t bytes = 0;                 // of all of them
};

// invalid_argument: there are none, or of a form that cannot stand beside others (that is for the
// backend to judge).
Result<EmbeddingInputs> embedding_inputs(std::string_view body);

// `body` with `inputs` in place of its own.
Result<std::string> join_embeddings(std::string_view body,
                                    std::span<const std::string_view> inputs);

// What one of the joined requests gets of the answer.
struct EmbeddingShare {
  std::size_t inputs = 1;
  std::size_t weight = 1;  // its part of the tokens, against that of the others
};
struct EmbeddingAnswer {
  std::string document;
  std::uint64_t prompt_tokens = 0;
};
// In the order of `shares`. The tokens add up to those of `document`. upstream: it does not hold
// one embedding for each input.
Result<std::vector<EmbeddingAnswer>> split_embeddings(std::string_view document,
                                                      std::span<const EmbeddingShare> shares);

}  // namespace corral::bindings::openai
