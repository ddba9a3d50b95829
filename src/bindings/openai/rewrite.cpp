#include "bindings/openai/rewrite.hpp"

#include <algorithm>

#include "bindings/openai/body_fields.hpp"

namespace corral::bindings::openai {
namespace {

struct Replacement {
  std::size_t begin = 0;
  std::size_t size = 0;
  std::string text;
};

std::vector<Replacement> replacements_for(std::string_view body, std::span<const BodyEdit> edits,
                                          const BodyFields& found) {
  std::vector<Replacement> result;
  std::string added;
  for (std::size_t i = 0; i < edits.size(); ++i) {
    const BodyEdit& edit = edits[i];
    const FieldPlace& place = found.places[i];
    if (!place.present()) {
      added.append("\"").append(edit.key).append("\":").append(edit.json).append(",");
    } else if (!edit.only_if_absent || body.substr(place.begin, place.size) == "null") {
      result.push_back({place.begin, place.size, edit.json});
    }
  }
  if (!added.empty()) {
    if (found.empty_object) added.pop_back();
    result.push_back({found.insert_at, 0, std::move(added)});
  }
  std::ranges::sort(result, {}, &Replacement::begin);
  return result;
}

}  // namespace

Result<RewrittenBody> RewrittenBody::make(std::string_view body, std::span<const BodyEdit> edits) {
  RewrittenBody result;
  if (edits.empty()) {
    result.parts_.push_back(body);
    return result;
  }
  std::vector<std::string_view> keys;
  keys.reserve(edits.size());
  for (const auto& edit : edits) keys.push_back(edit.key);
  CORRAL_TRY(auto found, find_fields(body, keys));
  std::size_t at = 0;
  for (auto& replacement : replacements_for(body, edits, found)) {
    if (replacement.begin > at) {
      result.parts_.push_back(body.substr(at, replacement.begin - at));
    }
    result.made_.push_back(std::move(replacement.text));
    result.parts_.push_back(result.made_.back());
    at = replacement.begin + replacement.size;
  }
  if (at < body.size()) result.parts_.push_back(body.substr(at));
  return result;
}

}  // namespace corral::bindings::openai
