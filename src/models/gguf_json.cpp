#include "models/gguf_json.hpp"

#include <boost/json.hpp>
#include <concepts>
#include <limits>

#include "base/json.hpp"

namespace corral::models {
namespace {

namespace bj = boost::json;

// The same list of members is written and read, so that neither forgets one.
template <class Metadata, class Field>
void each_field(Metadata& m, Field&& field) {
  field("version", m.version);
  field("architecture", m.architecture);
  field("name", m.name);
  field("type", m.type);
  field("size_label", m.size_label);
  field("license", m.license);
  field("quantization", m.quantization);
  field("chat_template", m.chat_template);
  field("tokenizer", m.tokenizer);
  field("pooling", m.pooling);
  field("vocabulary", m.vocabulary);
  field("parameters", m.parameters);
  field("context_length", m.context_length);
  field("embedding_length", m.embedding_length);
  field("feed_forward_length", m.feed_forward_length);
  field("blocks", m.blocks);
  field("heads", m.heads);
  field("kv_heads", m.kv_heads);
  field("key_length", m.key_length);
  field("value_length", m.value_length);
  field("experts", m.experts);
  field("experts_used", m.experts_used);
  field("sliding_window", m.sliding_window);
  field("sliding", m.sliding);
  field("sliding_key_length", m.sliding_key_length);
  field("sliding_value_length", m.sliding_value_length);
  field("state_bytes", m.state_bytes);
  field("tensor_count", m.tensor_count);
  field("tensor_bytes", m.tensor_bytes);
  field("repacked_bytes", m.repacked_bytes);
  field("file_bytes", m.file_bytes);
  field("block_bytes", m.places.blocks);
  field("block_repacked", m.places.repacked);
  field("output_bytes", m.places.output);
  field("output_repacked", m.places.output_repacked);
  field("shared_output", m.places.shared_output);
  field("split_number", m.split.number);
  field("split_count", m.split.count);
  field("split_tensors", m.split.tensors_in_all);
  field("types", m.types);
}

struct Writer {
  bj::object out;

  void operator()(std::string_view key, const std::string& text) { out[key] = text; }
  template <class T>
    requires(std::unsigned_integral<T> && !std::same_as<T, bool>)
  void operator()(std::string_view key, T number) {
    out[key] = static_cast<std::uint64_t>(number);
  }
  void operator()(std::string_view key, bool flag) { out[key] = flag; }
  template <class T>
    requires(std::unsigned_integral<T> && !std::same_as<T, bool>)
  void operator()(std::string_view key, const std::vector<T>& numbers) {
    bj::array list;
    list.reserve(numbers.size());
    for (T number : numbers) list.emplace_back(number);
    out[key] = std::move(list);
  }
  void operator()(std::string_view key, const std::vector<bool>& flags) {
    std::string text;
    text.reserve(flags.size());
    for (bool flag : flags) text += flag ? '1' : '0';
    out[key] = text;
  }
  void operator()(std::string_view key, const std::vector<TensorTypeTotal>& types) {
    bj::array list;
    list.reserve(types.size());
    for (const auto& type : types) {
      list.push_back(bj::array{type.type, type.tensors, type.elements, type.bytes});
    }
    out[key] = std::move(list);
  }
};

// What is missing or of another type makes the whole text unfit.
struct Reader {
  const bj::object& in;
  bool whole = true;

  const bj::value* find(std::string_view key) {
    const bj::value* found = in.if_contains(key);
    if (found == nullptr) whole = false;
    return found;
  }
  std::uint64_t number_in(const bj::value& value) {
    if (value.is_uint64()) return value.get_uint64();
    if (value.is_int64() && value.get_int64() >= 0) {
      return static_cast<std::uint64_t>(value.get_int64());
    }
    whole = false;
    return 0;
  }
  void operator()(std::string_view key, std::string& text) {
    const bj::value* found = find(key);
    if (found != nullptr && found->is_string()) {
      text = std::string_view(found->get_string());
    } else {
      whole = false;
    }
  }
  template <class T>
    requires(std::unsigned_integral<T> && !std::same_as<T, bool>)
  void operator()(std::string_view key, T& number) {
    const bj::value* found = find(key);
    if (found == nullptr) return;
    std::uint64_t wide = number_in(*found);
    if (wide > std::numeric_limits<T>::max()) whole = false;
    number = static_cast<T>(wide);
  }
  const bj::array* list(std::string_view key) {
    const bj::value* found = find(key);
    const bj::array* items = found != nullptr ? found->if_array() : nullptr;
    if (items == nullptr) whole = false;
    return items;
  }
  void operator()(std::string_view key, bool& flag) {
    const bj::value* found = find(key);
    if (found != nullptr && found->is_bool()) {
      flag = found->get_bool();
    } else {
      whole = false;
    }
  }
  template <class T>
    requires(std::unsigned_integral<T> && !std::same_as<T, bool>)
  void operator()(std::string_view key, std::vector<T>& numbers) {
    const bj::array* items = list(key);
    if (items == nullptr) return;
    numbers.reserve(items->size());
    for (const auto& item : *items) {
      std::uint64_t wide = number_in(item);
      if (wide > std::numeric_limits<T>::max()) whole = false;
      numbers.push_back(static_cast<T>(wide));
    }
  }
  void operator()(std::string_view key, std::vector<bool>& flags) {
    std::string text;
    (*this)(key, text);
    flags.reserve(text.size());
    for (char c : text) flags.push_back(c == '1');
  }
  void operator()(std::string_view key, std::vector<TensorTypeTotal>& types) {
    const bj::array* items = list(key);
    if (items == nullptr) return;
    types.reserve(items->size());
    for (const auto& item : *items) {
      const bj::array* parts = item.if_array();
      if (parts == nullptr || parts->size() != 4 || !(*parts)[0].is_string()) {
        whole = false;
        return;
      }
      types.push_back({std::string(std::string_view((*parts)[0].get_string())),
                       number_in((*parts)[1]), number_in((*parts)[2]), number_in((*parts)[3])});
    }
  }
};

}  // namespace

std::string to_json(const GgufMetadata& metadata) {
  Writer writer;
  writer.out["format"] = kMetadataFormat;
  each_field(metadata, writer);
  return json::serialize(writer.out);
}

std::shared_ptr<const GgufMetadata> metadata_from_json(std::string_view text) {
  auto parsed = json::parse(text);
  const bj::object* object = parsed ? parsed->if_object() : nullptr;
  if (object == nullptr) return nullptr;
  const bj::value* format = object->if_contains("format");
  if (format == nullptr || !format->is_int64() || format->get_int64() != kMetadataFormat) {
    return nullptr;
  }
  auto metadata = std::make_shared<GgufMetadata>();
  Reader reader{*object};
  each_field(*metadata, reader);
  return reader.whole ? metadata : nullptr;
}

}  // namespace corral::models
