#include "bindings/openai/rewrite.hpp"

#include <algorithm>

#include "base/json.hpp"

namespace corral::bindings::openai {
namespace {

struct Replacement {
  inference::Span span;
  std::string text;
};

}  // namespace

RewrittenBody::RewrittenBody(const inference::Request& request, const BodyEdits& edits) {
  const auto& spans = request.spans;
  std::string_view body = request.body;
  std::vector<Replacement> replacements;
  std::string added;
  auto put = [&](const inference::Span& span, std::string_view key, std::string value) {
    if (span.present()) {
      replacements.push_back({span, std::move(value)});
    } else {
      added.append("\"").append(key).append("\":").append(value).append(",");
    }
  };
  if (!edits.model.empty()) put(spans.model, "model", json::quoted(edits.model));
  if (edits.force_stream && !request.stream) put(spans.stream, "stream", "true");
  if (edits.include_usage && !request.usage_in_stream) {
    put(spans.stream_options, "stream_options", R"({"include_usage":true})");
  }
  if (edits.return_progress) put(spans.return_progress, "return_progress", "true");
  if (!added.empty()) {
    if (spans.empty_object) added.pop_back();
    replacements.push_back({{spans.insert_at, 0}, std::move(added)});
  }

  std::ranges::sort(replacements, {}, [](const Replacement& r) { return r.span.begin; });
  std::size_t at = 0;
  for (auto& replacement : replacements) {
    if (replacement.span.begin > at) {
      parts_.push_back(body.substr(at, replacement.span.begin - at));
    }
    made_.push_back(std::move(replacement.text));
    parts_.push_back(made_.back());
    at = replacement.span.begin + replacement.span.size;
  }
  if (at < body.size()) parts_.push_back(body.substr(at));
}

}  // namespace corral::bindings::openai
