#include "models/gguf.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "base/text.hpp"
#include "models/gguf_header.hpp"
#include "models/gguf_types.hpp"

namespace corral::models {
namespace {

// No known model comes near these; past them arithmetic on the figures would lose its meaning.
constexpr std::uint64_t kMaxBlocks = 4'096;
constexpr std::uint64_t kMaxWidth = 1ull << 26;
constexpr std::uint64_t kMaxContext = 1ull << 31;

// Looks up the values of one header, with the architecture's prefix where there is one.
class Fields {
 public:
  Fields(const GgufHeader& header, std::string prefix)
      : header_(header), prefix_(std::move(prefix)) {}

  const GgufValue* find(std::string_view key) const {
    const auto found = header_.values.find(key);
    return found == header_.values.end() ? nullptr : &found->second;
  }
  const GgufValue* own(std::string_view key) const { return find(prefix_ + std::string(key)); }

  std::string text(std::string_view key, std::size_t most = 256) const {
    const GgufValue* value = find(key);
    return value != nullptr ? printable(value->text, most) : std::string();
  }

  // A whole number within [0, most]; `otherwise` when it is not said.
  Result<std::uint64_t> own_number(std::string_view key, std::uint64_t most,
                                   std::uint64_t otherwise = 0) const {
    const GgufValue* value = own(key);
    if (value == nullptr || value->kind != GgufValue::Kind::number) return otherwise;
    return within(key, value->number, most);
  }

  // One number a block; a single number holds for all of them.
  Result<std::vector<std::uint32_t>> own_numbers(std::string_view key, std::uint32_t blocks,
                                                 std::uint64_t otherwise) const {
    const GgufValue* value = own(key);
    std::vector<std::uint32_t> out(blocks, static_cast<std::uint32_t>(otherwise));
    if (value == nullptr) return out;
    if (value->kind != GgufValue::Kind::array) {
      CORRAL_TRY(const auto number, within(key, value->number, kMaxWidth));
      std::ranges::fill(out, static_cast<std::uint32_t>(number));
      return out;
    }
    for (std::size_t i = 0; i < std::min<std::size_t>(blocks, value->numbers.size()); ++i) {
      CORRAL_TRY(const auto number, within(key, value->numbers[i], kMaxWidth));
      out[i] = static_cast<std::uint32_t>(number);
    }
    return out;
  }

 private:
  Result<std::uint64_t> within(std::string_view key, std::int64_t value, std::uint64_t most) const {
    const auto number = static_cast<std::uint64_t>(value);
    if (value >= 0 && number <= most) return number;
    return damaged(fmt::format("{}{} is {}", printable(prefix_), key, value));
  }

  const GgufHeader& header_;
  std::string prefix_;
};

// a * b, or nothing when that does not fit.
std::optional<std::uint64_t> product(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

struct SizedTensor {
  std::uint64_t elements = 1;
  std::uint64_t bytes = 0;
  std::uint64_t begin = 0;  // in the file
};

Result<SizedTensor> size_of(const RawTensor& tensor, const TensorType& type,
                            const GgufHeader& header) {
  SizedTensor out;
  const std::string name = printable(tensor.name);
  for (const std::uint64_t length : tensor.shape) {
    const auto elements = product(out.elements, length);
    if (!elements) return damaged(fmt::format("tensor '{}' has impossible dimensions", name));
    out.elements = *elements;
  }
  const std::uint64_t row = tensor.shape.empty() ? 1 : tensor.shape.front();
  if (row % type.block_elements != 0) {
    return damaged(fmt::format("tensor '{}' has rows of {} elements; {} comes in blocks of {}",
                               name, row, type.name, type.block_elements));
  }
  const auto bytes = product(out.elements / type.block_elements, type.block_bytes);
  std::uint64_t end = 0;
  if (!bytes || __builtin_add_overflow(header.data_offset, tensor.offset, &out.begin) ||
      __builtin_add_overflow(out.begin, *bytes, &end)) {
    return damaged(fmt::format("tensor '{}' has impossible dimensions", name));
  }
  out.bytes = *bytes;
  if (end > header.file_bytes) {
    return damaged(fmt::format("cut short: tensor '{}' needs bytes {} to {}, the file has {}", name,
                               out.begin, end, header.file_bytes));
  }
  return out;
}

void sort_by_bytes(std::vector<TensorTypeTotal>& types) {
  std::ranges::sort(types, [](const TensorTypeTotal& a, const TensorTypeTotal& b) {
    return std::tie(b.bytes, a.type) < std::tie(a.bytes, b.type);
  });
}

constexpr std::string_view kEmbedding = "token_embd.weight";

// The engine rearranges matrices with rows in multiples of 8.
bool may_be_repacked(const RawTensor& tensor, const TensorType& type) {
  return type.repacked && tensor.shape.size() >= 2 && tensor.shape[1] % 8 == 0;
}

// "blk.12.attn_q.weight" -> 12.
std::optional<std::size_t> block_of(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  name.remove_prefix(4);
  const auto number = parse_int(name.substr(0, name.find('.')));
  if (!number || *number < 0 || *number >= static_cast<std::int64_t>(kMaxBlocks)) return {};
  return static_cast<std::size_t>(*number);
}

// Tells where the bytes belong, and whether the engine makes a copy of them.
class PlaceSums {
 public:
  explicit PlaceSums(GgufMetadata& out) : out_(out) {}

  void add(const RawTensor& tensor, const TensorType& type, std::uint64_t bytes) {
    const std::uint64_t copied = may_be_repacked(tensor, type) ? bytes : 0;
    if (tensor.name == kEmbedding) {
      // Looked up row by row, so there is no copy, unless it is the output layer as well.
      embedding_ = bytes;
      embedding_copied_ = copied;
      return;
    }
    out_.repacked_bytes += copied;
    WeightPlaces& places = out_.places;
    if (const auto block = block_of(tensor.name)) {
      if (places.blocks.size() <= *block) {
        places.blocks.resize(*block + 1);
        places.repacked.resize(*block + 1);
      }
      places.blocks[*block] += bytes;
      places.repacked[*block] += copied;
    } else if (tensor.name.starts_with("output")) {
      has_output_ = has_output_ || tensor.name == "output.weight";
      places.output += bytes;
      places.output_repacked += copied;
    }
  }

  // Split models keep the embedding and the output layer in any of their parts; only a file that
  // stands alone tells that it has no output layer.
  void finish() {
    if (has_output_ || embedding_ == 0 || out_.split.count > 1) return;
    out_.places.shared_output = true;
    out_.places.output += embedding_;
    out_.places.output_repacked += embedding_copied_;
    out_.repacked_bytes += embedding_copied_;
  }

 private:
  GgufMetadata& out_;
  std::uint64_t embedding_ = 0, embedding_copied_ = 0;
  bool has_output_ = false;
};

Result<void> add_tensors(const GgufHeader& header, KeepTensors keep, GgufMetadata& out) {
  std::map<std::string_view, TensorTypeTotal> totals;
  PlaceSums places(out);
  for (const RawTensor& tensor : header.tensors) {
    const auto type = tensor_type(tensor.type);
    if (!type) {
      return fail(ErrorCode::unsupported, fmt::format("tensor '{}' is of unknown type {}",
                                                      printable(tensor.name), tensor.type))
          .hint("the file is damaged, or made for a newer engine than this one");
    }
    CORRAL_TRY(const auto sized, size_of(tensor, *type, header));
    TensorTypeTotal& total = totals[type->name];
    total.type = type->name;
    total.tensors += 1;
    total.elements += sized.elements;
    total.bytes += sized.bytes;
    // Overlapping tensors could add up to more than there is; honest ones cannot.
    out.tensor_bytes += sized.bytes;
    if (out.tensor_bytes > header.file_bytes) return damaged("its tensors lie over each other");
    out.parameters += sized.elements;
    places.add(tensor, *type, sized.bytes);
    if (keep == KeepTensors::yes) {
      out.tensors.push_back({printable(tensor.name), std::string(type->name), tensor.shape,
                             sized.begin, sized.bytes});
    }
  }
  places.finish();
  out.tensor_count = header.tensors.size();
  for (auto& [name, total] : totals) out.types.push_back(std::move(total));
  sort_by_bytes(out.types);
  return {};
}

// Blocks that keep a state of fixed size instead of keys and values (Mamba and its kin): one row of
// the last inputs and one of the state itself, as 32-bit numbers (llama-hparams.cpp of llama.cpp).
Result<void> add_recurrent(const Fields& fields, GgufMetadata& out) {
  CORRAL_TRY(const auto inner, fields.own_number("ssm.inner_size", kMaxWidth));
  if (inner == 0) return {};
  CORRAL_TRY(const auto kernel, fields.own_number("ssm.conv_kernel", kMaxWidth));
  CORRAL_TRY(const auto state, fields.own_number("ssm.state_size", kMaxWidth));
  CORRAL_TRY(const auto groups, fields.own_number("ssm.group_count", kMaxWidth));
  CORRAL_TRY(const auto interval, fields.own_number("full_attention_interval", kMaxBlocks));
  const bool all = out.heads == 0;
  std::uint64_t recurrent = 0;
  for (std::size_t block = 0; block < out.kv_heads.size(); ++block) {
    if (interval > 1 && (block + 1) % interval != 0) out.kv_heads[block] = 0;
    if (all || out.kv_heads[block] == 0) ++recurrent;
  }
  const double inputs = (kernel == 0 ? 0.0 : static_cast<double>(kernel - 1)) *
                        static_cast<double>(inner + 2 * groups * state);
  const double bytes = 4.0 * static_cast<double>(recurrent) *
                       (inputs + static_cast<double>(state) * static_cast<double>(inner));
  out.state_bytes = static_cast<std::uint64_t>(std::min(bytes, 1e18));
  return {};
}

Result<void> add_attention(const Fields& fields, GgufMetadata& out) {
  CORRAL_TRY(const auto heads, fields.own_numbers("attention.head_count", out.blocks, 0));
  if (!heads.empty()) out.heads = *std::ranges::max_element(heads);
  CORRAL_TRY(out.kv_heads, fields.own_numbers("attention.head_count_kv", out.blocks, out.heads));
  const std::uint64_t width = out.heads == 0 ? 0 : out.embedding_length / out.heads;
  CORRAL_TRY(const auto key, fields.own_number("attention.key_length", kMaxWidth, width));
  CORRAL_TRY(const auto value, fields.own_number("attention.value_length", kMaxWidth, width));
  out.key_length = static_cast<std::uint32_t>(key);
  out.value_length = static_cast<std::uint32_t>(value);
  CORRAL_TRY(const auto window, fields.own_number("attention.sliding_window", kMaxContext, 0));
  out.sliding_window = static_cast<std::uint32_t>(window);
  CORRAL_TRY(const auto sliding_key, fields.own_number("attention.key_length_swa", kMaxWidth));
  CORRAL_TRY(const auto sliding_value, fields.own_number("attention.value_length_swa", kMaxWidth));
  out.sliding_key_length = static_cast<std::uint32_t>(sliding_key);
  out.sliding_value_length = static_cast<std::uint32_t>(sliding_value);
  // With latent attention (DeepSeek) only the compressed keys are kept.
  if (fields.own("attention.key_length_mla") != nullptr) out.value_length = 0;
  // The last blocks may use the cache of earlier ones.
  CORRAL_TRY(const auto shared, fields.own_number("attention.shared_kv_layers", out.blocks));
  std::fill_n(out.kv_heads.rbegin(), shared, 0u);
  return add_recurrent(fields, out);
}

void add_sliding(const Fields& fields, GgufMetadata& out) {
  if (out.sliding_window == 0) return;
  auto pattern = sliding_pattern(out.architecture);
  if (const GgufValue* said = fields.own("attention.sliding_window_pattern")) {
    if (!said->numbers.empty()) {
      for (std::size_t i = 0; i < out.blocks; ++i) {
        out.sliding.push_back(i < said->numbers.size() && said->numbers[i] != 0);
      }
      return;
    }
    if (said->number > 0 && said->number <= static_cast<std::int64_t>(kMaxBlocks)) {
      pattern =
          SlidingPattern{static_cast<std::uint32_t>(said->number), pattern && pattern->dense_first};
    }
  }
  // Without a known layout, count every block as full: the estimate errs on the safe side.
  if (!pattern) return;
  for (std::uint32_t i = 0; i < out.blocks; ++i) {
    const std::uint32_t place = i % pattern->period;
    out.sliding.push_back(pattern->dense_first ? place != 0 : place + 1 < pattern->period);
  }
}

Result<void> add_shape(const Fields& fields, GgufMetadata& out) {
  CORRAL_TRY(out.context_length, fields.own_number("context_length", kMaxContext));
  CORRAL_TRY(out.embedding_length, fields.own_number("embedding_length", kMaxWidth));
  CORRAL_TRY(const auto blocks, fields.own_number("block_count", kMaxBlocks));
  out.blocks = static_cast<std::uint32_t>(blocks);
  CORRAL_TRY(const auto experts, fields.own_number("expert_count", kMaxBlocks * 16));
  CORRAL_TRY(const auto used, fields.own_number("expert_used_count", kMaxBlocks * 16));
  out.experts = static_cast<std::uint32_t>(experts);
  out.experts_used = static_cast<std::uint32_t>(used);
  CORRAL_TRY(const auto forward, fields.own_numbers("feed_forward_length", out.blocks, 0));
  if (!forward.empty()) out.feed_forward_length = *std::ranges::max_element(forward);
  CORRAL_TRY(const auto expert, fields.own_number("expert_feed_forward_length", kMaxWidth));
  if (out.experts > 0 && expert > 0) out.feed_forward_length = expert;
  if (const GgufValue* pooling = fields.own("pooling_type")) {
    out.pooling = pooling_name(pooling->number);
  }
  if (const GgufValue* tokens = fields.find("tokenizer.ggml.tokens"))
    out.vocabulary = tokens->items;
  if (out.vocabulary == 0) {
    CORRAL_TRY(out.vocabulary, fields.own_number("vocab_size", kMaxWidth));
  }
  CORRAL_CHECK(add_attention(fields, out));
  add_sliding(fields, out);
  return {};
}

Result<void> add_split(const Fields& fields, GgufMetadata& out) {
  const GgufValue* count = fields.find("split.count");
  if (count == nullptr || count->number <= 1) return {};
  const GgufValue* number = fields.find("split.no");
  const GgufValue* tensors = fields.find("split.tensors.count");
  if (count->number > 65'535 || number == nullptr || number->number < 0 ||
      number->number >= count->number) {
    return damaged(fmt::format("its split fields do not fit: part {} of {}",
                               number == nullptr ? 0 : number->number, count->number));
  }
  out.split.count = static_cast<unsigned>(count->number);
  out.split.number = static_cast<unsigned>(number->number);
  if (tensors != nullptr && tensors->number > 0) {
    out.split.tensors_in_all = static_cast<std::uint64_t>(tensors->number);
  }
  return {};
}

void add_quantization(const Fields& fields, GgufMetadata& out) {
  if (const GgufValue* file_type = fields.find("general.file_type")) {
    out.quantization = file_type_name(static_cast<std::uint64_t>(file_type->number));
  }
  if (out.quantization.empty() && !out.types.empty()) out.quantization = out.types.front().type;
}

void add_places(const WeightPlaces& next, WeightPlaces& out) {
  const std::size_t blocks = std::max(out.blocks.size(), next.blocks.size());
  out.blocks.resize(blocks);
  out.repacked.resize(blocks);
  for (std::size_t i = 0; i < next.blocks.size(); ++i) {
    out.blocks[i] += next.blocks[i];
    out.repacked[i] += next.repacked[i];
  }
  out.output += next.output;
  out.output_repacked += next.output_repacked;
}

// Adds what the part `next` holds to the model of the parts before it.
Result<void> add_part(GgufMetadata next, std::size_t index, std::size_t count, GgufMetadata& out) {
  if (next.split.count != count || next.split.number != index) {
    return damaged(fmt::format("file {} of {} says that it is part {} of {}", index + 1, count,
                               next.split.number + 1, next.split.count));
  }
  if (index == 0) {
    out = std::move(next);
    return {};
  }
  out.tensor_bytes += next.tensor_bytes;
  out.parameters += next.parameters;
  out.repacked_bytes += next.repacked_bytes;
  out.tensor_count += next.tensor_count;
  out.file_bytes += next.file_bytes;
  std::ranges::move(next.tensors, std::back_inserter(out.tensors));
  add_places(next.places, out.places);
  for (TensorTypeTotal& total : next.types) {
    const auto same = std::ranges::find(out.types, total.type, &TensorTypeTotal::type);
    if (same == out.types.end()) {
      out.types.push_back(std::move(total));
      continue;
    }
    same->tensors += total.tensors;
    same->elements += total.elements;
    same->bytes += total.bytes;
  }
  sort_by_bytes(out.types);
  return {};
}

}  // namespace

Result<GgufMetadata> read_gguf(const sys::ReadableFile& file, KeepTensors keep) {
  CORRAL_TRY(const auto header, read_gguf_header(file));
  GgufMetadata out;
  out.version = header.version;
  out.file_bytes = header.file_bytes;
  const auto found = header.values.find("general.architecture");
  if (found != header.values.end()) out.architecture = printable(found->second.text, 64);
  const Fields fields(header, out.architecture + ".");
  CORRAL_CHECK(add_split(fields, out));
  // Only the first part of a split model carries the model's own fields.
  if (out.architecture.empty() && out.split.number == 0) {
    return damaged("it does not say which architecture its model has");
  }
  out.name = fields.text("general.name");
  if (out.name.empty()) out.name = fields.text("general.basename");
  out.type = fields.text("general.type", 32);
  out.size_label = fields.text("general.size_label", 64);
  out.license = fields.text("general.license");
  out.tokenizer = fields.text("tokenizer.ggml.model", 64);
  if (const GgufValue* chat = fields.find("tokenizer.chat_template")) {
    if (is_utf8(chat->text)) out.chat_template = chat->text;
  }
  CORRAL_CHECK(add_shape(fields, out));
  CORRAL_CHECK(add_tensors(header, keep, out));
  add_quantization(fields, out);
  return out;
}

Result<GgufMetadata> read_gguf_set(sys::Files& files, std::span<const sys::Path> paths,
                                   KeepTensors keep) {
  GgufMetadata out;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    CORRAL_TRY(const auto file, files.open(paths[i]));
    auto part = read_gguf(*file, keep);
    if (!part && paths.size() > 1) {
      part.error().message =
          fmt::format("part {} of {}: {}", i + 1, paths.size(), part.error().message);
    }
    CORRAL_TRY(auto read, std::move(part));
    if (paths.size() == 1 && read.split.count > 1) {
      return fail(ErrorCode::io, fmt::format("it is part {} of {}, but stands alone",
                                             read.split.number + 1, read.split.count))
          .hint(
              "put all parts into one folder under their own names "
              "(...-00001-of-0000N.gguf)");
    }
    CORRAL_CHECK(add_part(std::move(read), i, paths.size(), out));
  }
  if (out.split.tensors_in_all != 0 && out.split.tensors_in_all != out.tensor_count) {
    return damaged(fmt::format("its parts hold {} tensors, it should be {}", out.tensor_count,
                               out.split.tensors_in_all));
  }
  return out;
}

std::optional<SplitName> parse_split_name(std::string_view file_name) {
  // -00001-of-00003.gguf
  constexpr std::string_view kShape = "-#####-of-#####.gguf";
  if (file_name.size() <= kShape.size()) return std::nullopt;
  const std::string_view tail = file_name.substr(file_name.size() - kShape.size());
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    const char c = tail[i];
    const bool digit = c >= '0' && c <= '9';
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (kShape[i] == '#' ? !digit : lower != kShape[i]) return std::nullopt;
  }
  const auto number = parse_int(tail.substr(1, 5));
  const auto count = parse_int(tail.substr(10, 5));
  if (!number || !count || *number < 1 || *number > *count) return std::nullopt;
  return SplitName{std::string(file_name.substr(0, file_name.size() - kShape.size())),
                   static_cast<unsigned>(*number), static_cast<unsigned>(*count)};
}

std::string split_file_name(std::string_view stem, unsigned number, unsigned count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, number, count);
}

}  // namespace corral::models
