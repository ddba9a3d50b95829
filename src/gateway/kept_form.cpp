#include "gateway/kept_form.hpp"

#include <algorithm>
#include <cstdint>

namespace corral::gateway {
namespace {

// "corral answer 1", the time in milliseconds, the sizes of both texts, and the texts.
constexpr std::string_view kMark = "CRA1";
constexpr std::size_t kNumber = 8;
constexpr std::size_t kHead = kMark.size() + 3 * kNumber;
constexpr std::size_t kLongestType = 256;

void append_number(std::string& out, std::uint64_t number) {
  for (std::size_t i = 0; i < kNumber; ++i) {
    out.push_back(static_cast<char>((number >> (8 * i)) & 0xff));
  }
}

std::uint64_t take_number(std::string_view& bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < kNumber; ++i) {
    number |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  bytes.remove_prefix(kNumber);
  return number;
}

// It becomes a header.
bool plain(std::string_view type) {
  return !type.empty() && type.size() <= kLongestType &&
         std::ranges::all_of(type, [](char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

std::string pack_answer(const KeptAnswer& answer, WallTime made) {
  auto since = std::chrono::duration_cast<std::chrono::milliseconds>(made.time_since_epoch());
  std::string out;
  out.reserve(kHead + answer.content_type.size() + answer.body.size());
  out += kMark;
  append_number(out, static_cast<std::uint64_t>(since.count()));
  append_number(out, answer.content_type.size());
  append_number(out, answer.body.size());
  return out.append(answer.content_type).append(answer.body);
}

std::optional<UnpackedAnswer> unpack_answer(std::string_view bytes) {
  if (bytes.size() < kHead || !bytes.starts_with(kMark)) return std::nullopt;
  bytes.remove_prefix(kMark.size());
  auto milliseconds = take_number(bytes);
  auto type_size = take_number(bytes);
  auto body_size = take_number(bytes);
  constexpr std::uint64_t kLatest = 1ull << 42;  // the year 2109
  if (milliseconds > kLatest || type_size > bytes.size()) return std::nullopt;
  if (body_size != bytes.size() - type_size) return std::nullopt;
  auto type = bytes.substr(0, type_size);
  if (!plain(type)) return std::nullopt;
  UnpackedAnswer result;
  result.answer.content_type = type;
  result.answer.body = bytes.substr(type_size);
  result.made = WallTime(std::chrono::milliseconds(milliseconds));
  return result;
}

}  // namespace corral::gateway
