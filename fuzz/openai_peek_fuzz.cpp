// Request bodies: what peek() accepts can be rewritten, and the outcome is a JSON object with the
// wanted values that all parsers here agree on.
#include "bindings/openai/peek.hpp"

#include <boost/json.hpp>
#include <cstdint>
#include <string>

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
  openai::BodyEdits edits;
  if ((wish & 1) != 0) edits.model = "wanted \"name\"";
  edits.force_stream = (wish & 2) != 0 && operation != Operation::embedding;
  edits.include_usage = (wish & 4) != 0 && operation != Operation::embedding;
  edits.return_progress = (wish & 8) != 0 && operation != Operation::embedding;
  auto parsed = corral::json::parse(joined(openai::RewrittenBody(*request, edits)));
  // Boost.JSON makes NaN of 0e9999, which is zero and which simdjson takes.
  if (!parsed && parsed.error().message.contains("64-bit float")) return 0;
  check(parsed && parsed->is_object());
  const auto& object = parsed->as_object();
  const auto& model = object.at("model").as_string();
  check(std::string_view(model.data(), model.size()) ==
        (edits.model.empty() ? request->model.str() : edits.model));
  if (edits.force_stream || request->stream) check(object.at("stream") == true);
  if (edits.include_usage) check(object.at("stream_options").at("include_usage") == true);
  if (edits.return_progress) check(object.at("return_progress") == true);
  return 0;
}
