// Makes GGUF files in memory, whole or wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace corral::models {

class GgufWriter {
 public:
  template <class T>
  static std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  static std::string text(std::string_view value) {
    return raw<std::uint64_t>(value.size()) + std::string(value);
  }

  std::uint32_t version = 3;
  std::uint64_t extra_keys = 0;  // said, but not there
  std::uint64_t extra_tensors = 0;

  // `type` is the number of the format; `bytes` the value as it lies in the file.
  GgufWriter& value(std::string_view key, std::uint32_t type, const std::string& bytes) {
    values_ += text(key) + raw(type) + bytes;
    ++keys_;
    return *this;
  }
  GgufWriter& number(std::string_view key, std::uint32_t n) { return value(key, 4, raw(n)); }
  GgufWriter& string(std::string_view key, std::string_view s) { return value(key, 8, text(s)); }
  GgufWriter& real(std::string_view key, float n) { return value(key, 6, raw(n)); }
  GgufWriter& strings(std::string_view key, const std::vector<std::string>& items) {
    std::string bytes = raw<std::uint32_t>(8) + raw<std::uint64_t>(items.size());
    for (const std::string& item : items) bytes += text(item);
    return value(key, 9, bytes);
  }
  template <class T>
  GgufWriter& array(std::string_view key, std::uint32_t type, const std::vector<T>& items) {
    std::string bytes = raw<std::uint32_t>(type) + raw<std::uint64_t>(items.size());
    for (const T item : items) bytes += raw(item);
    return value(key, 9, bytes);
  }

  GgufWriter& tensor(std::string_view name, const std::vector<std::uint64_t>& shape,
                     std::uint32_t type, std::uint64_t bytes) {
    raw_tensor(name, shape, type, data_);
    data_ += (bytes + 31) / 32 * 32;
    return *this;
  }
  GgufWriter& raw_tensor(std::string_view name, const std::vector<std::uint64_t>& shape,
                         std::uint32_t type, std::uint64_t offset) {
    tensors_ += text(name) + raw(static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t length : shape) tensors_ += raw(length);
    tensors_ += raw(type) + raw(offset);
    ++tensor_count_;
    return *this;
  }

  std::string header() const {
    std::string out = "GGUF" + raw(version) + raw(tensor_count_ + extra_tensors) +
                      raw(keys_ + extra_keys) + values_ + tensors_;
    out.resize((out.size() + 31) / 32 * 32);
    return out;
  }
  // With weights of zeros.
  std::string file() const { return header() + std::string(data_, '\0'); }

 private:
  std::string values_;
  std::string tensors_;
  std::uint64_t keys_ = 0;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t data_ = 0;
};

// A small llama: 2 blocks, 64 wide, 4 heads of which 2 for keys, 5 tokens.
inline GgufWriter tiny_llama() {
  GgufWriter out;
  out.string("general.architecture", "llama")
      .string("general.name", "Tiny")
      .string("general.size_label", "20K")
      .string("general.license", "apache-2.0")
      .number("general.file_type", 7)
      .number("llama.context_length", 2048)
      .number("llama.embedding_length", 64)
      .number("llama.block_count", 2)
      .number("llama.feed_forward_length", 128)
      .number("llama.attention.head_count", 4)
      .number("llama.attention.head_count_kv", 2)
      .real("llama.attention.layer_norm_rms_epsilon", 1e-5f)
      .string("tokenizer.ggml.model", "llama")
      .string("tokenizer.chat_template", "{{ messages }}")
      .strings("tokenizer.ggml.tokens", {"<s>", "</s>", "a", "b", "c"})
      .array<float>("tokenizer.ggml.scores", 6, {0, 0, 1, 2, 3})
      .tensor("token_embd.weight", {64, 5}, 8, 340)
      .tensor("blk.0.attn_q.weight", {64, 64}, 8, 4352)
      .tensor("output_norm.weight", {64}, 0, 256);
  return out;
}

}  // namespace corral::models
