// Request bodies: what peek() accepts can be rewritten, and the outcome is a JSON object with the
// wanted values that all parsers here agree on.
#include "bindings/openai/peek.hpp"

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "bindings/openai/rewrite.hpp"

namespace {

namespace openai = corral::bindings::openai;
using corral::inference::Operation;

std::string joined(const openai::RewrittenBody& body) {
  std::string out;
  for (auto part : body.parts()) out += part;
  return out;
}

void check(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto operation = static_cast<Operation>(data[0] % 3);
  unsigned wish = data[0] / 3;
  // A copy of its own, so that a read past the end is seen.
  std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto request = openai::peek(operation, body);
  if (!request) {
    check(request.error().code == corral::ErrorCode::invalid_argument);
    check(!request.error().message.empty());
    return 0;
  }
  bool text = operation != Operation::embedding;
  std::vector<openai::BodyEdit> edits;
  if ((wish & 1) != 0) edits.push_back({"model", R"("wanted \"name\"")"});
  if ((wish & 2) != 0 && text) edits.push_back({"stream", "true"});
  if ((wish & 4) != 0 && text) edits.push_back({"stream_options", R"({"include_usage":true})"});
  if ((wish & 8) != 0) edits.push_back({"fresh", "7", true});
  auto rewritten = openai::RewrittenBody::make(body, edits);
  check(rewritten.has_value());
  auto parsed = corral::json::parse(joined(*rewritten));
  // Boost.JSON makes NaN of 0e9999, which is zero and which simdjson takes.
  if (!parsed && parsed.error().message.contains("64-bit float")) return 0;
  check(parsed && parsed->is_object());
  const auto& object = parsed->as_object();
  const auto& model = object.at("model").as_string();
  check(std::string_view(model.data(), model.size()) ==
        ((wish & 1) != 0 ? "wanted \"name\"" : request->model.str()));
  if (((wish & 2) != 0 && text) || request->stream) check(object.at("stream") == true);
  if ((wish & 4) != 0 && text) check(object.at("stream_options").at("include_usage") == true);
  if ((wish & 8) != 0) check(object.contains("fresh") && !object.at("fresh").is_null());
  return 0;
}
