#include "bindings/openai/body_fields.hpp"

#include <fmt/core.h>
#include <simdjson.h>
#include <algorithm>
#include <cstring>
#include <string>

#include "base/json.hpp"
#include "bindings/openai/raw_json.hpp"

namespace corral::bindings::openai {
namespace {

namespace od = simdjson::ondemand;
using simdjson::error_code;

constexpr std::size_t kFirstCapacity = 4096;

struct Workspace {
  od::parser parser;
  std::string padded;

  void shrink() {
    constexpr std::size_t kKeep = 1u << 20;
    if (padded.capacity() > kKeep) *this = Workspace();
  }
};

error_code find(od::parser& parser, simdjson::padded_string_view text,
                std::span<const std::string_view> keys, BodyFields& found) {
  od::document document;
  if (auto error = parser.iterate(text).get(document)) return error;
  od::object object;
  if (auto error = document.get_object().get(object)) return error;
  found.empty_object = true;
  for (auto item : object) {
    od::field field;
    if (auto error = std::move(item).get(field)) return error;
    found.empty_object = false;
    std::string_view key;
    if (auto error = field.unescaped_key().get(key)) return error;
    auto wanted = std::ranges::find(keys, key);
    if (wanted == keys.end()) continue;
    std::string_view raw;
    if (auto error = raw_text(field.value(), raw)) return error;
    auto& place = found.places[static_cast<std::size_t>(wanted - keys.begin())];
    place = {static_cast<std::size_t>(raw.data() - text.data()), raw.size()};
  }
  return simdjson::SUCCESS;
}

}  // namespace

Result<BodyFields> find_fields(std::string_view body, std::span<const std::string_view> keys) {
  static thread_local Workspace space;
  space.padded.resize(body.size() + simdjson::SIMDJSON_PADDING);
  std::memcpy(space.padded.data(), body.data(), body.size());
  std::memset(space.padded.data() + body.size(), 0, simdjson::SIMDJSON_PADDING);
  BodyFields found;
  found.places.resize(keys.size());
  found.insert_at = body.find('{') + 1;
  auto error = space.parser.capacity() == 0 ? space.parser.allocate(kFirstCapacity, json::kMaxDepth)
                                            : simdjson::SUCCESS;
  if (error == simdjson::SUCCESS) {
    simdjson::padded_string_view text(space.padded.data(), body.size(), space.padded.size());
    error = find(space.parser, text, keys, found);
  }
  space.shrink();
  if (error == simdjson::SUCCESS) return found;
  return fail(ErrorCode::internal, fmt::format("the request body cannot be rewritten: {}",
                                               simdjson::error_message(error)));
}

}  // namespace corral::bindings::openai
