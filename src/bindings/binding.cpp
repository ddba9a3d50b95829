#include "bindings/binding.hpp"

#include "bindings/openai/openai_binding.hpp"

namespace corral::bindings {

BindingSet::BindingSet() {
  bindings_.push_back(std::make_unique<openai::OpenAiBinding>("openai", openai::Quirks{}));
  bindings_.push_back(std::make_unique<openai::OpenAiBinding>(
      "llamacpp", openai::Quirks{.always_stream = true, .prefill_progress = true}));
}

const Binding* BindingSet::find(std::string_view kind) const {
  for (const auto& binding : bindings_) {
    if (binding->kind() == kind) return binding.get();
  }
  return nullptr;
}

std::vector<std::string> BindingSet::kinds() const {
  std::vector<std::string> result;
  result.reserve(bindings_.size());
  for (const auto& binding : bindings_) result.emplace_back(binding->kind());
  return result;
}

}  // namespace corral::bindings
