// The client's half of HTTP/1.1, just enough to measure with: requests as ready bytes, answers
// parsed as they come.
//
// Thread rule: plain values, one thread each.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// A chat request of `bytes` body bytes or a little more.
std::string chat_request(std::uint16_t port, std::string_view model, bool stream, std::size_t bytes,
                         std::string_view extra = {});

// Reads one answer. Feed it bytes until `done` or `failed`; then `reset` for the next.
class AnswerParser {
 public:
  using Body = std::function<void(std::string_view)>;

  // Bytes past the end of the answer are an error: nothing was asked for them.
  void feed(std::string_view bytes, const Body& body);
  // The peer closed: that ends an answer without length, and breaks any other.
  void closed();
  void reset();

  bool done() const { return state_ == State::done; }
  bool failed() const { return state_ == State::failed; }
  int status() const { return status_; }
  bool keeps_alive() const { return keeps_alive_; }
  bool has_retry_after() const { return retry_after_; }
  int attempts() const { return attempts_; }  // x-corral-attempts; 0: not said

 private:
  enum class State {
    head,
    sized,
    until_close,
    chunk_size,
    chunk,
    chunk_end,
    trailer,
    done,
    failed
  };
  void read_head(std::string_view head);
  void step(std::string_view& bytes, const Body& body);
  bool line(std::string_view& bytes);  // collects into text_ until a line is whole

  State state_ = State::head;
  std::string text_;
  std::uint64_t left_ = 0;
  int status_ = 0;
  bool keeps_alive_ = true;
  bool retry_after_ = false;
  int attempts_ = 0;
};

// Latencies in nanoseconds.
class Samples {
 public:
  void add(std::int64_t ns) { ns_.push_back(ns < 0 ? 0 : ns); }
  void add_all(const Samples& other) { ns_.insert(ns_.end(), other.ns_.begin(), other.ns_.end()); }
  std::size_t count() const { return ns_.size(); }
  // In microseconds; `q` in [0, 1]. 0 when there are none.
  double percentile_us(double q);
  // {"p50":..., "p90":..., "p99":..., "max":...}, microseconds.
  std::string json();

 private:
  std::vector<std::int64_t> ns_;
  bool sorted_ = false;
};

}  // namespace bench
