#include "bindings/openai/raw_json.hpp"

#include <cstring>

namespace corral::bindings::openai {

namespace od = simdjson::ondemand;

simdjson::error_code raw_text(od::value value, std::string_view& raw) {
  od::json_type type;
  if (auto error = value.type().get(type)) return error;
  if (type == od::json_type::object) {
    od::object inner;
    if (auto error = value.get_object().get(inner)) return error;
    if (auto error = inner.raw_json().get(raw)) return error;
  } else if (type == od::json_type::array) {
    od::array inner;
    if (auto error = value.get_array().get(inner)) return error;
    if (auto error = inner.raw_json().get(raw)) return error;
  } else {
    raw = value.raw_json_token();
  }
  // All of them reach up to the next token.
  while (!raw.empty() && std::strchr(" \t\r\n", raw.back()) != nullptr) raw.remove_suffix(1);
  return simdjson::SUCCESS;
}

}  // namespace corral::bindings::openai
