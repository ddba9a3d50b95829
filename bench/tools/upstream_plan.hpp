// One faulty answer as a list of pieces with times, and how it ends.
//
// Thread rule: plain values, one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "upstream_faults.hpp"

namespace bench {

// What the good answer would have been.
struct Wanted {
  bool stream = false;
  std::string whole;        // the document of a whole answer
  std::int64_t first = 0;   // token of a stream: above 0 when it goes on with a text
  std::int64_t tokens = 0;  // of a stream, those said already included
  std::int64_t gap_ns = 0;  // between them
};

class FaultyAnswer {
 public:
  enum class End { keep, close, reset, silence };

  struct Piece {
    std::int64_t gap_ns = 0;  // before it
    std::string bytes;        // as they go onto the wire; empty for a token
    std::int64_t token = -1;  // its number: rendered when sent, with the time
  };

  FaultyAnswer(const Faults& faults, const Wanted& wanted);

  // Before the first byte.
  std::int64_t delay_ns(std::uint64_t random) const;
  bool held() const { return faults_.hold; }
  void release() { faults_.hold = false; }
  bool silent() const { return faults_.stall; }

  // The next bytes to send at `now`; false when there are none left: then `end` says how it ends.
  bool next(std::int64_t now, std::string& out);
  // Time from that call to the next one.
  std::int64_t next_gap_ns() const;
  End end() const { return end_; }

 private:
  void plan_stream(const Wanted& wanted);
  void plan_whole(const Wanted& wanted);
  void limit_bytes();
  std::string render(const Piece& piece, std::int64_t now) const;

  Faults faults_;
  std::deque<Piece> pieces_;
  std::string dripping_;      // rendered, goes byte by byte
  std::int64_t budget_ = -1;  // bytes that may still go; -1: all
  End end_at_budget_ = End::keep;
  End end_ = End::keep;
};

// The chunk of one scripted token: "#number@time ".
std::string token_chunk(std::int64_t number, std::int64_t now);
// The head of a stream and the chunk that gives the role; `close` adds Connection: close.
std::string stream_head(bool close);
// The chunks after the last token, [DONE] and the end included.
std::string stream_end(std::int64_t tokens, std::int64_t gap_ns);

}  // namespace bench
