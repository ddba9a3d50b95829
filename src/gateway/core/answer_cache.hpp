// Kept answers by key: least recently used ones leave when a limit of bytes is reached, all leave
// when their time is over. Finding and keeping are O(1). An answer larger than a part of the limit
// is not kept, so that one huge answer never empties the cache.
//
// Thread rule: none of its own; the owner locks. Pure: `now` comes in.
// Example:
//   AnswerCache cache({.limit = 64u << 20});
//   auto put = cache.put(key, answer, 5min, now);   // free put.dropped without the lock
//   if (auto found = cache.find(key, now)) send(found->answer->body, found->age);
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace corral::gateway {

// A cryptographic hash of all that decides about an answer; see answer_key.hpp.
using AnswerKey = std::array<std::uint8_t, 32>;

// Keys are chosen by clients: without a secret seed, they could choose ones that share a bucket.
class AnswerKeyHash {
 public:
  explicit AnswerKeyHash(std::uint64_t seed = 0) : seed_(seed) {}
  std::size_t operator()(const AnswerKey& key) const noexcept;

 private:
  std::uint64_t seed_;
};

// A complete answer as its client's form wants it: a document, or all events of a stream.
struct KeptAnswer {
  std::string content_type;
  std::string body;
};
using KeptAnswerPtr = std::shared_ptr<const KeptAnswer>;

class AnswerCache {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  // What an answer costs besides its texts: list and table nodes, the answer itself.
  static constexpr std::size_t kOverhead = 256;
  // An answer may take at most this part of the limit.
  static constexpr std::size_t kLargestPart = 8;

  struct Options {
    std::size_t limit = 0;  // bytes of all answers, with kOverhead for each
    std::uint64_t seed = 0;
  };
  struct Found {
    KeptAnswerPtr answer;
    Duration age{0};
  };
  struct Put {
    bool kept = false;
    std::size_t evicted = 0;             // answers that left for want of space
    std::vector<KeptAnswerPtr> dropped;  // what left, whatever the reason
  };

  explicit AnswerCache(Options options);

  // The answer, unless its time is over. It becomes the most recently used one.
  std::optional<Found> find(const AnswerKey& key, Time now);
  // Replaces what is kept under `key`. `age`: how old the answer is already (from another level).
  Put put(const AnswerKey& key, KeptAnswerPtr answer, Duration ttl, Time now,
          Duration age = Duration(0));
  // Up to `most` answers whose time is over, oldest use first; stops at the first that is good.
  std::vector<KeptAnswerPtr> expire(Time now, std::size_t most);
  Put set_limit(std::size_t limit);

  std::size_t largest() const;  // body that may be kept, in bytes
  std::size_t size() const { return entries_.size(); }
  std::size_t bytes() const { return bytes_; }
  std::size_t limit() const { return limit_; }

 private:
  struct Entry {
    AnswerKey key;
    KeptAnswerPtr answer;
    std::size_t cost = 0;
    Time made;
    Time until;
  };
  using List = std::list<Entry>;

  KeptAnswerPtr take_out(List::iterator entry);
  void evict_to(std::size_t bytes, Put& put);

  std::size_t limit_;
  std::size_t bytes_ = 0;
  List by_use_;  // most recent first
  std::unordered_map<AnswerKey, List::iterator, AnswerKeyHash> entries_;
};

}  // namespace corral::gateway
