// Small fast hashing and random streams for decisions. Not cryptographic: nothing secret or
// trusted may depend on them; a crafted collision may only cost speed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace corral::gateway {

// The finisher of SplitMix64 (Steele, Lea, Flood 2014): every input bit changes half the output.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// One wide multiplication, folded (the step of wyhash): the cheapest good mixing of two words.
constexpr std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Between 0 (excluded) and 1 (included).
constexpr double to_unit(std::uint64_t bits) {
  return (static_cast<double>(bits >> 11) + 1.0) * 0x1.0p-53;
}

// Many random numbers from the one that a caller gives for a decision.
class RandomStream {
 public:
  explicit constexpr RandomStream(std::uint64_t seed) : state_(seed) {}
  constexpr std::uint64_t next() { return mix64(state_++ * 0xd1342543de82ef95ull); }
  // 0 <= result < bound; bound > 0. The bias is below bound / 2^32.
  constexpr std::size_t below(std::size_t bound) {
    return static_cast<std::size_t>(((next() >> 32) * bound) >> 32);
  }
  constexpr double unit() { return to_unit(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace corral::gateway
