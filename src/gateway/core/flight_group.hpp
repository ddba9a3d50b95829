// Single-flight: of requests that want the same answer at the same time, one leads (its answer is
// made), the others follow (they read what is made). A follower that comes late reads the answer
// from its start, out of a buffer with a bound.
//
// Every client is a reader, the leader's own too: it may leave, and the answer goes on for the
// others. Only when the last reader leaves is the making to be cancelled.
//
//   join ──► led ──append*──► ended(complete | failed)     readers read on to the end
//             │ ended(unled), nothing read yet: the reader that came first leads next
//             └ last reader left ──► cancel the making; the flight is forgotten
//
// Past the bound, latecomers lead flights of their own, and what all have read is dropped. The
// fastest reader sets the pace then: the making waits for it, and a reader that is further behind
// than the bound is cut off.
//
// Thread rule: none of its own; the owner locks. Pure. What is to be done outside comes back as
// Effects. Operations on a flight or reader that is gone do nothing.
// Example:
//   auto seat = group.join(key);
//   if (seat.leads) start_making(seat.flight);
//   switch (auto read = group.read(seat); read.kind) { case piece: ...; case wait: ... }
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/core/answer_cache.hpp"

namespace corral::gateway {

struct AnswerHead;  // what stands before the bytes of an answer; see answer_store.hpp

// A part of an answer, shared by all who read it.
struct AnswerPiece {
  std::shared_ptr<const AnswerHead> head;  // with the first piece
  std::string bytes;
};
using AnswerPiecePtr = std::shared_ptr<const AnswerPiece>;

class FlightGroup {
 public:
  using FlightId = std::uint64_t;
  using ReaderId = std::uint64_t;

  struct Seat {
    FlightId flight = 0;
    ReaderId reader = 0;
    bool leads = false;
  };
  struct Effects {
    std::vector<ReaderId> wake;  // readers that were told to wait
    bool wake_maker = false;     // it may append again
    bool cancel_maker = false;   // nobody reads any more
  };
  enum class Ending {
    complete,
    failed,  // the work failed, and would for each of them
    unled,   // the leader went away, which says nothing about the work
  };
  enum class ReadKind {
    piece,
    wait,      // the reader is woken when there is more
    complete,  // all was read
    failed,
    lead,  // make the answer: who led went away
    cut,   // too slow
  };
  struct Read {
    ReadKind kind = ReadKind::failed;
    AnswerPiecePtr piece;
    bool wake_maker = false;
  };

  // `bound`: bytes of a flight that are held for latecomers.
  FlightGroup(std::size_t bound, std::uint64_t seed)
      : bound_(bound), by_key_(0, AnswerKeyHash(seed)) {}

  // Follows the flight of `key`, or leads a new one.
  Seat join(const AnswerKey& key);

  // The maker's side.
  bool has_readers(FlightId flight) const { return flights_.contains(flight); }
  bool may_append(FlightId flight) const;
  Effects append(FlightId flight, AnswerPiecePtr piece);
  Effects end(FlightId flight, Ending ending);

  // The reader's side.
  Read read(const Seat& seat);
  Effects leave(const Seat& seat);

  std::size_t flights() const { return flights_.size(); }

 private:
  struct Reader {
    std::size_t next = 0;   // index of the piece to read, counted from the flight's start
    std::size_t bytes = 0;  // that it has read
    bool waiting = false;
    bool cut = false;
  };
  struct Flight {
    AnswerKey key{};
    std::deque<AnswerPiecePtr> pieces;
    std::size_t dropped = 0;  // pieces before those
    std::size_t bytes = 0;    // of all pieces, dropped ones too
    std::size_t fastest = 0;  // bytes that the fastest reader has read; right past the bound
    std::map<ReaderId, Reader> readers;  // in the order in which they came
    std::optional<ReaderId> next_leader;
    std::optional<Ending> ending;
    bool listed = true;  // newcomers find it
  };

  bool lagging(const Flight& flight) const { return flight.bytes - flight.fastest > bound_; }
  void unlist(FlightId id, Flight& flight);
  void keep_bound(FlightId id, Flight& flight);
  static void find_fastest(Flight& flight);
  static void wake_all(Flight& flight, Effects& effects);
  static void wake(ReaderId id, Reader& reader, Effects& effects);
  static void promote(Flight& flight, Effects& effects);

  std::size_t bound_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<FlightId, Flight> flights_;
  std::unordered_map<AnswerKey, FlightId, AnswerKeyHash> by_key_;
};

}  // namespace corral::gateway
