// A hash of a text that is the same in every run and on every machine, for ids and sticky keys. Not
// cryptographic, as all of mixing.hpp.
#pragma once

#include <cstdint>
#include <string_view>

#include "gateway/core/mixing.hpp"

namespace corral::gateway {

constexpr std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a, finished by mix64
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix64(hash);
}

}  // namespace corral::gateway
