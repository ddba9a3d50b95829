// The conversation over one Redis connection: commands go out in order, and replies come back in
// the same order, many under way at once. Says what is to be sent, whose reply came, and when the
// oldest command has waited too long. Also how long to stay away after a failure.
//
// Pure: no sockets, and the time comes in. Thread rule: none of its own.
// Example:
//   CORRAL_TRY(auto ticket, pipeline.ask({"GET", key}, now));
//   pipeline.sent(write(pipeline.to_send()));
//   CORRAL_TRY(auto answers, pipeline.feed(read()));
//   for (auto& [whose, reply] : answers) ...
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "store/redis_protocol.hpp"

namespace corral::store {

class RedisPipeline {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;
  using Ticket = std::uint64_t;

  struct Limits {
    std::size_t waiting = 1024;             // commands without a reply
    std::size_t unsent_bytes = 8u << 20;    // and how much of them is not sent
    std::size_t largest_reply = 16u << 20;  // bytes
    Duration patience = std::chrono::milliseconds(250);
  };
  struct Answer {
    Ticket whose = 0;
    RedisReply reply;
  };

  explicit RedisPipeline(Limits limits);

  // unavailable: too much is under way.
  Result<Ticket> ask(std::span<const std::string_view> words, Time now);
  std::string_view to_send() const { return std::string_view(out_).substr(sent_); }
  void sent(std::size_t bytes);
  // upstream, too_large: the connection is of no use any more.
  Result<std::vector<Answer>> feed(std::string_view bytes);

  std::size_t waiting() const { return asked_.size(); }
  // When the oldest command will have waited too long.
  std::optional<Time> overdue_at() const;

 private:
  struct Asked {
    Ticket ticket = 0;
    Time at;
  };
  Limits limits_;
  RedisParser parser_;
  std::deque<Asked> asked_;
  Ticket last_ = 0;
  std::string out_;
  std::size_t sent_ = 0;  // of out_
};

// How long to wait before the next attempt to connect: doubles with each failure in a row, with
// jitter, so that many processes do not come back at the same moment.
class ReconnectPause {
 public:
  using Duration = std::chrono::milliseconds;
  ReconnectPause(Duration least, Duration most) : least_(least), most_(most) {}

  // `random` is uniform in [0, 1).
  Duration failed(double random);
  void succeeded() { failures_ = 0; }

 private:
  Duration least_, most_;
  unsigned failures_ = 0;
};

}  // namespace corral::store
