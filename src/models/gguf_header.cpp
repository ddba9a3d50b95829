#include "models/gguf_header.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/text.hpp"

namespace corral::models {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied as they lie");

constexpr std::size_t kHeaderPiece = 64 << 10;

// The value types of the format, by their number.
enum class Wire : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  text,
  array,
  u64,
  i64,
  f64,
};

// Bytes of a value of fixed size; 0 for text and arrays.
std::uint64_t wire_size(Wire type) {
  switch (type) {
    case Wire::u8:
    case Wire::i8:
    case Wire::boolean: return 1;
    case Wire::u16:
    case Wire::i16: return 2;
    case Wire::u32:
    case Wire::i32:
    case Wire::f32: return 4;
    case Wire::u64:
    case Wire::i64:
    case Wire::f64: return 8;
    case Wire::text:
    case Wire::array: return 0;
  }
  return 0;
}

// Reads forward through a file, a piece at a time. Every read is held against the end first.
class Cursor {
 public:
  explicit Cursor(const sys::ReadableFile& file) : file_(file), size_(file.size()) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t size() const { return size_; }

  // Is there room for `bytes` more? `what` names what wants them.
  Result<void> need(std::uint64_t bytes, std::string_view what) const {
    if (bytes > size_ - position_) {
      return damaged(fmt::format("cut short: {} needs {} bytes at {}, the file has {}", what, bytes,
                                 position_, size_));
    }
    if (position_ + bytes > kMaxHeaderBytes) {
      return damaged(fmt::format("{} goes past the {} that a header may take", what,
                                 format_bytes(kMaxHeaderBytes)));
    }
    return {};
  }

  Result<void> take(char* out, std::uint64_t bytes, std::string_view what) {
    CORRAL_CHECK(need(bytes, what));
    while (bytes > 0) {
      if (position_ < piece_start_ || position_ >= piece_start_ + piece_length_) {
        CORRAL_CHECK(fill());
      }
      const std::uint64_t at = position_ - piece_start_;
      const std::uint64_t count = std::min(bytes, piece_length_ - at);
      std::memcpy(out, piece_.data() + at, count);
      out += count;
      bytes -= count;
      position_ += count;
    }
    return {};
  }

  Result<void> skip(std::uint64_t bytes, std::string_view what) {
    CORRAL_CHECK(need(bytes, what));
    position_ += bytes;
    return {};
  }

  template <class T>
  Result<T> number(std::string_view what) {
    std::array<char, sizeof(T)> bytes;
    CORRAL_CHECK(take(bytes.data(), bytes.size(), what));
    return std::bit_cast<T>(bytes);
  }

  // A length and as many bytes; more than `most` is an error.
  Result<std::string> text(std::uint64_t most, std::string_view what) {
    CORRAL_TRY(const std::uint64_t length, number<std::uint64_t>(what));
    CORRAL_CHECK(need(length, what));
    if (length > most) {
      return damaged(fmt::format("{} says that it is {} bytes long; at most {} make sense", what,
                                 length, most));
    }
    std::string out(length, '\0');
    CORRAL_CHECK(take(out.data(), length, what));
    return out;
  }

 private:
  Result<void> fill() {
    if (piece_.empty()) piece_.resize(std::min<std::uint64_t>(kHeaderPiece, size_));
    CORRAL_TRY(const std::size_t got, file_.read_at(position_, piece_.data(), piece_.size()));
    if (got == 0) {
      return damaged(fmt::format("the file became shorter while it was read: nothing at {} of {}",
                                 position_, size_));
    }
    piece_start_ = position_;
    piece_length_ = got;
    return {};
  }

  const sys::ReadableFile& file_;
  std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::uint64_t piece_start_ = 0;
  std::uint64_t piece_length_ = 0;
  std::string piece_;
};

template <class T>
Result<std::int64_t> whole(Cursor& in, std::string_view what) {
  CORRAL_TRY(const T value, in.number<T>(what));
  return static_cast<std::int64_t>(value);
}

Result<std::int64_t> read_integer(Cursor& in, Wire type, std::string_view what) {
  switch (type) {
    case Wire::u8:
    case Wire::boolean: return whole<std::uint8_t>(in, what);
    case Wire::i8: return whole<std::int8_t>(in, what);
    case Wire::u16: return whole<std::uint16_t>(in, what);
    case Wire::i16: return whole<std::int16_t>(in, what);
    case Wire::u32: return whole<std::uint32_t>(in, what);
    case Wire::i32: return whole<std::int32_t>(in, what);
    case Wire::u64: return whole<std::uint64_t>(in, what);
    default: return whole<std::int64_t>(in, what);
  }
}

bool is_real(Wire type) { return type == Wire::f32 || type == Wire::f64; }

// How many bytes of this text are worth keeping; 0 passes it over.
std::uint64_t kept_text(std::string_view key) {
  static constexpr std::string_view kWanted[] = {
      "general.architecture", "general.name",    "general.basename",    "general.type",
      "general.size_label",   "general.license", "tokenizer.ggml.model"};
  if (key == "tokenizer.chat_template") return kMaxTemplateText;
  return std::ranges::find(kWanted, key) != std::end(kWanted) ? kMaxKeptText : 0;
}

Result<GgufValue> read_text_value(Cursor& in, std::string_view key, std::string_view what) {
  GgufValue value{.kind = GgufValue::Kind::text};
  const std::uint64_t most = kept_text(key);
  if (most > 0) {
    CORRAL_TRY(value.text, in.text(most, what));
    return value;
  }
  CORRAL_TRY(const std::uint64_t length, in.number<std::uint64_t>(what));
  CORRAL_CHECK(in.skip(length, what));
  return value;
}

Result<GgufValue> read_array(Cursor& in, std::string_view what) {
  CORRAL_TRY(const auto type_number, in.number<std::uint32_t>(what));
  CORRAL_TRY(const auto items, in.number<std::uint64_t>(what));
  if (type_number > std::to_underlying(Wire::f64)) {
    return damaged(fmt::format("{} is an array of unknown type {}", what, type_number));
  }
  const auto type = static_cast<Wire>(type_number);
  if (type == Wire::array) return damaged(fmt::format("{} is an array of arrays", what));
  if (items > kMaxArrayItems) {
    return damaged(fmt::format("{} says that it has {} items", what, items));
  }
  // An item takes at least its own size, or the length of a text, so this bounds the loops below.
  const std::uint64_t least = type == Wire::text ? 8 : wire_size(type);
  CORRAL_CHECK(in.need(items * least, what));
  GgufValue value{.kind = GgufValue::Kind::array, .items = items};
  if (type == Wire::text) {
    for (std::uint64_t i = 0; i < items; ++i) {
      CORRAL_TRY(const auto length, in.number<std::uint64_t>(what));
      CORRAL_CHECK(in.skip(length, what));
    }
    return value;
  }
  if (is_real(type) || items > kMaxKeptNumbers) {
    CORRAL_CHECK(in.skip(items * wire_size(type), what));
    return value;
  }
  value.numbers.reserve(items);
  for (std::uint64_t i = 0; i < items; ++i) {
    CORRAL_TRY(const auto number, read_integer(in, type, what));
    value.numbers.push_back(number);
  }
  return value;
}

Result<GgufValue> read_value(Cursor& in, std::string_view key) {
  const std::string what = fmt::format("the value of '{}'", printable(key));
  CORRAL_TRY(const auto type_number, in.number<std::uint32_t>(what));
  if (type_number > std::to_underlying(Wire::f64)) {
    return damaged(fmt::format("{} is of unknown type {}", what, type_number));
  }
  const auto type = static_cast<Wire>(type_number);
  if (type == Wire::text) return read_text_value(in, key, what);
  if (type == Wire::array) return read_array(in, what);
  GgufValue value;
  if (type == Wire::f32) {
    value.kind = GgufValue::Kind::real;
    CORRAL_TRY(value.real, in.number<float>(what));
  } else if (type == Wire::f64) {
    value.kind = GgufValue::Kind::real;
    CORRAL_TRY(value.real, in.number<double>(what));
  } else {
    value.kind = type == Wire::boolean ? GgufValue::Kind::boolean : GgufValue::Kind::number;
    CORRAL_TRY(value.number, read_integer(in, type, what));
  }
  return value;
}

Result<void> read_values(Cursor& in, std::uint64_t count, GgufHeader& header) {
  for (std::uint64_t i = 0; i < count; ++i) {
    CORRAL_TRY(auto key, in.text(kMaxKeyBytes, fmt::format("the name of key {}", i)));
    CORRAL_TRY(auto value, read_value(in, key));
    auto [at, fresh] = header.values.try_emplace(std::move(key), std::move(value));
    if (!fresh) return damaged(fmt::format("the key '{}' is given twice", printable(at->first)));
  }
  return {};
}

Result<RawTensor> read_tensor(Cursor& in, std::uint64_t index) {
  RawTensor tensor;
  const std::string what = fmt::format("the entry of tensor {}", index);
  CORRAL_TRY(tensor.name, in.text(kMaxTensorNameBytes, what));
  CORRAL_TRY(const auto dimensions, in.number<std::uint32_t>(what));
  if (dimensions > 4) {
    return damaged(
        fmt::format("tensor '{}' has {} dimensions", printable(tensor.name), dimensions));
  }
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    CORRAL_TRY(const auto length, in.number<std::uint64_t>(what));
    tensor.shape.push_back(length);
  }
  CORRAL_TRY(tensor.type, in.number<std::uint32_t>(what));
  CORRAL_TRY(tensor.offset, in.number<std::uint64_t>(what));
  return tensor;
}

Result<std::uint32_t> read_version(Cursor& in) {
  std::array<char, 4> magic;
  if (in.size() < 24) {
    return damaged(
        fmt::format("cut short: a GGUF file begins with 24 bytes, this one has {}", in.size()));
  }
  CORRAL_CHECK(in.take(magic.data(), magic.size(), "the magic"));
  if (std::string_view(magic.data(), magic.size()) != "GGUF") {
    return damaged(fmt::format("not a GGUF file: it begins with '{}'",
                               printable({magic.data(), magic.size()})));
  }
  CORRAL_TRY(const auto version, in.number<std::uint32_t>("the version"));
  if (version == 2 || version == 3) return version;
  if (std::byteswap(version) <= 3) {
    return fail(ErrorCode::unsupported, "a big-endian GGUF file")
        .hint("convert the model again on a little-endian machine");
  }
  return fail(ErrorCode::unsupported, fmt::format("GGUF version {}", version))
      .hint("versions 2 and 3 can be read; convert the model again");
}

Result<std::uint64_t> alignment_of(const GgufHeader& header) {
  const auto found = header.values.find("general.alignment");
  if (found == header.values.end()) return 32;
  const std::int64_t value = found->second.number;
  const bool sane = found->second.kind == GgufValue::Kind::number && value > 0 &&
                    value <= (1 << 20) && std::has_single_bit(static_cast<std::uint64_t>(value));
  if (!sane) return damaged(fmt::format("general.alignment is {}", value));
  return static_cast<std::uint64_t>(value);
}

}  // namespace

Error damaged(std::string message) {
  return fail(ErrorCode::io, std::move(message))
      .hint("the file is damaged or was not fetched whole; download it again");
}

std::string printable(std::string_view text, std::size_t most) {
  std::string out;
  out.reserve(std::min(text.size(), most));
  while (!text.empty() && out.size() < most) {
    const std::size_t length = utf8_sequence_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (length == 0 || first < 0x20 || first == 0x7f) {
      out += '?';
      text.remove_prefix(1);
      continue;
    }
    out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

Result<GgufHeader> read_gguf_header(const sys::ReadableFile& file) {
  Cursor in(file);
  GgufHeader header;
  header.file_bytes = in.size();
  CORRAL_TRY(header.version, read_version(in));
  CORRAL_TRY(const auto tensors, in.number<std::uint64_t>("the number of tensors"));
  CORRAL_TRY(const auto keys, in.number<std::uint64_t>("the number of keys"));
  if (tensors > kMaxTensors) return damaged(fmt::format("it says that it has {} tensors", tensors));
  if (keys > kMaxKeys) return damaged(fmt::format("it says that it has {} keys", keys));
  CORRAL_CHECK(in.need(keys * 13, "the list of keys"));  // name's length, type, one byte
  CORRAL_CHECK(read_values(in, keys, header));
  CORRAL_CHECK(in.need(tensors * 24, "the list of tensors"));  // name's length, rank, type, offset
  header.tensors.reserve(tensors);
  for (std::uint64_t i = 0; i < tensors; ++i) {
    CORRAL_TRY(auto tensor, read_tensor(in, i));
    header.tensors.push_back(std::move(tensor));
  }
  CORRAL_TRY(const auto alignment, alignment_of(header));
  header.data_offset = (in.position() + alignment - 1) / alignment * alignment;
  return header;
}

}  // namespace corral::models
