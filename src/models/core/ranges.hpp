// Which bytes of a file are there, which are asked for, and which come next. No I/O.
//
// `RangePlan` hands out pieces in the order of the file, a few at a time, so that the bytes which
// are there grow from the front and can be hashed as they come. When nothing is open any more, a
// piece that is far from its end is split, so that no slow connection holds up the last bytes.
//
// Thread rule: one owner. Lifecycle: one plan a file; `restore` before the first `take`.
// Example:
//   RangePlan plan(size);
//   auto piece = plan.take(8 << 20);            // ask for piece->begin .. piece->end
//   plan.wrote(piece->id, {piece->begin, at});  // as bytes are written
//   plan.give_back(piece->id);                  // what was not written is open again
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral::models {

// Half open: the byte at `end` is not part of it.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t bytes() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

// Bytes as ranges in order that neither touch nor overlap.
class RangeSet {
 public:
  void add(ByteRange range);
  void remove(ByteRange range);
  void clear() { ends_.clear(); }
  std::uint64_t bytes() const;
  std::uint64_t contiguous() const;  // how many there are from byte 0 on without a gap
  // The first range within the set, nothing when it is empty.
  std::optional<ByteRange> first() const;
  std::vector<ByteRange> ranges() const;

 private:
  std::map<std::uint64_t, std::uint64_t> ends_;  // by begin
};

struct Piece {
  unsigned id = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

class RangePlan {
 public:
  // A piece is split only while this much of it is left on either side.
  static constexpr std::uint64_t kLeastShare = 1u << 20;

  explicit RangePlan(std::uint64_t size);

  // Bytes that are there already.
  void restore(std::span<const ByteRange> done);
  // The next open bytes, at most `most`; else the second half of the longest piece given out;
  // nothing when that is not worth it.
  std::optional<Piece> take(std::uint64_t most);
  // Where the piece ends now; it may have been split since it was taken.
  std::uint64_t end_of(unsigned id) const;
  // Bytes of the piece, in order, that are written.
  void wrote(unsigned id, ByteRange range);
  void give_back(unsigned id);

  std::uint64_t size() const { return size_; }
  bool complete() const { return done_.bytes() == size_; }
  std::uint64_t done_bytes() const { return done_.bytes(); }
  std::uint64_t contiguous() const { return done_.contiguous(); }
  std::vector<ByteRange> done() const { return done_.ranges(); }
  bool anything_open() const { return open_.first().has_value(); }

 private:
  struct Given {
    std::uint64_t at;  // written up to here
    std::uint64_t end;
  };
  std::optional<Piece> split_longest();
  Piece give(ByteRange range);

  std::uint64_t size_;
  RangeSet done_;
  RangeSet open_;
  std::map<unsigned, Given> given_;
  unsigned next_id_ = 0;
};

// In which order the bytes of a file go through its checksum: as they lie in the file. One at a
// time may claim the next ones.
class HashOrder {
 public:
  std::uint64_t at() const { return at_; }
  bool busy() const { return busy_; }
  // May the bytes from `begin` on be hashed now, by who has them in memory?
  bool claim(std::uint64_t begin);
  // The next bytes to read back and hash, given how many are there without a gap; at most `most`.
  std::optional<ByteRange> claim_next(std::uint64_t contiguous, std::uint64_t most);
  void release(std::uint64_t hashed_up_to);

 private:
  std::uint64_t at_ = 0;
  bool busy_ = false;
};

// What is known about an unfinished file after a restart. Bytes that it does not name are not
// there, whatever the file holds.
struct RangeJournal {
  std::uint64_t size = 0;
  std::string tag;  // the ETag of the file that the bytes are of; may be empty
  std::vector<ByteRange> done;

  bool operator==(const RangeJournal&) const = default;
};

std::string to_text(const RangeJournal& journal);
// invalid_argument for anything that to_text does not write: torn, altered, out of order, too long.
Result<RangeJournal> parse_range_journal(std::string_view text);

}  // namespace corral::models
