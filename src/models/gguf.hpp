// Reads what a GGUF file says about its model, without its weights. The format (versions 2 and 3,
// little-endian): github.com/ggml-org/ggml/blob/master/docs/gguf.md.
//
// The file is hostile until proven otherwise: every length and count is held against the size of
// the file and a limit before anything is allocated, the header is read in 64 KiB pieces, and what
// nobody asks for (token lists, merges) is passed over. A file that ends early is an error that
// says which tensor is not whole.
//
// Thread rule: free functions over a file that the caller owns; they block.
// Example:
//   CORRAL_TRY(auto file, files.open(path));
//   CORRAL_TRY(auto model, read_gguf(*file));
//   use(model.architecture, model.context_length, model.tensor_bytes);
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::models {

struct TensorInfo {
  std::string name;
  std::string type;                  // "Q4_K"
  std::vector<std::uint64_t> shape;  // fastest dimension first
  std::uint64_t offset = 0;          // from the start of the file
  std::uint64_t bytes = 0;
};

struct TensorTypeTotal {
  std::string type;
  std::uint64_t tensors = 0;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

struct SplitPosition {
  unsigned number = 0;  // from 0, as the file counts
  unsigned count = 1;
  std::uint64_t tensors_in_all = 0;  // 0: not said
};

// Which layers the bytes of all tensors belong to: layers can go to different devices. A model
// without an output layer of its own uses the embedding for it; it then counts as both, if they
// come to lie in different memory.
struct WeightPlaces {
  std::vector<std::uint64_t> blocks;    // bytes of each block
  std::vector<std::uint64_t> repacked;  // of them, those that the CPU engine copies
  std::uint64_t output = 0;
  std::uint64_t output_repacked = 0;
  bool shared_output = false;  // the output layer is the embedding

  bool operator==(const WeightPlaces&) const = default;
};

struct GgufMetadata {
  std::uint32_t version = 0;
  std::string architecture;  // "llama"
  std::string name;          // general.name, may be empty
  std::string type;          // general.type: "model", "adapter", "mmproj"; may be empty
  std::string size_label;    // "1B"
  std::string license;
  std::string quantization;   // "Q4_K_M", from the file type, else from the tensors
  std::string chat_template;  // empty: none
  std::string tokenizer;      // tokenizer.ggml.model: "llama", "gpt2", "bert", ...
  std::string pooling;        // "mean", "cls", ...; empty: none named (a text generator)
  std::uint64_t vocabulary = 0;
  std::uint64_t parameters = 0;      // elements of all tensors
  std::uint64_t context_length = 0;  // tokens that it was trained for
  std::uint64_t embedding_length = 0;
  std::uint64_t feed_forward_length = 0;  // of the widest block; of one expert where there are some
  std::uint32_t blocks = 0;
  std::uint32_t heads = 0;
  std::vector<std::uint32_t> kv_heads;  // one a block (some architectures differ by block)
  std::uint32_t key_length = 0;         // elements a head
  std::uint32_t value_length = 0;       // 0: the values are a view of the keys
  std::uint32_t experts = 0;
  std::uint32_t experts_used = 0;
  std::uint32_t sliding_window = 0;      // tokens; 0: every block looks at everything
  std::vector<bool> sliding;             // one a block; empty: none
  std::uint32_t sliding_key_length = 0;  // elements a head of sliding blocks; 0: as the others
  std::uint32_t sliding_value_length = 0;
  std::uint64_t state_bytes = 0;  // what recurrent blocks keep for each slot
  std::uint64_t tensor_count = 0;
  std::uint64_t tensor_bytes = 0;
  std::uint64_t repacked_bytes = 0;  // of them, those that the CPU engine copies (see TensorType)
  std::uint64_t file_bytes = 0;      // of all files
  WeightPlaces places;
  SplitPosition split;
  std::vector<TensorTypeTotal> types;  // most bytes first
  std::vector<TensorInfo> tensors;     // only when asked for
};

enum class KeepTensors { no, yes };

Result<GgufMetadata> read_gguf(const sys::ReadableFile& file, KeepTensors keep = KeepTensors::no);

// One model of several files, in order; `files` of one is the common case. Their split fields must
// agree with each other and with their number.
Result<GgufMetadata> read_gguf_set(sys::Files& files, std::span<const sys::Path> paths,
                                   KeepTensors keep = KeepTensors::no);

// "big-00002-of-00003.gguf" -> {"big", 2, 3}; none when the name is not of that form.
struct SplitName {
  std::string stem;
  unsigned number = 0;  // from 1, as the name counts
  unsigned count = 0;
};
std::optional<SplitName> parse_split_name(std::string_view file_name);
std::string split_file_name(std::string_view stem, unsigned number, unsigned count);

}  // namespace corral::models
