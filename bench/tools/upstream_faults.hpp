// How the fake upstream misbehaves: the flags of tests/harness/faults.json, which says what each
// does, and the decision which request meets them.
//
// Thread rule: plain values, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bench {

struct Faults {
  bool refuse = false;
  bool reset_on_accept = false;
  std::string path;
  std::int64_t every = 1;
  std::int64_t count = 0;
  std::int64_t for_ms = 0;
  bool hold = false;
  std::int64_t delay_ms = 0;
  std::int64_t jitter_ms = 0;
  bool stall = false;
  std::int64_t status = 0;
  std::int64_t retry_after = -1;
  std::string rubbish;
  std::int64_t content_length = 0;
  std::int64_t drip_ms = 0;
  std::int64_t reset_after_bytes = -1;
  std::int64_t close_after_bytes = -1;
  std::int64_t stall_after_bytes = -1;
  bool never_close = false;
  std::int64_t token_gap_ms = -1;
  std::int64_t stall_after_tokens = -1;
  std::int64_t reset_after_tokens = -1;
  std::int64_t close_after_tokens = -1;
  std::int64_t error_after_tokens = -1;
  std::int64_t duplicate_token = -1;
  std::int64_t swap_tokens = -1;

  bool operator==(const Faults&) const = default;
};

std::string json_of(const Faults& faults);
// Those of the JSON object, the others at rest. What is wrong with it, or nothing.
std::string read_faults(std::string_view json, Faults& out);

// Which request meets the faults.
class FaultBook {
 public:
  void set(Faults faults);
  const Faults& now() const { return faults_; }
  // True when a request for `path` meets them; counts it then.
  bool hits(std::string_view path);

 private:
  Faults faults_;
  bool any_ = false;  // one that concerns requests
  std::int64_t matched_ = 0;
  std::int64_t hit_ = 0;
};

}  // namespace bench
