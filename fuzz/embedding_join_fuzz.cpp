// Bodies and answers of embeddings: inputs that are found can be joined and are found again, and
// what is split is JSON with one number for each input.
#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "bindings/openai/embedding_join.hpp"
#include "bindings/openai/peek.hpp"

namespace {

namespace openai = corral::bindings::openai;

void check(bool holds) {
  if (!holds) __builtin_trap();
}

void try_body(const std::string& body) {
  if (!openai::peek(corral::inference::Operation::embedding, body)) return;
  auto inputs = openai::embedding_inputs(body);
  if (!inputs) return;
  check(!inputs->inputs.empty());
  auto twice = inputs->inputs;
  twice.insert(twice.end(), inputs->inputs.begin(), inputs->inputs.end());
  auto joint = openai::join_embeddings(body, twice);
  check(joint.has_value());
  auto again = openai::embedding_inputs(*joint);
  check(again.has_value() && again->inputs == twice && again->form == inputs->form);
}

void try_answer(const std::string& document) {
  std::vector<openai::EmbeddingShare> shares{{1, 3}, {2, 1}};
  auto answers = openai::split_embeddings(document, shares);
  if (!answers) return;
  check(answers->size() == 2);
  if (!corral::json::parse(document)) return;  // numbers within are passed on unread
  for (std::size_t i = 0; i < 2; ++i) {
    auto parsed = corral::json::parse((*answers)[i].document);
    check(parsed.has_value());
    check(parsed->at("data").as_array().size() == shares[i].inputs);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    try_body(text);
  } else {
    try_answer(text);
  }
  return 0;
}
