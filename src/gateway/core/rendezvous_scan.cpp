#include "gateway/core/rendezvous_scan.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace corral::gateway {
namespace {

using Bound = RendezvousScan::Bound;

constexpr std::size_t kAtOnce = 8;
constexpr std::size_t kWord = 64;  // members whose marks make one word
constexpr std::uint64_t kLowHalf = 0xffff'ffffu;

// The vectors of clang and gcc: the compiler takes what instructions there are. The same code is
// compiled once for every x86-64 and once for those with AVX2.
using Lanes = std::uint32_t __attribute__((vector_size(kAtOnce * sizeof(std::uint32_t))));
using Pairs = std::uint64_t __attribute__((vector_size(kAtOnce * sizeof(std::uint32_t))));
using HalfFloats = float __attribute__((vector_size(kAtOnce * sizeof(float) / 2)));

// What of the vectors is read and written, for any number of members.
struct Columns {
  const std::uint32_t* low;
  const std::uint32_t* high;
  const std::uint32_t* by_weight;
  Bound* bounds;
  std::uint32_t* list;
  std::size_t size;
};

#define CORRAL_INLINE [[gnu::always_inline]] inline

template <class Vector>
CORRAL_INLINE void load(Vector& vector, const std::uint32_t* from) {
  std::memcpy(&vector, from, sizeof vector);
}

// A wide multiplication of the halves of hash and key, folded (as in wyhash).
CORRAL_INLINE void fold(Pairs& folded, const Pairs& low, const Pairs& high) {
  folded = (low & kLowHalf) * (high & kLowHalf);
  folded = (folded ^ (folded >> 32)) & kLowHalf;
}

// Even and odd lanes apart, since a product takes the room of two.
CORRAL_INLINE void compute(Lanes& bounds, const Columns& all, std::size_t at, std::uint64_t salt) {
  Pairs low;
  Pairs high;
  Pairs by_weight;
  load(low, all.low + at);
  load(high, all.high + at);
  load(by_weight, all.by_weight + at);
  low ^= (salt & kLowHalf) * 0x1'0000'0001u;
  high ^= (salt >> 32) * 0x1'0000'0001u;
  Pairs even;
  Pairs odd;
  fold(even, low, high);
  fold(odd, low >> 32, high >> 32);
  even = (even * (by_weight & kLowHalf)) >> 32;
  odd = (odd * (by_weight >> 32)) & ~kLowHalf;
  bounds = reinterpret_cast<Lanes>(even | odd);
}

// One bit for each lane that is all ones.
CORRAL_INLINE std::uint64_t bits_of(const Lanes& marks) {
#if defined(__x86_64__)
  HalfFloats halves[2];
  std::memcpy(halves, &marks, sizeof marks);
  return static_cast<unsigned>(__builtin_ia32_movmskps(halves[0])) |
         static_cast<unsigned>(__builtin_ia32_movmskps(halves[1])) << 4;
#else
  std::uint64_t bits = 0;
  for (std::size_t lane = 0; lane < kAtOnce; ++lane) bits |= std::uint64_t{marks[lane] & 1} << lane;
  return bits;
#endif
}

// Appends the positions of the bits. Eight are written whether there are as many or not, so that
// the number of bits, which nobody can foretell, decides no branch in the ordinary case.
CORRAL_INLINE std::size_t append(std::uint32_t* list, std::size_t begin, std::uint64_t bits) {
  const auto count = static_cast<std::size_t>(std::popcount(bits));
  std::size_t written = 0;
  do {
    for (std::size_t i = 0; i < kAtOnce; ++i) {
      list[written + i] = static_cast<std::uint32_t>(begin + std::countr_zero(bits));
      bits &= bits - 1;
    }
    written += kAtOnce;
  } while (written < count);
  return count;
}

// Lists those from `begin` to `last`; with a salt, after computing the bounds of all for it.
template <bool Compute>
CORRAL_INLINE std::size_t list(const Columns& columns, Bound begin, Bound last,
                               std::uint64_t salt) {
  const Columns all = columns;  // its own, which no write to the bounds can change
  std::size_t count = 0;
  for (std::size_t word = 0; word < all.size; word += kWord) {
    std::uint64_t bits = 0;
#pragma clang loop unroll(full)
    for (std::size_t i = 0; i < kWord; i += kAtOnce) {
      Lanes bounds;
      if constexpr (Compute) {
        compute(bounds, all, word + i, salt);
        std::memcpy(all.bounds + word + i, &bounds, sizeof bounds);
      } else {
        load(bounds, all.bounds + word + i);
      }
      const auto within = bounds - begin <= Lanes{} + (last - begin);
      bits |= bits_of(reinterpret_cast<Lanes>(within)) << i;
    }
    if (all.size - word < kWord) bits &= (std::uint64_t{1} << (all.size - word)) - 1;
    count += append(all.list + count, word, bits);
  }
  return count;
}

#undef CORRAL_INLINE

#if defined(__x86_64__)
#define CORRAL_WIDE [[gnu::target("avx2,bmi,popcnt")]]
CORRAL_WIDE std::size_t below_wide(const Columns& all, std::uint64_t salt, Bound last) {
  return list<true>(all, 0, last, salt);
}
CORRAL_WIDE std::size_t between_wide(const Columns& all, Bound begin, Bound last) {
  return list<false>(all, begin, last, 0);
}
#undef CORRAL_WIDE
const bool kWide = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi") != 0 &&
                   __builtin_cpu_supports("popcnt") != 0;
#else
constexpr bool kWide = false;
std::size_t below_wide(const Columns&, std::uint64_t, Bound) { return 0; }
std::size_t between_wide(const Columns&, Bound, Bound) { return 0; }
#endif

}  // namespace

RendezvousScan::RendezvousScan(Instructions instructions)
    : wide_(instructions == Instructions::best && kWide) {}

void RendezvousScan::add(std::uint64_t id, std::uint32_t weight) {
  if (size_ == low_.size()) grow();
  const auto hash = mix64(id);
  low_[size_] = static_cast<std::uint32_t>(hash);
  high_[size_] = static_cast<std::uint32_t>(hash >> 32);
  by_weight_[size_] = kAll / weight;
  ++size_;
}

void RendezvousScan::grow() {
  const auto room = size_ + kWord;
  low_.resize(room);
  high_.resize(room);
  by_weight_.resize(room);
  bounds_.resize(room);
  list_.resize(room + kAtOnce);  // a word's positions are written eight at a time
}

Bound RendezvousScan::distance(std::size_t position, Salt salt) const {
  const auto low = std::uint64_t{low_[position]} ^ (salt.word & kLowHalf);
  const auto high = std::uint64_t{high_[position]} ^ (salt.word >> 32);
  const auto product = low * high;
  return static_cast<Bound>(product ^ (product >> 32));
}

std::span<const std::uint32_t> RendezvousScan::below(Salt salt, Bound end) {
  const Columns all{low_.data(),    high_.data(), by_weight_.data(),
                    bounds_.data(), list_.data(), size_};
  const auto last = std::max(end, 1u) - 1;
  return listed(wide_ ? below_wide(all, salt.word, last) : list<true>(all, 0, last, salt.word));
}

std::span<const std::uint32_t> RendezvousScan::between(Bound begin, Bound end) {
  if (begin >= end) return {};
  const Columns all{low_.data(),    high_.data(), by_weight_.data(),
                    bounds_.data(), list_.data(), size_};
  return listed(wide_ ? between_wide(all, begin, end - 1) : list<false>(all, begin, end - 1, 0));
}

}  // namespace corral::gateway
