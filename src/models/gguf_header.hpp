// The lower half of the GGUF reader: a bounded cursor over a file, and the header as typed values.
// Not for use outside this module.
//
// Thread rule: as the file's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::models {

// What no honest file passes; the real ones stay far below.
inline constexpr std::uint64_t kMaxHeaderBytes = 512ull << 20;
inline constexpr std::uint64_t kMaxKeys = 16'384;
inline constexpr std::uint64_t kMaxKeyBytes = 1'024;
inline constexpr std::uint64_t kMaxTensors = 262'144;
inline constexpr std::uint64_t kMaxTensorNameBytes = 256;
inline constexpr std::uint64_t kMaxArrayItems = 1ull << 26;
inline constexpr std::uint64_t kMaxKeptText = 64ull << 10;
inline constexpr std::uint64_t kMaxTemplateText = 1ull << 20;
inline constexpr std::uint64_t kMaxKeptNumbers = 4'096;

struct GgufValue {
  enum class Kind { number, real, boolean, text, array };
  Kind kind = Kind::number;
  std::int64_t number = 0;  // also booleans; unsigned 64-bit values above the range wrap
  double real = 0;
  std::string text;                   // empty when it was passed over
  std::uint64_t items = 0;            // of an array
  std::vector<std::int64_t> numbers;  // of a short array of integers or booleans
};

struct RawTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::uint32_t type = 0;
  std::uint64_t offset = 0;  // from the start of the data
};

struct GgufHeader {
  std::uint32_t version = 0;
  std::map<std::string, GgufValue, std::less<>> values;
  std::vector<RawTensor> tensors;
  std::uint64_t data_offset = 0;
  std::uint64_t file_bytes = 0;
};

Result<GgufHeader> read_gguf_header(const sys::ReadableFile& file);

// An error about a file that is not what it should be, with the hint to fetch it again.
Error damaged(std::string message);

// `text` without control characters and invalid UTF-8, cut to `most` bytes: fit for a log line.
std::string printable(std::string_view text, std::size_t most = 256);

}  // namespace corral::models
