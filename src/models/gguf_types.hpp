// The tensor types and file types of GGUF: names, and how many bytes a block of elements takes.
// Source: ggml/include/ggml.h, gguf-py/gguf/constants.py and include/llama.h of llama.cpp.
//
// Thread rule: constant tables.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace corral::models {

struct TensorType {
  std::uint32_t id = 0;
  std::string_view name;
  std::uint64_t block_elements = 1;  // rows are whole blocks
  std::uint64_t block_bytes = 1;
  // The CPU engine (x86-64 with AVX2) keeps a second, rearranged copy of such weights.
  bool repacked = false;
};

// None for a type that this program does not know (a newer engine may).
std::optional<TensorType> tensor_type(std::uint32_t id);

// `general.file_type` as people write it: 15 is "Q4_K_M"; empty when unknown.
std::string_view file_type_name(std::uint64_t file_type);

// `<architecture>.pooling_type`: "none", "mean", "cls", "last", "rank"; empty when unknown.
std::string_view pooling_name(std::int64_t pooling);

// How sliding-window layers are laid out where the file does not say: one of `period` layers looks
// at everything. None for an architecture without such layers.
struct SlidingPattern {
  std::uint32_t period = 0;
  bool dense_first = false;  // the full layer is the first of each period, not the last
};
std::optional<SlidingPattern> sliding_pattern(std::string_view architecture);

}  // namespace corral::models
