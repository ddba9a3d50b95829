// Requests that arrive at a constant rate whatever happens, each with a limit to its patience;
// every one is written down, so that a run can be looked at second by second.
//
// Thread rule: made and used in one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "load_http.hpp"
#include "load_streams.hpp"

namespace bench {

struct ArrivalPlan {
  std::uint16_t port = 0;
  double rate = 100;  // requests a second
  double seconds = 5;
  double patience = 30;         // seconds from the intended begin; then the client leaves
  unsigned connections = 4096;  // at most
  std::size_t bytes = 1024;
  std::string model = "bench-model";
  bool stream = false;
  bool mixed = false;   // every second one is a stream
  unsigned tokens = 0;  // that a stream must bring, as bench_upstream numbers them; 0: any
  std::string bodies;   // file with one body a line, taken in turn; empty: made here
  std::string out;      // file for the records
};

// One line a request: the intended begin (ns of the monotonic clock), ns until the answer's end, ns
// until the first token or byte of its body (0: none came), status (0: none), how it went, 1 when
// the answer had Retry-After, x-corral-attempts (0: none).
class ArrivalLoad {
 public:
  explicit ArrivalLoad(ArrivalPlan plan);
  void run();  // prints one JSON object with the totals

 private:
  enum class Outcome { ok, connect, closed, rubbish, status, broken, timeout };
  struct Record {
    std::int64_t intended = 0;
    std::int64_t latency = 0;
    std::int64_t first = 0;
    int status = 0;
    Outcome outcome = Outcome::ok;
    bool retry_after = false;
    int attempts = 0;
    bool stream = false;
  };
  struct Connection {
    int fd = -1;
    bool busy = false;
    bool stream = false;
    std::uint64_t serial = 0;
    std::int64_t intended = 0;
    std::int64_t first = 0;
    std::size_t sent = 0;
    std::string request;
    std::string body;  // of a whole answer, its beginning
    AnswerParser answer;
    StreamReader reader;
  };
  struct Limit {
    std::int64_t at;
    Connection* connection;
    std::uint64_t serial;
  };

  std::string request(std::uint64_t number, bool stream) const;
  void arrive(std::int64_t intended);
  void start(Connection& c, std::int64_t intended);
  void push(Connection& c);
  void readable(Connection& c);
  Outcome judge(const Connection& c) const;
  void finish(Connection& c, Outcome outcome);
  void give_up(std::int64_t now);
  void report();
  static std::string_view name(Outcome outcome);

  ArrivalPlan plan_;
  std::vector<std::string> bodies_;
  int epoll_;
  std::uint64_t number_ = 0;
  std::size_t open_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> idle_;
  std::deque<std::int64_t> waiting_;  // intended times of those that found no connection
  std::deque<Limit> limits_;          // in order: all have the same patience
  std::vector<Record> records_;
};

}  // namespace bench
