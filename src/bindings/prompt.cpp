#include "bindings/prompt.hpp"

#include "bindings/openai/body_fields.hpp"

namespace corral::bindings {

std::string_view prompt_of(const inference::Request& request) {
  constexpr std::string_view kKeys[] = {"messages", "prompt", "input"};
  auto found = openai::find_fields(request.body, kKeys);
  if (found) {
    for (const auto& place : found->places) {
      if (place.present()) return request.body.substr(place.begin, place.size);
    }
  }
  return request.body;
}

}  // namespace corral::bindings
