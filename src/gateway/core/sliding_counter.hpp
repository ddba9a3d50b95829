// How many events there were in the last while: a ring of buckets, so memory does not grow with
// traffic and counting costs the same however much there is. Pure; one owner.
//
// `kBuckets` buckets of `width` each, the newest partly filled: what is counted reaches back
// between kBuckets - 1 and kBuckets widths. A time before the newest counts as the newest. Example:
//   SlidingCounter<10> failures(1s);
//   failures.add(now);
//   if (failures.total(now) > 5) ...
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

namespace corral::gateway {

template <std::size_t kBuckets>
class SlidingCounter {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit SlidingCounter(std::chrono::milliseconds width)
      : width_(std::max(std::chrono::nanoseconds(width), std::chrono::nanoseconds(1'000'000))) {}

  void add(Time now) {
    advance(index_of(now));
    ++buckets_[static_cast<std::size_t>(newest_ % kSize)];
    ++total_;
  }

  std::uint32_t total(Time now) const {
    std::int64_t behind = index_of(now) - newest_;
    if (behind <= 0) return total_;
    if (behind >= kSize) return 0;
    std::uint32_t gone = 0;
    for (std::int64_t i = 1; i <= behind; ++i) gone += bucket(newest_ + i);
    return total_ - gone;
  }

  void clear() {
    buckets_.fill(0);
    total_ = 0;
  }

 private:
  static constexpr auto kSize = static_cast<std::int64_t>(kBuckets);

  std::int64_t index_of(Time now) const { return now.time_since_epoch() / width_; }
  // The place that the bucket of this index takes, which the one kBuckets before it had.
  std::uint32_t bucket(std::int64_t index) const {
    return buckets_[static_cast<std::size_t>(index % kSize)];
  }

  void advance(std::int64_t index) {
    if (index <= newest_) return;
    if (index - newest_ >= kSize) {
      clear();
    } else {
      for (std::int64_t i = newest_ + 1; i <= index; ++i) {
        total_ -= bucket(i);
        buckets_[static_cast<std::size_t>(i % kSize)] = 0;
      }
    }
    newest_ = index;
  }

  std::chrono::nanoseconds width_;
  std::array<std::uint32_t, kBuckets> buckets_{};
  std::uint32_t total_ = 0;
  std::int64_t newest_ = 0;
};

}  // namespace corral::gateway
