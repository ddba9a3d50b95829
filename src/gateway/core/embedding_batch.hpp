// Joins requests for embeddings that come at about the same time into calls with several inputs.
//
// Nobody waits without need: a request whose like is not under way goes at once, alone. While one
// is, the next ones gather in an open batch, which goes when its window is over, when it is full,
// or when nothing of its kind is under way any more, whichever comes first. What may be joined has
// the same key; who makes keys decides what must agree.
//
// Pure: the time comes in, and what is to be done comes out. Thread rule: none of its own.
// Example:
//   auto place = batch.offer(key, inputs, bytes, now);
//   if (place.take_now) send(batch.take(*place.take_now));
//   if (place.verdict == Verdict::opened) at(place.due, [&] { send(batch.take(place.batch)); });
//   ...
//   if (auto next = batch.ended(key)) send(batch.take(*next));
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "gateway/core/answer_cache.hpp"

namespace corral::gateway {

class EmbeddingBatch {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;
  using BatchId = std::uint64_t;
  using MemberId = std::uint64_t;

  struct Limits {
    std::size_t inputs = 64;         // of a batch
    std::size_t bytes = 256u << 10;  // of its inputs
  };
  enum class Verdict { alone, opened, joined };
  struct Place {
    Verdict verdict = Verdict::alone;
    BatchId batch = 0;
    MemberId member = 0;
    Time due;                         // of an opened batch
    std::optional<BatchId> take_now;  // this batch, or the one before it, is full
  };

  explicit EmbeddingBatch(Limits limits, std::uint64_t seed = 0)
      : limits_(limits), groups_(0, AnswerKeyHash(seed)) {}

  // `alone` counts as under way until ended().
  Place offer(const AnswerKey& key, std::size_t inputs, std::size_t bytes, Duration window,
              Time now);
  // Its members in the order in which they came, and under way from now until ended(). Empty: it
  // was taken before, or all have left.
  std::vector<MemberId> take(BatchId batch);
  // A member that waits goes away.
  void leave(BatchId batch, MemberId member);
  // A call ended. The batch that has nothing left to wait for, if there is one.
  std::optional<BatchId> ended(const AnswerKey& key);

  std::size_t waiting() const;  // members of open batches
  bool idle() const { return groups_.empty() && batches_.empty(); }

 private:
  struct Member {
    MemberId id = 0;
    std::size_t inputs = 0;
    std::size_t bytes = 0;
  };
  struct Batch {
    AnswerKey key{};
    std::vector<Member> members;
    std::size_t inputs = 0;
    std::size_t bytes = 0;
    Time due;
  };
  struct Group {
    std::size_t under_way = 0;
    BatchId open = 0;  // takes members still; 0: none
  };

  bool fits(const Batch& batch, std::size_t inputs, std::size_t bytes) const;

  Limits limits_;
  std::unordered_map<AnswerKey, Group, AnswerKeyHash> groups_;
  std::unordered_map<BatchId, Batch> batches_;  // not taken yet
  std::uint64_t last_id_ = 0;
};

}  // namespace corral::gateway
