#include "bindings/openai/embedding_join.hpp"

#include <fmt/core.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/text.hpp"
#include "bindings/openai/body_fields.hpp"
#include "bindings/openai/raw_json.hpp"
#include "bindings/openai/rewrite.hpp"
#include "bindings/openai/usage_scan.hpp"
#include "inference/usage.hpp"

namespace corral::bindings::openai {
namespace {

namespace od = simdjson::ondemand;

Error no_inputs() { return fail(ErrorCode::invalid_argument, "the inputs cannot be joined"); }
Error not_whole() {
  return fail(ErrorCode::upstream, "the backend did not answer with one embedding for each input");
}

// The elements of a JSON array, as they stand there.
std::optional<std::vector<std::string_view>> elements_of(std::string_view array) {
  simdjson::padded_string text(array);
  od::parser parser;
  od::document document;
  od::array items;
  if (parser.iterate(text).get(document) != simdjson::SUCCESS) return std::nullopt;
  if (document.get_array().get(items) != simdjson::SUCCESS) return std::nullopt;
  std::vector<std::string_view> found;
  for (auto item : items) {
    od::value value;
    std::string_view raw;
    if (item.get(value) != simdjson::SUCCESS) return std::nullopt;
    if (raw_text(value, raw) != simdjson::SUCCESS) return std::nullopt;
    auto at = static_cast<std::size_t>(raw.data() - text.data());
    found.push_back(trim(array.substr(at, raw.size())));
  }
  return found;
}

// `text` with some places of it replaced; the places in the order in which they stand.
struct Replaced {
  FieldPlace place;
  std::string_view with;
};
void append_replaced(std::string& out, std::string_view text, std::span<const Replaced> all) {
  std::size_t at = 0;
  for (const auto& each : all) {
    out.append(text.substr(at, each.place.begin - at)).append(each.with);
    at = each.place.begin + each.place.size;
  }
  out.append(text.substr(at));
}

struct Embedding {
  std::string_view text;
  FieldPlace index;
};

// The embedding of each input, by its number.
Result<std::vector<Embedding>> embeddings_in(std::string_view data, std::size_t inputs) {
  constexpr std::string_view kIndex[] = {"index"};
  auto elements = elements_of(data);
  if (!elements || elements->size() != inputs) return not_whole();
  std::vector<Embedding> by_number(inputs);
  for (auto element : *elements) {
    if (!element.starts_with('{')) return not_whole();
    auto found = find_fields(element, kIndex);
    if (!found || !found->places.front().present()) return not_whole();
    auto place = found->places.front();
    auto index = parse_int(element.substr(place.begin, place.size));
    if (!index || *index < 0 || static_cast<std::size_t>(*index) >= inputs) return not_whole();
    auto& embedding = by_number[static_cast<std::size_t>(*index)];
    if (!embedding.text.empty()) return not_whole();
    embedding = {element, place};
  }
  return by_number;
}

// Whole tokens by weight; the rounding goes to those who lose most by it, the first ones first.
std::vector<std::uint64_t> apportion(std::uint64_t tokens, std::span<const EmbeddingShare> shares) {
  std::uint64_t weights = 0;
  for (const auto& share : shares) weights += std::max<std::size_t>(share.weight, 1);
  std::vector<std::uint64_t> parts;
  std::vector<std::pair<std::uint64_t, std::size_t>> rests;
  parts.reserve(shares.size());
  rests.reserve(shares.size());
  std::uint64_t given = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    __extension__ using Wide = unsigned __int128;
    Wide exact = Wide(tokens) * std::max<std::size_t>(shares[i].weight, 1);
    parts.push_back(static_cast<std::uint64_t>(exact / weights));
    rests.emplace_back(static_cast<std::uint64_t>(exact % weights), i);
    given += parts.back();
  }
  std::ranges::sort(rests, [](const auto& one, const auto& other) {
    return one.first != other.first ? one.first > other.first : one.second < other.second;
  });
  for (std::size_t i = 0; given < tokens; ++i, ++given) ++parts[rests[i].second];
  return parts;
}

}  // namespace

Result<EmbeddingInputs> embedding_inputs(std::string_view body) {
  constexpr std::string_view kInput[] = {"input"};
  auto found = find_fields(body, kInput);
  if (!found || !found->places.front().present()) return no_inputs();
  auto field = body.substr(found->places.front().begin, found->places.front().size);
  EmbeddingInputs result;
  if (field.starts_with('"')) {
    result.inputs.push_back(field);
  } else if (field.starts_with('[')) {
    auto elements = elements_of(field);
    if (!elements || elements->empty()) return no_inputs();
    char first = elements->front().front();
    auto alike = [first](std::string_view element) { return element.front() == first; };
    bool number = first >= '0' && first <= '9';
    if (number) {  // one input, given as its tokens
      result.form = InputForm::tokens;
      result.inputs.push_back(field);
    } else if ((first == '"' || first == '[') && std::ranges::all_of(*elements, alike)) {
      result.form = first == '[' ? InputForm::tokens : InputForm::text;
      result.inputs = std::move(*elements);
    } else {
      return no_inputs();
    }
  } else {
    return no_inputs();
  }
  for (auto input : result.inputs) result.bytes += input.size();
  return result;
}

Result<std::string> join_embeddings(std::string_view body,
                                    std::span<const std::string_view> inputs) {
  std::string all = "[";
  for (auto input : inputs) {
    if (all.size() > 1) all += ',';
    all += input;
  }
  all += ']';
  std::vector<BodyEdit> edits{{"input", std::move(all)}};
  CORRAL_TRY(auto rewritten, RewrittenBody::make(body, edits));
  std::string joint;
  for (auto part : rewritten.parts()) joint += part;
  return joint;
}

Result<std::vector<EmbeddingAnswer>> split_embeddings(std::string_view document,
                                                      std::span<const EmbeddingShare> shares) {
  constexpr std::string_view kKeys[] = {"data", "usage"};
  auto found = find_fields(document, kKeys);
  if (!found || !found->places[0].present()) return not_whole();
  auto data = found->places[0];
  auto usage_place = found->places[1];
  std::size_t inputs = 0;
  for (const auto& share : shares) inputs += share.inputs;
  CORRAL_TRY(auto embeddings, embeddings_in(document.substr(data.begin, data.size), inputs));
  inference::Usage usage;
  scan_usage(document, usage);
  auto tokens = apportion(usage.prompt_tokens, shares);

  std::vector<EmbeddingAnswer> answers;
  answers.reserve(shares.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    std::string own = "[";
    for (std::size_t k = 0; k < shares[i].inputs; ++k, ++next) {
      if (k > 0) own += ',';
      auto number = fmt::format("{}", k);
      Replaced index{embeddings[next].index, number};
      append_replaced(own, embeddings[next].text, std::span(&index, 1));
    }
    own += ']';
    auto cost = fmt::format(R"({{"prompt_tokens":{0},"total_tokens":{0}}})", tokens[i]);
    std::vector<Replaced> places{{data, own}};
    if (usage_place.present()) {
      places.insert(usage_place.begin < data.begin ? places.begin() : places.end(),
                    {usage_place, cost});
    }
    EmbeddingAnswer answer{{}, tokens[i]};
    append_replaced(answer.document, document, places);
    answers.push_back(std::move(answer));
  }
  return answers;
}

}  // namespace corral::bindings::openai
